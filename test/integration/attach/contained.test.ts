import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { until } from '../../support/process/exec.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const contained = `${root}test/contained`;
/** Unique to this process, and in the environment of all that it starts. */
const mark = `toy-${randomUUID()}`;

const started: ChildProcess[] = [];
afterEach(async () => {
  for (const child of started.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

/** A run that goes on: what it has printed so far, and how it ends. */
class Run {
  output = '';
  readonly child: ChildProcess;
  readonly ended: Promise<number | string>;

  constructor(file: string, args: readonly string[]) {
    this.child = spawn(file, args, {
      cwd: root,
      env: { ...process.env, MARK: mark, TMPDIR: '/var/lib' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    started.push(this.child);
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text;
      });
    this.ended = once(this.child, 'close').then(([code, signal]) => (code ?? signal) as number | string);
  }

  said(text: string): Promise<unknown> {
    return until(`"${text}" in: ${this.output}`, () => this.output.includes(text));
  }
}

const toy = (script: string): Run => new Run(contained, ['sh', '-c', script]);

/** Every process that descends from a toy, and is more than a status to be waited for. */
const alive = (): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark);
    } catch {
      return false;
    }
  });

/** Mounts, named namespaces, temporary files and control groups, of others too. */
const here = (): string[] => [
  ...readFileSync('/proc/self/mountinfo', 'utf8').split('\n'),
  ...(existsSync('/run/netns') ? readdirSync('/run/netns') : []),
  ...readdirSync('/tmp'),
  ...readdirSync('/run'),
];

async function nothingLeft(before: readonly string[]): Promise<void> {
  await until('the end of all processes', () => alive().length === 0, 5000);
  // Others may do something here meanwhile; what toys make is named so.
  expect(here().filter((what) => /toy/.test(what) && !before.includes(what))).toEqual([]);
}

/** Processes that no process group, session, signal or parent's end reaches, and more. */
const makeEverything = `
  setsid sh -c 'trap "" INT TERM HUP; sleep 1000 & wait' &
  (setpriv --reuid nobody --clear-groups sleep 1000 &)
  (setsid unshare --pid --fork --mount-proc sh -c 'trap "" TERM; sleep 1000 & wait' &)
  ip netns add toy && mkdir /tmp/toy && mount -t tmpfs toy /tmp/toy && touch /run/toy
  ip netns exec toy sleep 1000 &
  mkdir $(sed -n 's|^0::|/sys/fs/cgroup/unified|p' /proc/self/cgroup)/toy 2>/dev/null
`;

test('the status of what leaves nothing is its own', async () => {
  const before = here();
  const run = toy(
    'ip netns add toy; touch /tmp/toy; ip netns delete toy; rm /tmp/toy; (sleep 0.3 &); exit 3',
  );
  expect(await run.ended).toBe(3);
  expect(run.output).toBe('');
  expect(await toy('exit 0').ended).toBe(0);
  expect(await toy('kill -KILL $$').ended).toBe(137);
  const none = new Run(contained, ['toy-of-no-name']);
  expect(await none.ended).toBe(127);
  await nothingLeft(before);
});

test.each([
  ['a process', 'setsid sleep 1000 & :', /^ {2}process \d+: sleep 1000$/m],
  [
    'a process of another user, whose parent has ended',
    '(setpriv --reuid nobody --clear-groups sleep 1001 &)',
    /^ {2}process \d+: sleep 1001$/m,
  ],
  ['a namespace', 'ip netns add toy', /^ {2}network namespace toy$/m],
  ['a mount', 'mount -t tmpfs toy /mnt', /^ {2}mount \/mnt$/m],
  ['a temporary file', 'touch /tmp/toy', /^ {2}file \/tmp\/toy$/m],
  ['a file where root alone writes', 'mkdir /run/toy', /^ {2}file \/run\/toy$/m],
  ['a link', 'ip link add toy type bridge', /^ {2}link toy$/m],
  ['a table', 'nft add table inet toy', /^ {2}nft table inet toy$/m],
])('%s that is left fails the run, is named, and goes', async (_what, script, named) => {
  const before = here();
  const run = toy(script);
  expect(await run.ended).toBe(1);
  expect(run.output).toMatch(/^contained: left behind by sh -c /m);
  expect(run.output).toMatch(named);
  expect(run.output.match(/^ {2}\S/gm)).toHaveLength(1);
  await nothingLeft(before);
});

