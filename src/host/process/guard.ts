import { type ChildProcess, spawn } from 'node:child_process';

/**
 * Has process groups as arguments, reads of those that begin (`+ PGID`) and end (`- PGID`), and kills what is left of them
 * at the end of its input, which the kernel brings about however the writer ends.
 */
const script = `groups=$*
while read -r sign group; do
  case $sign in
  +) groups="$groups $group" ;;
  -) rest=; for one in $groups; do [ "$one" = "$group" ] || rest="$rest $one"; done; groups=$rest ;;
  esac
done
for group in $groups; do kill -s KILL -- "-$group"; done`;

/** Before another is started in the place of one that ended. */
const againMs = 100;

const guarded = new Set<number>();
let guard: ChildProcess | undefined;

/**
 * Has a child, which must have a process group of its own (`detached`), killed with that group when this process ends, by
 * SIGKILL too. PR_SET_PDEATHSIG would reach neither what the child has started, nor a child that changes its user: the
 * kernel clears it then (commit_creds in kernel/cred.c).
 */
export function endWithUs(child: ChildProcess): void {
  const group = child.pid;
  // It could not be started, which its `error` event tells.
  if (group === undefined) return;
  guarded.add(group);
  if (guard === undefined) start();
  else tell('+', group);
  child.once('exit', () => {
    guarded.delete(group);
    tell('-', group);
  });
}

function start(): void {
  if (guard !== undefined) return;
  // In a session of its own, where no terminal's signal ends it, and with no hold on our output or event loop.
  const child = spawn('/bin/sh', ['-c', script, 'vifd-guard', ...[...guarded].map(String)], {
    cwd: '/',
    env: {},
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard = child;
  child.unref();
  // Socket is what a pipe's end is in Node.js.
  (child.stdin as unknown as { unref(): void }).unref();
  child.stdin.on('error', () => undefined);
  const again = (): void => {
    guard = undefined;
    if (guarded.size > 0) setTimeout(start, againMs).unref();
  };
  child.once('error', again);
  child.once('exit', again);
}

function tell(sign: '+' | '-', group: number): void {
  guard?.stdin?.write(`${sign} ${group}\n`);
}
