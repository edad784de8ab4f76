import { afterEach, beforeEach, expect, it } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { openTables } from '../../support/net/open-tables.js';
import { ethernet, etherTypes, ipv4, udp } from '../../support/packets/frames.js';
import { Capture, send } from '../../support/packets/packets.js';
import { Ping } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// What others do to our tables, with two vifs: the second pings the driver domain all the while, and must lose nothing.

let domnet: Domnet;
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.ip('address add 10.0.0.254/24 dev xenbr0');
  await domnet.exec('sysctl', ['-eqw', 'net.bridge.bridge-nf-call-iptables=0']);
});
afterEach(() => domnet.stop());

const nft = (...words: string[]): Promise<string> => domnet.exec('nft', words);

/** A daemon with tables that others can change, and two vifs on a bridge. */
async function twoVifs(
  more: Record<string, string | undefined> = {},
  first: Record<string, string> = {},
): Promise<[Vifd, Vif, Vif]> {
  await openTables(domnet, 'netdev vifd', 'inet vifd');
  const daemon = await domnet.vifd({ config: '[log]\nlevel = "trace"\n' });
  const one = await domnet.plug({ domid: 1, keys: { ip: '10.0.0.1', ...more, ...first } });
  const two = await domnet.plug({ domid: 2, keys: { ip: '10.0.0.2', ...more } });
  for (const vif of [one, two]) await vif.connected();
  return [daemon, one, two];
}

/** What the second guest lost of a ping to the driver domain while something happened. */
async function lostMeanwhile(guest: Vif, what: () => Promise<void>, to = '10.0.0.254'): Promise<number> {
  await guest.guestIp(`address add 10.0.0.${guest.domid}/24 dev eth0`).catch(() => undefined);
  const ping = new Ping(await domnet.guestNamespace(guest.domid), to);
  const losses = async (): Promise<number> => (await ping.stop()).lost;
  try {
    await until('the first answers', () => ping.answered.length > 5);
    await what();
    const before = ping.answered.length;
    await until('more answers', () => ping.answered.length > before + 5);
  } catch (error) {
    await losses();
    throw error;
  }
  return await losses();
}

/** Whether a datagram from this address gets from the first guest to the driver domain's bridge. */
async function passes(source: string): Promise<boolean> {
  const from = '00:16:3e:00:01:00';
  const to = '00:16:3e:00:02:00';
  const frame = (address: string, id: number): Buffer =>
    ethernet(to, from, etherTypes.ip, ipv4({ from: address, to: '10.0.0.2', protocol: 17, id }, udp(id, 9)));
  const capture = await Capture.start(await domnet.guestNamespace(2), 'eth0');
  await send(await domnet.guestNamespace(1), 'eth0', [frame(source, 1), frame('10.0.0.1', 2)]);
  await capture.arrival(frame('10.0.0.1', 2));
  await capture.stop();
  return capture.saw(frame(source, 1));
}

/** What the daemon has done for a vif since it had logged so much. */
const changes = (daemon: Vifd, vif: string, since: number): string[] =>
  daemon.log
    .slice(since)
    .filter((line) => line.vif === vif && line.msg === 'host change')
    .map(({ action }) => String(action));

/** How often the daemon has looked at a vif since it had logged so much. */
const looks = (daemon: Vifd, vif: string, since: number): number =>
  daemon.log.slice(since).filter((line) => line.vif === vif && line.msg === 'reconciling vif').length;

/** The rules with their handles, and without what was counted. */
const handles = async (): Promise<string> =>
  (await nft('-a', '-s', 'list', 'ruleset')).replace(/set drops \{.*\n(\t\t.*\n)*\t\}\n/, '');

it('leaves a chain and a set of others alone, says so once, and does nothing more', async () => {
  const [daemon, one, two] = await twoVifs();
  const before = await handles();
  const since = daemon.log.length;
  const lost = await lostMeanwhile(two, async () => {
    await nft(
      'add chain netdev vifd mine; add rule netdev vifd mine counter comment "mine"; add set netdev vifd stock { type mark; }',
    );
    await until('the warnings', () => daemon.log.filter(({ level }) => level === 'warn').length >= 2);
    await nft('add rule netdev vifd mine drop');
    expect(await passes('10.0.0.66')).toBe(false);
  });
  expect(lost).toBe(0);
  const warnings = daemon.log.slice(since).filter(({ level }) => level === 'warn');
  expect(warnings.map(({ msg, object }) => [msg, object]).sort()).toEqual([
    ['not made by vifd, and left alone in its table', 'chain netdev vifd mine'],
    ['not made by vifd, and left alone in its table', 'set netdev vifd stock'],
  ]);
  expect(changes(daemon, 'vif1.0', since)).toEqual([]);
  expect(changes(daemon, 'vif2.0', since)).toEqual([]);
  // What the attachment has left to look at, and the minute's round.
  expect(looks(daemon, 'vif2.0', since)).toBeLessThanOrEqual(3);
  expect(await nft('list', 'chain', 'netdev', 'vifd', 'mine')).toContain('comment "mine"');
  await nft('delete chain netdev vifd mine; delete set netdev vifd stock');
  expect(await handles()).toBe(before);
  // And not deleted with what is ours.
  await nft('add chain netdev vifd mine');
  for (const vif of [one, two]) await vif.unplug();
  await until('the chains of the vifs to go', async () => !/chain vif/.test(await nft('list', 'ruleset')));
  expect(await nft('list', 'ruleset')).toContain('chain mine');
});

