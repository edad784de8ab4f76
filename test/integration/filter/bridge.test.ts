import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Foreign } from '../../support/net/foreign-table.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { openTables } from '../../support/net/open-tables.js';
import { expectedFrames } from '../../support/packets/expected-frames.js';
import { attempts, lastOne } from '../../support/packets/forgeries.js';
import { Capture, send } from '../../support/packets/packets.js';
import { ipKey, type Parties } from '../../support/packets/parties.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  // br_netfilter, where it is there, drops some malformed packets on its own account.
  const switches = ['iptables', 'ip6tables', 'arptables'].map((of) => `net.bridge.bridge-nf-call-${of}=0`);
  await domnet.exec('sysctl', ['-eqw', ...switches]);
});
afterEach(() => domnet.stop());

const config = (mode: string): string => `[antispoof]\nmode = "${mode}"\n`;
const parties: Parties = { from: '00:16:3e:00:01:00', to: '00:16:3e:00:02:00' };

/** The kernel's whole ruleset in the driver domain. */
const ruleset = (): Promise<string> => domnet.exec('nft', ['list', 'ruleset']);

/** The attacker, with the addresses of `ipKey` by default, and the guest that listens. */
async function twoGuests(keys: Record<string, string | undefined> = { ip: ipKey }): Promise<[Vif, Vif]> {
  const attacker = await domnet.plug({ domid: 1, keys });
  const listener = await domnet.plug({ domid: 2, keys: { ip: '10.0.0.2 2001:db8::2' } });
  await attacker.connected();
  await listener.connected();
  return [attacker, listener];
}

/** What of all that can be tried arrives at the other guest. */
async function arrivals(): Promise<{ what: string; honest: boolean; arrived: boolean }[]> {
  const tried = attempts(parties);
  const capture = await Capture.start(await domnet.guestNamespace(2), 'eth0');
  await send(await domnet.guestNamespace(1), 'eth0', [...tried.map(({ frame }) => frame), lastOne(parties)]);
  await capture.arrival(lastOne(parties));
  await capture.stop();
  return tried.map(({ what, honest, frame }) => ({ what, honest, arrived: capture.saw(frame) }));
}

interface Read<T> {
  readonly answer: T;
  /** How many bytes the kernel has sent for it. */
  readonly bytes: number;
}
type Counts = Record<string, number>;

/** What the host tells of all vifs and of one. */
async function counters(vif: string): Promise<{
  all: Read<[string, Counts][]>;
  one: Read<Counts>;
  traffic: { before: Counts; one: Read<Counts>; after: Counts };
}> {
  const code = `
    const { NetlinkSocket } = await import('${new URL('../../../native/node-netlink/dist/index.js', import.meta.url)}');
    const { Host } = await import('${new URL('../../../dist/host/host.js', import.meta.url)}');
    let bytes;
    const { emit } = NetlinkSocket.prototype;
    NetlinkSocket.prototype.emit = function (event, ...rest) {
      if (event === 'message') bytes += rest[0].length;
      return emit.call(this, event, ...rest);
    };
    const read = async (answer) => {
      bytes = 0;
      return { answer: await answer(), bytes };
    };
    const host = await Host.open(() => {});
    const { index } = host.observe().links.byName('${vif}');
    const all = await read(async () => [...await host.drops()]);
    const one = await read(() => host.dropsOf('${vif}'));
    const before = host.traffic().get('${vif}');
    const traffic = { before, one: await read(() => host.trafficOf(index)), after: host.traffic().get('${vif}') };
    console.log(JSON.stringify({ all, one, traffic }));
    host.close();`;
  return JSON.parse(await domnet.exec(process.execPath, ['--input-type=module', '-e', code]));
}

/** Whether a datagram from this address gets through. */
async function arrives(source: string): Promise<boolean> {
  const { dhcp, ethernet, etherTypes, ipv4, udp } = await import('../../support/packets/frames.js');
  const frame = (from: string, id: number) =>
    ethernet(
      parties.to,
      parties.from,
      etherTypes.ip,
      ipv4({ from, to: '10.0.0.2', protocol: 17, id }, udp(id, 1)),
    );
  const capture = await Capture.start(await domnet.guestNamespace(2), 'eth0');
  const asked = frame(source, 1);
  const discover = ethernet(
    parties.to,
    parties.from,
    etherTypes.ip,
    ipv4(
      { from: '0.0.0.0', to: '255.255.255.255', protocol: 17, id: 2 },
      udp(68, 67, dhcp({ type: 1, mac: parties.from })),
    ),
  );
  await send(await domnet.guestNamespace(1), 'eth0', [asked, discover]);
  await capture.arrival(discover);
  await capture.stop();
  return capture.saw(asked);
}

