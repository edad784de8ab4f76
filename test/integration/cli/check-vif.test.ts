import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import {
  addressOf,
  configure,
  guest,
  type Kind,
  outer,
  prepareTopologies,
  reaches,
} from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { Outside } from '../../support/net/outside.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// `vifd check VIF` with faults that vifd does not mend: each breaks the way of some guests, and that of the others stays well.

const kinds = ['bridge', 'openvswitch', 'route', 'nat'] as const;

let domnet: Domnet;
let ovs: OpenVswitch;
let outside: { eth1: Outside; eth2: Outside };
const guests = {} as Record<Kind, readonly [Vif, Vif]>;

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  await sysctl('net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0');
  const connect = (device: string, number: number) =>
    Outside.connect(domnet, { device, addresses: [], peer: [], number });
  outside = { eth1: await connect('eth1', 60_001), eth2: await connect('eth2', 60_002) };
  await domnet.ip('link set eth1 master xenbr0');
  await ovs.vsctl('add-port ovsbr0 eth2');
  await domnet.vifd({ config: `${ovs.config}[nat]\ndhcp = "dnsmasq"\ndns = ["192.0.2.53"]\n` });
  let domid = 10;
  for (const kind of kinds) {
    guests[kind] = [await guest(domnet, kind, ++domid), await guest(domnet, kind, ++domid)];
  }
  for (const kind of ['bridge', 'openvswitch'] as const)
    await reaches(guests[kind][0], addressOf(kind, guests[kind][1]));
  for (const kind of ['route', 'nat'] as const) for (const vif of guests[kind]) await reaches(vif, outer);
}, 60_000);
afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

const sysctl = (...values: string[]) => domnet.exec('sysctl', ['-qw', ...values]);
const bridge = (words: string) => exec('bridge', ['-n', domnet.namespace, ...words.split(' ')]);
const nft = (text: string) =>
  exec('ip', ['netns', 'exec', domnet.namespace, 'nft', '-f', '-'], { input: text });
const mac = ({ domid }: Vif) => `00:16:3e:00:${domid.toString(16).padStart(2, '0')}:00`;

interface Checked {
  vif: string;
  ends: string | null;
  topology: string;
  findings: { check: string; severity: string; message: string; remedy: string }[];
  status: number;
}

/** What `vifd check` says, when vifd has done what followed from the fault before. */
async function check(vif: Vif): Promise<Checked> {
  for (const end = performance.now() + 15_000; ; ) {
    const found = await checkNow(vif);
    const isUnderWay = found.findings.some(({ message }) => message.includes('still to do'));
    if (!isUnderWay || performance.now() > end) return found;
  }
}

async function checkNow(vif: Vif): Promise<Checked> {
  const config = ['--config', join(domnet.dir, 'vifd.toml')];
  const { status, stdout, stderr } = await domnet.command('check', vif.name, '--json', ...config);
  if (stdout === '') throw new Error(stderr);
  return { ...(JSON.parse(stdout) as Omit<Checked, 'status'>), status };
}

/** Checks these guests, and expects that the way of each ends at this stage, or is well. @returns their errors */
async function expectEnds(ends: string | null, vifs: readonly Vif[], also?: string): Promise<string[]> {
  const errors: string[] = [];
  for (const found of await Promise.all(vifs.map(check))) {
    const bad = found.findings.filter(({ severity }) => severity === 'error');
    expect({ vif: found.vif, ends: found.ends, status: found.status }, JSON.stringify(bad)).toEqual({
      vif: found.vif,
      ends,
      status: ends === null ? 0 : 1,
    });
    // One fault is one stage.
    const stages = [ends, also].filter((stage) => typeof stage === 'string');
    expect([...new Set(bad.map((one) => one.check))]).toEqual(stages);
    for (const { remedy } of bad) expect(remedy).not.toBe('');
    errors.push(...bad.map(({ message, remedy }) => `${message} -> ${remedy}`));
  }
  return errors;
}

test('the way of every guest is well', async () => {
  for (const kind of kinds) {
    for (const found of await Promise.all(guests[kind].map(check))) {
      expect(found).toMatchObject({ status: 0, ends: null, topology: kind });
      expect(found.findings.filter(({ severity }) => ['warning', 'error'].includes(severity))).toEqual([]);
    }
  }
});

interface Fault {
  readonly name: string;
  readonly stage: string;
  /** A later stage at which it is seen as well. */
  readonly also?: string;
  /** Those whose way it breaks, and those beside them. */
  readonly broken: () => readonly Vif[];
  readonly well: () => readonly Vif[];
  readonly inject: () => Promise<unknown>;
  readonly mend: () => Promise<unknown>;
}