it('leaves routed vifs up when others put a chain into the table for routers', async () => {
  await domnet.ip('link add eth0 type veth peer name peer0');
  for (const name of ['eth0', 'peer0']) await domnet.ip(`link set ${name} up`);
  await domnet.ip('address add 192.0.2.1/24 dev eth0');
  await domnet.ip('route add default via 192.0.2.254');
  const [daemon, , two] = await twoVifs({ script: 'vif-route', bridge: undefined });
  await two.guestIp('address add 10.0.0.2/32 dev eth0');
  await two.guestIp('route add 192.0.2.1 dev eth0');
  const since = daemon.log.length;
  const lost = await lostMeanwhile(
    two,
    async () => {
      await nft('add chain inet vifd mine { type filter hook input priority 10; policy accept; }');
      await nft('add rule inet vifd mine counter');
      await daemon.logged('not made by vifd, and left alone in its table');
      await nft('add rule inet vifd to_this_machine counter accept');
      await until(
        'the rule to go',
        async () =>
          !/counter packets \d+ bytes \d+ accept/.test(
            await nft('list', 'chain', 'inet', 'vifd', 'to_this_machine'),
          ),
      );
    },
    '192.0.2.1',
  );
  expect(lost).toBe(0);
  // Both look for what the foreign rule has changed, one of them puts it right, and that is all.
  expect(
    [...changes(daemon, 'vif1.0', since), ...changes(daemon, 'vif2.0', since)].length,
  ).toBeLessThanOrEqual(2);
  for (const vif of ['vif1.0', 'vif2.0']) expect(looks(daemon, vif, since)).toBeLessThanOrEqual(4);
  for (const vif of ['vif1.0', 'vif2.0']) expect((await domnet.link(vif))?.flags).toContain('UP');
});

it('wakes a table that was switched off', async () => {
  const [daemon, , two] = await twoVifs();
  const lost = await lostMeanwhile(two, async () => {
    await nft('add table netdev vifd { flags dormant; }');
    await until(
      'the table to wake',
      async () => !(await nft('list', 'table', 'netdev', 'vifd')).includes('dormant'),
      1000,
    );
    expect(await passes('10.0.0.66')).toBe(false);
  });
  expect(lost).toBe(0);
  expect(daemon.log.filter(({ msg }) => msg === 'vif repaired').length).toBeGreaterThan(0);
  for (const vif of ['vif1.0', 'vif2.0']) expect((await domnet.link(vif))?.flags).toContain('UP');
});

it('wakes a table that sleeps and lacks what the next vif needs', async () => {
  const [, one, two] = await twoVifs();
  // Another's chains keep the tables when no vif needs them.
  await nft('add chain netdev vifd mine; add chain inet vifd mine');
  for (const vif of [one, two]) await vif.unplug();
  await nft('add table netdev vifd { flags dormant; }; add table inet vifd { flags dormant; }');
  const next = await domnet.plug({ domid: 3, keys: { ip: '10.0.0.3' } });
  const routed = await domnet.plug({
    domid: 4,
    keys: { ip: '192.0.2.4', script: 'vif-route', gatewaydev: 'xenbr0', bridge: undefined },
  });
  for (const vif of [next, routed]) await vif.connected();
  expect(await nft('list', 'tables')).toBe('table netdev vifd\ntable inet vifd\n');
  expect(await nft('list', 'ruleset')).not.toContain('dormant');
  expect(await lostMeanwhile(next, async () => undefined)).toBe(0);
});