describe('on a bridge', () => {
  it('lets through what is honest and nothing else, as docs/operate/security.md says', async () => {
    await domnet.vifd();
    await twoGuests();
    const seen = await arrivals();
    expect(seen.filter(({ honest, arrived }) => honest !== arrived)).toEqual([]);
    const rows = seen.map(({ what, arrived }) => [what, arrived ? 'arrived' : 'dropped']);
    expect([...expectedFrames('on a bridge')]).toEqual(rows);
  });

  it('lets everything through when it is off, so the frames are such that they could arrive', async () => {
    await domnet.vifd({ config: `${config('off')}control_frames = true\n` });
    await twoGuests();
    expect(await ruleset()).toBe('');
    expect((await arrivals()).filter(({ arrived }) => !arrived)).toEqual([]);
  });

  it('does not get into the way of two real network stacks', async () => {
    await domnet.vifd();
    const [one, two] = await twoGuests();
    await one.guestIp('address add 10.0.0.1/16 dev eth0');
    await two.guestIp('address add 10.0.0.2/16 dev eth0');
    await one.guestIp('address add 2001:db8::1/64 dev eth0');
    await two.guestIp('address add 2001:db8::2/64 dev eth0');
    // Until duplicate address detection is through, there is no answer.
    await until('both addresses to be good', async () => {
      const both = await Promise.all([one, two].map((vif) => vif.guestIp('-6 address show dev eth0')));
      return both.every((text) => text.includes('2001:db8::') && !/tentative|dadfailed/.test(text));
    });
    await one.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.2']);
    await two.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.1']);
    await one.guestExec('ping', ['-c', '1', '-W', '5', '2001:db8::2']);
    await two.guestExec('ping', ['-c', '1', '-W', '5', '-s', '3000', '2001:db8::1']);
    await one.guestExec('ping', ['-c', '1', '-W', '5', '-s', '3000', '10.0.0.2']);
    const linkLocal = 'fe80::216:3eff:fe00:200%eth0';
    await one.guestExec('ping', ['-c', '1', '-W', '5', linkLocal]);
  });

  it('asks the kernel for the counters of one vif and of no other', async () => {
    await domnet.vifd();
    await twoGuests();
    const before = await counters('vif1.0');
    expect(before.one.answer['source MAC']).toBe(0);
    const others = Array.from({ length: 300 }, (_, i) => `"vif${i + 10}.0" . 1`);
    await domnet.exec('nft', [`add element netdev vifd drops { ${others.join(', ')} }`]);
    for (let domid = 3; domid < 9; domid++) await domnet.ip(`link add vif${domid}.0 type bridge`);
    const after = await counters('vif1.0');
    expect(after.all.bytes - before.all.bytes).toBeGreaterThan(300 * 30);
    expect(after.one.bytes).toBe(before.one.bytes);
    expect(after.traffic.one.bytes).toBe(before.traffic.one.bytes);
    await domnet.exec('nft', [`delete element netdev vifd drops { ${others.join(', ')} }`]);
  });

  it('counts what each vif was refused, by reason, and tells the first of each once', async () => {
    const daemon = await domnet.vifd();
    await twoGuests();
    await arrivals();
    const { all, one, traffic } = await counters('vif1.0');
    const drops = new Map(all.answer);
    expect(one.answer).toEqual(drops.get('vif1.0'));
    for (const [what, count] of Object.entries(traffic.one.answer)) {
      expect(count, what).toBeGreaterThanOrEqual(traffic.before[what] ?? 0);
      expect(count, what).toBeLessThanOrEqual(traffic.after[what] ?? 0);
    }
    expect(traffic.one.answer.rxPackets).toBeGreaterThan(0);
    expect(drops.get('vif1.0')).toMatchObject({
      'source MAC': 2,
      'VLAN tag': 5,
      'ARP sender MAC': 1,
      'router advertisement or redirect': 7,
    });
    expect(drops.get('vif2.0')?.['source MAC']).toBe(0);
    // It looks at the counters once a minute, and at a reload.
    const told = () => daemon.log.filter(({ msg }) => msg === 'vif has packets dropped');
    daemon.hangUp();
    await daemon.logged('vif has packets dropped', 'vif1.0');
    const counted = Object.entries(drops.get('vif1.0') ?? {}).filter(([, count]) => count > 0);
    await until('a line for each reason', () => told().length === counted.length);
    expect(told().map(({ vif, reason }) => [vif, reason])).toEqual(
      counted.map(([reason]) => ['vif1.0', reason]),
    );
    expect(told().find(({ reason }) => reason === 'source MAC')).toMatchObject({
      domid: 1,
      packets: 2,
      cure: expect.stringContaining('allow_macs'),
    });
    await arrivals();
    daemon.hangUp();
    const reloads = () => daemon.log.filter(({ msg }) => msg === 'configuration reloaded').length;
    await until('the second reload', () => reloads() === 2);
    expect(told()).toHaveLength(counted.length);
    const { stdout } = await domnet.command('status', 'vif1.0');
    expect(stdout).toMatch(/for source MAC: +the guest sends from another MAC address/);
  });
});