test('a run that fails for its own reasons keeps its status, and what it left is named', async () => {
  const run = toy('touch /tmp/toy; exit 4');
  expect(await run.ended).toBe(4);
  expect(run.output).toMatch(/^ {2}file \/tmp\/toy$/m);
});

test('a file elsewhere cannot be made', async () => {
  const places = ['/etc', '/var/lib', '/root', root, `${root}dist`, `${root}test`];
  const run = toy(
    `for place in ${places.join(' ')}; do touch $place/toy && exit 1; done; echo "$TMPDIR:"; touch .cache/toy && rm .cache/toy`,
  );
  expect(await run.ended).toBe(0);
  expect(run.output.match(/Read-only file system/g)).toHaveLength(places.length);
  expect(run.output).toMatch(/^:$/m);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
  ['SIGKILL', 'SIGKILL'],
] as const)('ended by %s, nothing of it goes on', async (signal, status) => {
  const before = here();
  const run = toy(`${makeEverything} echo ready; exec sleep 1000`);
  await run.said('ready');
  expect(alive().length).toBeGreaterThan(8);
  const groups = ['systemd', 'unified', '.']
    .map((hierarchy) => `/sys/fs/cgroup/${hierarchy}`)
    .filter((path) => existsSync(path))
    .flatMap((path) => [...groupsBelow(path)]);
  expect(groups.filter((path) => path.endsWith(`vifd-test-${run.child.pid}`))).not.toEqual([]);
  run.child.kill(signal);
  await once(run.child, 'exit').then(([code, by]) => expect(code ?? by).toBe(status));
  await nothingLeft(before);
  await until(
    'the end of its control groups',
    () => !groups.some((path) => path.includes(`vifd-test-${run.child.pid}`) && existsSync(path)),
  );
});

/** Control groups, not deeper than a run makes them. */
function* groupsBelow(path: string, depth = 4): Generator<string> {
  for (const name of readdirSync(path)) {
    const below = `${path}/${name}`;
    if (!statSync(below, { throwIfNoEntry: false })?.isDirectory()) continue;
    yield below;
    if (depth > 0) yield* groupsBelow(below, depth - 1);
  }
}

test('it ends with what started it: npm does not pass everything on', async () => {
  const before = here();
  const npm = new Run('sh', [
    '-c',
    `'${contained}' sh -c '${makeEverything.replaceAll("'", `'"'"'`)} echo ready; sleep 1000'; :`,
  ]);
  await npm.said('ready');
  npm.child.kill('SIGKILL');
  await nothingLeft(before);
});

test('what does not heed a signal is killed at the third', async () => {
  const run = toy('trap "" INT TERM; echo ready; while :; do sleep 1; done');
  await run.said('ready');
  for (let i = 0; i < 3; i++) {
    run.child.kill('SIGTERM');
    await until('its arrival', () => !pending(run.child.pid as number));
  }
  expect(await run.ended).toBe(143);
});

/** Whether a process has a signal that it was not yet told of. */
const pending = (pid: number): boolean => {
  try {
    return /^(Sig|Shd)Pnd:\s*0*[1-9a-f]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

test('one run in another', async () => {
  const run = new Run(contained, [contained, 'sh', '-c', 'touch /tmp/toy']);
  expect(await run.ended).toBe(1);
  expect(run.output.match(/left behind/g)).toHaveLength(1);
});

test('all that npm runs with a kernel is contained', () => {
  const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as {
    scripts: Record<string, string>;
  };
  expect(scripts.test).toMatch(/ && exec test\/contained vitest run$/);
  expect(scripts.demo).toMatch(/ exec test\/contained node --import tsx \S+$/);
  // It writes documents, which a contained program cannot, and has what it measures contained.
  expect(readFileSync(`${root}test/bench/bench.ts`, 'utf8')).toMatch(
    /spawn\(\s*fileURLToPath\(new URL\('\.\.\/contained'/,
  );
});