const first = (kind: Kind) => () => [guests[kind][0]];
const second = (kind: Kind) => () => [guests[kind][1]];
const both = (kind: Kind) => () => guests[kind];

/** A table that drops what the first guest of a kind sends and is sent on. */
const wall = (kind: Kind, hook: string, rule: (vif: string) => string): Pick<Fault, 'inject' | 'mend'> => ({
  inject: () =>
    nft(`table inet fw {
      chain c { type filter hook ${hook} priority 0; policy accept
        ${rule(guests[kind][0].name)}
      }
    }`),
  mend: () => nft('delete table inet fw'),
});

const carrierOff = (kind: Kind): Fault => ({
  name: `the interface of a guest of ${kind} is down`,
  stage: 'frontend',
  broken: first(kind),
  well: second(kind),
  inject: () => guests[kind][0].guestIp('link set eth0 down'),
  // The guest's routes have gone with its interface.
  mend: async () => {
    await guests[kind][0].guestIp('link set eth0 up');
    await configure(kind, guests[kind][0]);
  },
});

const faults: Fault[] = [
  ...kinds.map(carrierOff),
  {
    name: 'another program drops at the ingress of a vif',
    stage: 'ingress',
    broken: first('openvswitch'),
    well: second('openvswitch'),
    inject: () =>
      nft(`table netdev fw {
        chain c { type filter hook ingress device "${guests.openvswitch[0].name}" priority 0; policy drop
        }
      }`),
    mend: () => nft('delete table netdev fw'),
  },
  {
    name: 'the guest and the uplink are isolated ports',
    stage: 'uplink',
    broken: first('bridge'),
    well: second('bridge'),
    inject: async () => {
      for (const port of ['eth1', guests.bridge[0].name]) await bridge(`link set dev ${port} isolated on`);
    },
    mend: async () => {
      for (const port of ['eth1', guests.bridge[0].name]) await bridge(`link set dev ${port} isolated off`);
    },
  },
  {
    name: 'the bridge has the MAC address at another port',
    stage: 'fdb',
    broken: first('bridge'),
    well: second('bridge'),
    inject: () => bridge(`fdb replace ${mac(guests.bridge[0])} dev eth1 master static sticky`),
    mend: () => bridge(`fdb delete ${mac(guests.bridge[0])} dev eth1 master`),
  },
  {
    name: "the bridge's uplink has no carrier",
    stage: 'uplink',
    broken: both('bridge'),
    well: first('route'),
    inject: () => outside.eth1.ip('link set lan0 down'),
    mend: () => outside.eth1.ip('link set lan0 up'),
  },
  {
    name: 'bridged frames pass a forward chain that drops',
    stage: 'firewall',
    broken: both('bridge'),
    well: both('openvswitch'),
    inject: async () => {
      await sysctl('net.bridge.bridge-nf-call-iptables=1');
      await nft(
        'table ip filter {\nchain FORWARD { type filter hook forward priority 0; policy drop; iifname "vif*" accept\noifname "vif*" accept\n}\n}',
      );
    },
    mend: async () => {
      await sysctl('net.bridge.bridge-nf-call-iptables=0');
      await nft('delete table ip filter');
    },
  },
  {
    name: 'a chain of the bridge family drops what goes to a guest',
    stage: 'firewall',
    broken: first('bridge'),
    well: second('bridge'),
    inject: () =>
      nft(
        `table bridge fw {\nchain c { type filter hook forward priority 0; oifname "${guests.bridge[0].name}" drop\n}\n}`,
      ),
    mend: () => nft('delete table bridge fw'),
  },
  {
    name: 'a drop of the answers alone',
    stage: 'firewall',
    broken: first('route'),
    well: second('route'),
    ...wall('route', 'forward', (vif) => `oifname "${vif}" drop`),
  },
  {
    name: 'a reject at the end of an accepting chain, behind jumps and sets',
    stage: 'firewall',
    broken: first('nat'),
    well: () => [guests.nat[1], ...guests.route],
    inject: () =>
      nft(`table inet firewalld {
        chain zones { iifname { "${guests.nat[1].name}", "eth*", "${guests.route[0].name}", "${guests.route[1].name}" } accept
        }
        chain filter_FORWARD { type filter hook forward priority 10; policy accept
          ct state { established, related } accept
          iifname "lo" accept
          jump zones
          ct state invalid drop
          reject with icmpx admin-prohibited
        }
      }`),
    mend: () => nft('delete table inet firewalld'),
  },
  {
    name: 'a drop in prerouting',
    stage: 'firewall',
    broken: first('route'),
    well: second('route'),
    ...wall('route', 'prerouting', (vif) => `iifname "${vif}" ip saddr 192.0.2.0/24 drop`),
  },
  {
    name: 'a drop at input that eats DHCP',
    stage: 'dhcp',
    broken: first('nat'),
    well: second('nat'),
    ...wall('nat', 'input', (vif) => `iifname "${vif}" udp dport 60-70 drop`),
  },
  {
    name: 'a drop at output that eats answers of DHCP',
    stage: 'dhcp',
    broken: first('nat'),
    well: second('nat'),
    ...wall('nat', 'output', (vif) => `oifname "${vif}" udp sport 67 drop`),
  },
  {
    name: 'a rule sends a guest out by a device that is no way out of it',
    stage: 'firewall',
    broken: first('nat'),
    well: second('nat'),
    inject: async () => {
      await sysctl('net.ipv4.conf.eth1.forwarding=1');
      await domnet.ip('route add 1.1.1.0/24 dev eth1 table 100');
      await domnet.ip(`rule add iif ${guests.nat[0].name} lookup 100`);
    },
    mend: async () => {
      await domnet.ip(`rule delete iif ${guests.nat[0].name} lookup 100`);
      await domnet.ip('route flush table 100');
    },
  },
  {
    name: 'the reverse path filter of a vif whose address is routed elsewhere',
    stage: 'rp_filter',
    also: 'route back',
    broken: first('route'),
    well: second('route'),
    inject: async () => {
      await sysctl(`net/ipv4/conf/${guests.route[0].name}/rp_filter=1`);
      await domnet.ip(`route add ${addressOf('route', guests.route[0])} dev eth0`);
    },
    mend: async () => {
      await domnet.ip(`route delete ${addressOf('route', guests.route[0])} dev eth0`);
      await sysctl(`net/ipv4/conf/${guests.route[0].name}/rp_filter=0`);
    },
  },
  {
    name: 'a rule refuses what a guest sends',
    stage: 'route',
    broken: first('route'),
    well: second('route'),
    inject: () => domnet.ip(`rule add iif ${guests.route[0].name} prohibit`),
    mend: () => domnet.ip(`rule delete iif ${guests.route[0].name} prohibit`),
  },
  {
    name: "another route to a guest's address",
    stage: 'route back',
    broken: first('route'),
    well: second('route'),
    inject: () => domnet.ip(`route add ${addressOf('route', guests.route[0])} dev eth0`),
    mend: () => domnet.ip(`route delete ${addressOf('route', guests.route[0])} dev eth0`),
  },
  {
    name: 'the uplink has no carrier',
    stage: 'uplink',
    broken: () => [guests.route[0], guests.nat[0]],
    well: () => [guests.bridge[0], guests.openvswitch[0]],
    inject: () => exec('ip', ['-n', `${domnet.namespace}-g60000`, 'link', 'set', 'lan0', 'down']),
    mend: () => exec('ip', ['-n', `${domnet.namespace}-g60000`, 'link', 'set', 'lan0', 'up']),
  },
  {
    name: 'no default route',
    stage: 'route',
    broken: () => [guests.route[0], guests.nat[0]],
    well: () => [guests.bridge[0], guests.openvswitch[0]],
    inject: () => domnet.ip('route delete default'),
    mend: () => domnet.ip(`route add default via ${outer}`),
  },
  {
    name: "a flow of Open vSwitch drops a guest's frames",
    stage: 'flows',
    broken: first('openvswitch'),
    well: second('openvswitch'),
    inject: () => ofctl('add-flow', `priority=9,in_port=${guests.openvswitch[0].name},actions=drop`),
    mend: () => ofctl('del-flows', `in_port=${guests.openvswitch[0].name}`),
  },
  {
    name: 'fail_mode=secure and no flows',
    stage: 'flows',
    broken: both('openvswitch'),
    well: first('bridge'),
    inject: async () => {
      await ovs.vsctl('set-fail-mode ovsbr0 secure');
      await ofctl('del-flows');
    },
    mend: async () => {
      await ovs.vsctl('set-fail-mode ovsbr0 standalone');
      await ofctl('add-flow', 'priority=0,actions=NORMAL');
    },
  },
  {
    name: 'the uplink of Open vSwitch is in another VLAN',
    stage: 'uplink',
    broken: both('openvswitch'),
    well: first('bridge'),
    inject: () => ovs.vsctl('set port eth2 tag=99'),
    mend: () => ovs.vsctl('clear port eth2 tag'),
  },
];