describe('mode', () => {
  it('auto leaves a vif without ip alone, with allow too, but for the control frames of switches', async () => {
    await domnet.vifd({ config: '[[vif]]\nallow = ["fe80::/10"]\n' });
    await twoGuests({});
    expect((await arrivals()).filter(({ arrived }) => !arrived).map(({ what }) => what)).toEqual([
      'spanning tree frame',
      'own IPv4 to the address of spanning tree',
      'CDP frame',
      'PVST+ frame',
      'MVRP frame',
    ]);
  });

  it('strict refuses a vif without ip, says so, and takes it when it has one', async () => {
    await domnet.vifd({ config: config('strict') });
    const vif = await domnet.plug({ domid: 1 });
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toBe(
      'hold vif1.0 to its addresses: the ip key is empty, and [antispoof] mode = "strict" takes no vif without; give it ip=…, or allow in a [[vif]] table',
    );
    expect((await domnet.link('vif1.0'))?.flags).not.toContain('UP');
    await vif.write({ ip: '10.0.0.1' });
    await vif.connected();
    expect(await ruleset()).toMatch(/set hosts4 \{[^}]*"vif1\.0" \. 10\.0\.0\.1 /);
  });

  it('auto refuses a vif with ip and without mac', async () => {
    await domnet.vifd();
    const vif = await domnet.plug({ domid: 1, keys: { ip: '10.0.0.1', mac: undefined } });
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toBe('hold vif1.0 to its MAC address: the mac key is missing');
    expect((await domnet.link('vif1.0'))?.flags).not.toContain('UP');
  });
});

describe('what others do to the rules', () => {
  const meddling: [what: string, ...args: string[]][] = [
    ['flush everything', 'flush', 'ruleset'],
    ['delete our table', 'delete', 'table', 'netdev', 'vifd'],
    ['flush the table', 'flush', 'table', 'netdev', 'vifd'],
    ['flush the chain', 'flush', 'chain', 'netdev', 'vifd', 'CHAIN'],
    ['insert a rule', 'insert', 'rule', 'netdev', 'vifd', 'CHAIN', 'accept'],
    ['replace a rule', 'replace', 'rule', 'netdev', 'vifd', 'CHAIN', 'handle', 'HANDLE', 'accept'],
    ['delete a rule', 'delete', 'rule', 'netdev', 'vifd', 'CHAIN', 'handle', 'HANDLE'],
  ];

  it.each(meddling)('%s: it is put back at once', async (_what, ...args) => {
    await openTables(domnet, 'netdev vifd');
    const daemon = await domnet.vifd();
    await twoGuests();
    const { ifindex } = (await domnet.link('vif1.0')) ?? {};
    const listing = await domnet.exec('nft', ['-a', 'list', 'table', 'netdev', 'vifd']);
    const handle = /jump guest comment "vif1\.0" # handle (\d+)/.exec(listing)?.[1] as string;
    const before = await ruleset();
    await domnet.exec(
      'nft',
      args.map((arg) => (arg === 'CHAIN' ? `vif1.0_${ifindex}` : arg === 'HANDLE' ? handle : arg)),
    );
    await daemon.logged('vif repaired', 'vif1.0');
    await until('the rules of before', async () => sameRules(await ruleset(), before));
    expect(await arrives('10.0.0.66')).toBe(false);
    expect(await arrives('10.0.0.1')).toBe(true);
    expect((await domnet.link('vif1.0'))?.flags).toContain('UP');
  });
});

/** The same chains in any order, with the same rules in order, without their counters. */
function sameRules(one: string, other: string): boolean {
  const chains = (text: string): string[] =>
    text
      .replace(/packets \d+ bytes \d+|# progname.*|\tflags.*\n\n?/g, '')
      .split(/\n(?=\tchain )/)
      .map((chain) => chain.replace(/\s+|}/g, ' ').trim())
      .sort();
  return JSON.stringify(chains(one)) === JSON.stringify(chains(other));
}