it.each([
  ['insert rule netdev vifd guest accept', 'guest'],
  ['add element netdev vifd hosts4 { "vif1.0" . 10.0.0.66 }', 'hosts4'],
  ['flush chain netdev vifd from_ip', 'from_ip'],
  ['flush set netdev vifd macs', 'macs'],
  ['delete table netdev vifd', 'table'],
])('puts back at once: nft %s', async (command) => {
  const [daemon, , two] = await twoVifs();
  const before = await listing();
  const lost = await lostMeanwhile(two, async () => {
    await nft(command);
    await until('the rules of before', async () => (await listing()) === before, 2000);
    expect(await passes('10.0.0.66')).toBe(false);
  });
  // While a set is empty, or the rules are, the other guest's packets are refused too; 100 are sent in a second.
  expect(lost).toBeLessThan(command.startsWith('flush') ? 100 : 1);
  expect(daemon.log.filter(({ level, msg }) => level === 'error' || msg === 'vif not attached')).toEqual([]);
});

/** The table, its elements in order, and without what was counted. */
const listing = async (): Promise<string> => {
  const text = await nft('-s', 'list', 'table', 'netdev', 'vifd').catch(() => '');
  return text.replace(/set drops \{.*\n(\t\t.*\n)*\t\}\n/, '').replace(/elements = \{[^}]*\}/g, (elements) =>
    elements
      .split(/[{},]\s*/)
      .map((part) => part.trim())
      .sort()
      .join(),
  );
};

it('filters a netdev again that was renamed by hand while it was up', async () => {
  // What tells whose it is without netback: the alias that vifd leaves at a netdev which it renames.
  const [, , two] = await twoVifs({}, { vifname: 'web0' });
  const lost = await lostMeanwhile(two, async () => {
    await domnet.ip('link set dev web0 name stray0');
    await until(
      'its name, and the link up',
      async () => (await domnet.link('web0'))?.flags.includes('UP'),
      2000,
    );
    expect(await passes('10.0.0.66')).toBe(false);
  });
  expect(lost).toBe(0);
  expect(await nft('list', 'ruleset')).toMatch(/chain vif1\.0_\d+ \{\n[^}]*device "web0"/);
});

it('filters a netdev again that was in another namespace for a while', async () => {
  const [daemon, , two] = await twoVifs();
  const { ifindex } = (await domnet.link('vif1.0')) ?? {};
  const away = await domnet.guestNamespace(61_000);
  const lost = await lostMeanwhile(two, async () => {
    const since = daemon.log.length;
    await domnet.ip(`link set dev vif1.0 netns ${away}`);
    await exec('ip', ['-n', away, 'link', 'set', 'dev', 'vif1.0', 'netns', domnet.namespace]);
    await until('the link on the bridge', async () => {
      const link = await domnet.link('vif1.0');
      return link?.flags.includes('UP') && link.master === 'xenbr0';
    });
    expect((await domnet.link('vif1.0'))?.ifindex).toBe(ifindex);
    expect(await passes('10.0.0.66')).toBe(false);
    // Kernels before 6.16 delete the chain without a notification: it is made again in any case, before the link is up.
    const actions = changes(daemon, 'vif1.0', since);
    const kinds = actions.flatMap((action) =>
      action.includes(`add chain netdev vifd vif1.0_${ifindex} {`)
        ? ['chain']
        : /^ip link set dev vif1\.0 .*up$/.test(action)
          ? ['up']
          : [],
    );
    // The link is seen to go down before it is gone, and put up in vain.
    expect(kinds.slice(-2)).toEqual(['chain', 'up']);
  });
  expect(lost).toBe(0);
});

it('masquerades again after its rule was replaced by another', async () => {
  await domnet.ip('link add eth0 type veth peer name peer0');
  for (const name of ['eth0', 'peer0']) await domnet.ip(`link set ${name} up`);
  await domnet.ip('address add 192.0.2.1/24 dev eth0');
  await domnet.ip('route add default via 192.0.2.254');
  const [daemon, , two] = await twoVifs({ script: 'vif-nat', bridge: undefined });
  await two.guestIp('address add 10.0.0.2/32 dev eth0');
  await two.guestIp('route add 192.0.2.1 dev eth0');
  const chain = (): Promise<string> => nft('-a', 'list', 'chain', 'inet', 'vifd', 'leaving');
  const before = (await chain()).replace(/ # handle \d+/g, '');
  const [, handle = ''] = /@masqueraded4 masquerade [^\n]*# handle (\d+)/.exec(await chain()) ?? [];
  const lost = await lostMeanwhile(
    two,
    async () => {
      await nft(`replace rule inet vifd leaving handle ${handle} counter masquerade`);
      await until(
        'the rule of before',
        async () => (await chain()).replace(/ # handle \d+/g, '') === before,
        1000,
      );
    },
    '192.0.2.1',
  );
  expect(lost).toBe(0);
  await daemon.logged('vif repaired');
});