const ofctl = (command: string, ...words: string[]) =>
  domnet.exec('ovs-ofctl', [command, `unix:${join(ovs.dir, 'ovsbr0.mgmt')}`, ...words]);

test.each(faults.map((fault) => [fault.name, fault] as const))('%s', async (_, fault) => {
  await fault.inject();
  try {
    await Promise.all([expectEnds(fault.stage, fault.broken(), fault.also), expectEnds(null, fault.well())]);
  } finally {
    await fault.mend();
  }
});

test('after all of it every way is well again', async () => {
  for (const kind of kinds) {
    await until(`the ways of ${kind} to be well again`, async () =>
      (await Promise.all(guests[kind].map(check))).every(({ ends }) => ends === null),
    );
  }
});

test('anti-spoofing that drops what a guest sends just now', async () => {
  const [vif, other] = guests.nat;
  await vif.guestIp('address add 10.66.66.66/32 dev eth0');
  await reaches(vif, outer);
  const words = ['-n', '-q', '-i', '0.02', '-I', '10.66.66.66', outer];
  const namespace = await domnet.guestNamespace(vif.domid);
  const ping = new Background('ip', ['netns', 'exec', namespace, 'ping', ...words]);
  try {
    const [error] = await expectEnds('filter', [vif]);
    expect(error).toContain('IPv4 source');
    await expectEnds(null, [other]);
  } finally {
    await ping.stop();
    await vif.guestIp('address delete 10.66.66.66/32 dev eth0');
  }
});