describe('a vif', () => {
  it('is held to its new addresses when they change, without going down', async () => {
    const daemon = await domnet.vifd();
    const [vif] = await twoGuests();
    const beside = await Neighbours.of(daemon, domnet, 'bridge');
    await vif.write({ ip: '10.0.0.66' });
    const { actions } = await until('the line about it', () =>
      daemon.log.find((line) => line.vif === 'vif1.0' && line.actions !== undefined),
    );
    // No link was touched.
    expect(actions).toEqual([expect.stringMatching(/^nft /)]);
    expect(await arrives('10.0.0.1')).toBe(false);
    expect(await arrives('10.0.0.66')).toBe(true);
    await vif.write({ ip: '' });
    const macs = () => domnet.exec('nft', ['list', 'set', 'netdev', 'vifd', 'macs']);
    await until('what held it to go', async () => !(await macs()).includes('vif1.0'));
    expect(await arrives('10.0.0.1')).toBe(true);
    await beside.untouched();
  });

  it('takes its rules along when it goes', async () => {
    await domnet.vifd();
    const [one, two] = await twoGuests();
    await one.unplug();
    await until('its chain to go', async () => !(await ruleset()).includes('vif1.0'));
    expect(await ruleset()).toContain('vif2.0');
    await two.unplug();
    await until('its chain to go', async () => !(await ruleset()).includes('vif2.0'));
  });

  it('keeps its rules, and what they counted, when the daemon starts again; what belongs to none goes', async () => {
    const first = await domnet.vifd();
    const [, two] = await twoGuests();
    await arrivals();
    await first.terminate();
    const withHandles = () => domnet.exec('nft', ['-a', 'list', 'chain', 'netdev', 'vifd', chain]);
    const chain = `vif1.0_${(await domnet.link('vif1.0'))?.ifindex}`;
    const before = await withHandles();
    // While no daemon runs.
    await two.removeNetdev();
    await domnet.xenstore.rm(two.backend);
    const second = await domnet.vifd();
    await second.logged('vif adopted', 'vif1.0');
    await until('the left-over to go', async () => !(await ruleset()).includes('vif2.0'));
    expect(await withHandles()).toBe(before);
  });

  it('is filtered again when netback makes its netdev anew under the old name', async () => {
    const daemon = await domnet.vifd();
    const [vif] = await twoGuests();
    const beside = await Neighbours.of(daemon, domnet, 'bridge');
    const before = await domnet.link('vif1.0');
    await vif.removeNetdev();
    await vif.addNetdev();
    const after = await until('the new netdev on the bridge', async () => {
      const link = await domnet.link('vif1.0');
      return link?.ifindex !== before?.ifindex && link?.flags.includes('UP') && link;
    });
    expect(await ruleset()).not.toContain(`vif1.0_${before?.ifindex}`);
    expect(await ruleset()).toContain(`chain vif1.0_${after.ifindex}`);
    expect(await arrives('10.0.0.66')).toBe(false);
    expect(await arrives('10.0.0.1')).toBe(true);
    await beside.untouched();
  });

  it('is filtered under the name dom0 chose for it', async () => {
    await domnet.vifd();
    await twoGuests({ ip: ipKey, vifname: 'web0' });
    expect(await ruleset()).toContain('device "web0"');
    expect(await arrives('10.0.0.66')).toBe(false);
    expect(await arrives('10.0.0.1')).toBe(true);
  });

  it('stays down with an error while its rules cannot be had, and comes up when they can', async () => {
    const foreign = await Foreign.table(domnet);
    await domnet.vifd();
    const vif = await domnet.plug({ domid: 1, keys: { ip: ipKey } });
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toMatch(
      /^run nft 'add element netdev vifd networks4 .* and \d+ more: .*Operation not permitted$/,
    );
    const link = await domnet.link('vif1.0');
    expect(link?.flags).not.toContain('UP');
    expect(link?.master).toBeUndefined();
    foreign.end();
    await vif.connected();
    expect(await ruleset()).toContain('chain vif1.0_');
  });

  it('is taken down when its rules are lost and cannot be had again', async () => {
    await openTables(domnet, 'netdev vifd');
    await domnet.vifd();
    await twoGuests();
    const foreign = await Foreign.table(domnet, 'delete table netdev vifd; ');
    await until('the link to go down', async () => !(await domnet.link('vif1.0'))?.flags.includes('UP'));
    foreign.end();
    await until('the link to come up', async () => (await domnet.link('vif1.0'))?.flags.includes('UP'));
    expect(await arrives('10.0.0.66')).toBe(false);
  });
});
