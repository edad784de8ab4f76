import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { addressOf, connectUplink, guest, outer, reaches } from '../../support/net/guests.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// `vifd check VIF --trace`: where the packets of one guest end, while others send as well.

let domnet: Domnet;
const guests = {} as Record<'nat' | 'route' | 'bridge', readonly [Vif, Vif]>;

beforeAll(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet);
  await domnet.addBridge('xenbr0');
  await domnet.vifd({ config: '' });
  for (const [i, kind] of (['nat', 'route', 'bridge'] as const).entries()) {
    const keys = kind === 'bridge' ? { ip: `10.7.0.${11 + 2 * i} 10.7.0.99` } : {};
    guests[kind] = [await guest(domnet, kind, 11 + 2 * i, keys), await guest(domnet, kind, 12 + 2 * i)];
  }
  for (const kind of ['nat', 'route'] as const) for (const vif of guests[kind]) await reaches(vif, outer);
  await reaches(guests.bridge[0], addressOf('bridge', guests.bridge[1]));
  // All of them all the time, each another packet.
  for (const [vif, to] of [
    ...[...guests.nat, ...guests.route].map((one) => [one, outer] as const),
    [guests.bridge[0], addressOf('bridge', guests.bridge[1])] as const,
  ]) {
    const words = ['ping', '-n', '-q', '-i', '0.1', to];
    const ping = new Background('ip', ['netns', 'exec', await domnet.guestNamespace(vif.domid), ...words]);
    domnet.atEnd(() => ping.stop());
  }
}, 30_000);
afterAll(() => domnet.stop());

const nft = (text: string) =>
  exec('ip', ['netns', 'exec', domnet.namespace, 'nft', '-f', '-'], { input: text });
const tables = () => domnet.exec('nft', ['list', 'tables']);

interface Found {
  severity: string;
  message: string;
}

/** What the trace tells of a vif's packets. */
async function traced(vif: Vif): Promise<Found[]> {
  const config = ['--config', join(domnet.dir, 'vifd.toml')];
  const { stdout, stderr } = await domnet.command(
    'check',
    vif.name,
    '--trace',
    '--seconds',
    '1',
    '--json',
    ...config,
  );
  if (stdout === '') throw new Error(stderr);
  const { findings } = JSON.parse(stdout) as { findings: (Found & { check: string })[] };
  return findings.filter(({ check }) => check === 'trace');
}
const told = (found: Found[]): string[] => found.map(({ severity, message }) => `${severity} ${message}`);

test('the packets of one guest, both ways, and of no other', async () => {
  const [nat, route, bridge] = await Promise.all(
    [guests.nat[0], guests.route[0], guests.bridge[0]].map(traced),
  );
  const own = addressOf('nat', guests.nat[0]);
  expect(told(nat as Found[])).toContainEqual(
    expect.stringMatching(`ok from the guest, ICMP ${own} > ${outer}, echo request.*passes; last inet vifd `),
  );
  expect(told(nat as Found[])).toContainEqual(
    expect.stringMatching(`ok to the guest, ICMP ${outer} > .*, echo reply.*passes; last inet vifd `),
  );
  expect(told(route as Found[])).toContainEqual(
    expect.stringMatching(
      `ok to the guest, ICMP ${outer} > ${addressOf('route', guests.route[0])}, echo reply`,
    ),
  );
  expect(told(bridge as Found[])).toContainEqual(
    expect.stringMatching(`ok from the guest, ICMP 10.7.0.15 > 10.7.0.16, echo request.*passes; last `),
  );
  const all = told([nat, route, bridge].flat() as Found[]).join('\n');
  for (const kind of ['nat', 'route'] as const)
    expect(all).not.toContain(`${addressOf(kind, guests[kind][1])} `);
  expect(all).not.toMatch(/^(warning|error)/m);
  expect(await tables()).not.toContain('trace');
});

test('a rule, a policy and the kernel itself that drop, of one guest among others', async () => {
  const [nat, other] = guests.nat;
  const [route] = guests.route;
  await nft(`table inet fw {
    chain deep { iifname "${nat.name}" icmp type echo-request drop; }
    chain c { type filter hook forward priority 10; jump deep; }
  }
  table ip wall { chain w { type filter hook forward priority 20; policy drop; oifname != "${route.name}" accept; }; }`);
  try {
    // One after another: the kernel tells each listener of all, and gives the number of a packet that is gone to the next.
    const dropped = await traced(nat);
    const answers = await traced(route);
    const well = await traced(other);
    expect(told(dropped)).toContainEqual(
      expect.stringContaining(
        `dropped by inet fw c, by the rule of its chain deep "iifname "${nat.name}" icmp type echo-request drop"`,
      ),
    );
    expect(told(dropped)).toContainEqual(expect.stringMatching(/^error from the guest/));
    expect(told(answers)).toContainEqual(
      expect.stringMatching(/^error to the guest, ICMP .*dropped by ip wall w, by its policy/),
    );
    expect(told(answers)).toContainEqual(expect.stringMatching(/^ok from the guest, ICMP/));
    expect(told(well).join('\n')).not.toMatch(/^(warning|error) from/m);
  } finally {
    await nft('delete table inet fw; delete table ip wall');
  }
  await domnet.ip(`rule add iif ${route.name} prohibit`);
  try {
    expect(told(await traced(route))).toContainEqual(
      expect.stringMatching(/^error from the guest, ICMP .*comes to no other hook/),
    );
  } finally {
    await domnet.ip(`rule delete iif ${route.name} prohibit`);
  }
});

test('anti-spoofing that drops, with the reason', async () => {
  const [vif] = guests.bridge;
  await vif.guestIp('address add 10.66.66.66/32 dev eth0');
  const words = ['ping', '-n', '-q', '-i', '0.02', '-I', '10.66.66.66', '10.7.0.16'];
  const ping = new Background('ip', ['netns', 'exec', await domnet.guestNamespace(vif.domid), ...words]);
  try {
    expect(told(await traced(vif)).join('\n')).toMatch(
      /^error from the guest, ICMP 10\.66\.66\.66 > 10\.7\.0\.16, .*dropped by anti-spoofing: IPv4 source/m,
    );
  } finally {
    await ping.stop();
    await vif.guestIp('address delete 10.66.66.66/32 dev eth0');
  }
});

test('a trace that is killed leaves nothing', async () => {
  const [file = '', ...run] = domnet.vifdCommand();
  const words = [
    ...run.slice(0, run.indexOf('run')),
    'check',
    guests.nat[0].name,
    '--trace',
    '--seconds',
    '60',
  ];
  const check = new Background(file, words, domnet.vifdEnv);
  try {
    await until('its tables', async () => /netdev vifd_trace_\d+\n/.test(await tables()));
  } finally {
    await check.stop('SIGKILL');
  }
  await until('them to go', async () => !(await tables()).includes('trace'));
});

test('options without sense are refused', async () => {
  for (const words of [
    ['--trace'],
    [guests.nat[0].name, '--seconds', '5'],
    [guests.nat[0].name, '--trace', '--seconds', '0'],
    [guests.nat[0].name, '--trace', '--seconds', '61'],
  ])
    expect(await domnet.command('check', ...words)).toMatchObject({ status: 64 });
});