test.each([
  ['egress', 'nat'],
  ['ingress', 'route'],
] as const)('a filter of tc that drops at the %s of a vif', async (side, kind) => {
  const [vif, other] = guests[kind];
  const tc = (words: string) => exec('tc', ['-n', domnet.namespace, ...words.split(' ')]);
  const pings = await Promise.all(
    guests[kind].map(async ({ domid }) => {
      const words = ['ping', '-n', '-q', '-i', '0.02', outer];
      return new Background('ip', ['netns', 'exec', await domnet.guestNamespace(domid), ...words]);
    }),
  );
  await tc(`qdisc add dev ${vif.name} clsact`);
  try {
    // TC_ACT_SHOT for every frame: this kernel has no actions of tc.
    const filter = ['filter', 'add', 'dev', vif.name, side, 'bpf', 'da', 'bytecode', '1,6 0 0 2'];
    await exec('tc', ['-n', domnet.namespace, ...filter]);
    const [[error]] = await Promise.all([expectEnds('tc', [vif]), expectEnds(null, [other])]);
    expect(error).toContain(`drops frames at ${vif.name} right now`);
    expect(error).toContain(`tc -s filter show dev ${vif.name} egress`);
  } finally {
    await tc(`qdisc delete dev ${vif.name} clsact`);
    for (const ping of pings) await ping.stop();
  }
  await reaches(vif, outer);
});

test('a bridge with the spanning tree and a delay of 15 s', async () => {
  await domnet.ip('link add xenbr1 up type bridge stp_state 1 forward_delay 1500');
  const vifs = await Promise.all([31, 32].map((domid) => domnet.plug({ domid, keys: { bridge: 'xenbr1' } })));
  for (const vif of vifs) await vif.connected();
  const [[error], wells] = await Promise.all([
    expectEnds('bridge port', vifs),
    expectEnds(null, [guests.bridge[0]]),
  ]);
  expect(error).toContain('waits 30 s for the spanning tree');
  expect(error).toContain('ip link set dev xenbr1 type bridge stp_state 0');
  expect(wells).toEqual([]);
});

test.each(['route', 'nat'] as const)(
  'the printed remedy lets a guest of %s through a firewall',
  async (kind) => {
    const [vif, other] = guests[kind];
    await nft(`table inet fw {
    chain c { type filter hook forward priority 0; policy drop
      iifname "${other.name}" accept
      oifname "${other.name}" accept
    }
  }`);
    try {
      const found = await check(vif);
      const error = found.findings.find(({ severity }) => severity === 'error');
      expect(error).toMatchObject({ check: 'firewall' });
      expect(error?.message).toContain('inet fw c drops');
      await reaches(other, outer);
      await expect(reaches(vif, outer, 300)).rejects.toThrow();
      await domnet.exec('sh', ['-ec', error?.remedy.replaceAll('"', '\\"') ?? '']);
      await reaches(vif, outer);
      await expectEnds(null, [vif, other]);
    } finally {
      await nft('delete table inet fw');
    }
  },
);

test('a vif that is not there, and an address that is none', async () => {
  expect(await domnet.command('check', 'vif99.0')).toMatchObject({
    status: 1,
    stdout: expect.stringContaining('the way of its packets ends at: xenstore'),
  });
  expect(await domnet.command('check', 'eth0')).toMatchObject({ status: 64 });
  expect(await domnet.command('check', guests.nat[0].name, '--to', 'nowhere')).toMatchObject({ status: 64 });
  expect(await domnet.command('check', '--to', '192.0.2.1')).toMatchObject({ status: 64 });
});
