import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { ipKey } from '../../support/packets/parties.js';
import { Ping } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.ip('link add eth0 type veth peer name peer0');
  await domnet.ip('address add 192.0.2.1/24 dev eth0');
  for (const name of ['eth0', 'peer0']) await domnet.ip(`link set ${name} up`);
  await domnet.ip('route add default via 192.0.2.254');
});
afterEach(() => domnet.stop());

const ruleset = (): Promise<string> => domnet.exec('nft', ['list', 'ruleset']);

it('the file of the rules is one that nft takes', async () => {
  const file = fileURLToPath(new URL('../../../src/nft/vifd.nft', import.meta.url));
  expect(await domnet.exec('nft', ['-c', '-f', file])).toBe('');
  expect(await ruleset()).toBe('');
});

/** What `vifd plan` says about nf_tables, a command each. */
async function planned(vif: string): Promise<string[]> {
  const { stdout } = await domnet.command('plan', vif, '--json');
  return (JSON.parse(stdout) as { commands: string[] }).commands.filter((command) =>
    command.startsWith('nft '),
  );
}

it.each(['vif-bridge', 'vif-route', 'vif-nat'])(
  'what vifd plan prints can be pasted, whole, and leaves nothing of it to do: %s',
  async (script) => {
    const keys = { script, ip: script === 'vif-nat' ? '10.0.0.1 2001:db8::1' : ipKey };
    const names = ['vif1.0', 'vif2.0'];
    for (const domid of [1, 2])
      await domnet.plug({ domid, keys: domid === 1 ? keys : { ...keys, ip: '10.0.0.2' } });
    for (const vif of names) {
      const commands = await planned(vif);
      expect(commands.length).toBeGreaterThan(0);
      for (const command of commands) await domnet.exec('sh', ['-ec', command]);
      expect(await planned(vif)).toEqual([]);
    }
    // And it is what the daemon does.
    const pasted = sorted(await ruleset());
    for (const table of await tables()) await domnet.exec('nft', [`delete ${table}`]);
    // What forwards already would not be noted as made to.
    await domnet.exec('sysctl', [
      '-eqw',
      'net.ipv4.conf.eth0.forwarding=0',
      'net.ipv6.conf.all.forwarding=0',
    ]);
    const daemon = await domnet.vifd();
    for (const vif of names) await daemon.logged('vif attached', vif);
    expect(sorted(await ruleset())).toBe(pasted);
  },
);

const tables = async (): Promise<string[]> =>
  (await domnet.exec('nft', ['list', 'tables'])).split('\n').filter(Boolean);

/** A ruleset without what was counted, in an order of its own. */
const sorted = (text: string): string =>
  text
    .replace(/set drops \{.*\n(\t\t.*\n)*\t\}\n/, '')
    .replace(/counter packets \d+ bytes \d+| # progname.*|\tflags owner.*\n/g, '')
    .split(/[{},\n]/)
    .map((part) => part.trim())
    .filter(Boolean)
    .sort()
    .join('\n');

it('takes over what an earlier release has left, and loses no connection', async () => {
  const uplink = await domnet.guestNamespace(61_000);
  await domnet.ip(`link set peer0 netns ${uplink}`);
  await domnet.exec('ip', ['-n', uplink, 'address', 'add', '192.0.2.254/24', 'dev', 'peer0']);
  await domnet.exec('ip', ['-n', uplink, 'link', 'set', 'peer0', 'up']);
  const first = await domnet.vifd();
  const keys = (domid: number) => ({ script: 'vif-nat', ip: `10.0.0.${domid}` });
  const vifs = await Promise.all([5, 6].map((domid) => domnet.plug({ domid, keys: keys(domid) })));
  for (const vif of vifs) {
    await vif.connected();
    await vif.guestIp(`address add 10.0.0.${vif.domid}/24 dev eth0`);
    await vif.guestIp(`route add default via 10.0.0.${127 + vif.domid}`);
  }
  await first.kill();
  const index = async (name: string) => (await domnet.link(name))?.ifindex;
  const [five, six] = [await index('vif5.0'), await index('vif6.0')];
  const chain = (vif: string, of: number | undefined): string =>
    `chain ${vif}_${of} { type filter hook ingress device "${vif}" priority -300; policy drop; accept comment "IPv4 #1"; }`;
  const elements = `elements = { ${five} comment "vif5.0", ${six} comment "vif6.0" }`;
  await domnet.exec('nft', [
    `flush ruleset
     table inet vifd-nat {
       set guests4 { type ipv4_addr . ifname; elements = { 10.0.0.5 . "eth0" comment "vif5.0", 10.0.0.6 . "eth0" comment "vif6.0" }; }
       set guests6 { type ipv6_addr . ifname; }
       chain postrouting {
         type nat hook postrouting priority srcnat; policy accept;
         ip saddr . oifname @guests4 masquerade
         ip6 saddr . oifname @guests6 masquerade
       }
     }
     table inet vifd {
       set reverse { type iface_index; counter; ${elements}; }
       set protected { type iface_index; counter; ${elements}; }
       set dhcp { type iface_index; }
       set dns { type iface_index; }
       chain prerouting { type filter hook prerouting priority raw; policy accept; fib saddr . iif oif 0 fib saddr oif @reverse drop comment "address of a guest #1"; }
       chain input { type filter hook input priority filter; policy accept; icmp type echo-request accept comment "echo #1"; iif @protected drop comment "the driver domain itself #1"; }
     }
     table netdev vifd {
       chain no_tags { drop comment "VLAN tag #0123456789abc"; }
       chain guest { iifname "none" goto no_tags comment "tagged #0123456789abc"; }
       ${chain('vif5.0', five)}
       ${chain('vif6.0', six)}
     }`,
  ]);
  const pings = await Promise.all(
    [5, 6].map(async (domid) => new Ping(await domnet.guestNamespace(domid), '192.0.2.254')),
  );
  await until('answers', () => pings.every(({ answered }) => answered.length > 3));
  const second = await domnet.vifd();
  for (const vif of ['vif5.0', 'vif6.0']) await second.logged('vif adopted', vif);
  const before = pings.map(({ answered }) => answered.length);
  await until('more answers', () => pings.every(({ answered }, i) => answered.length > (before[i] ?? 0) + 5));
  expect(await Promise.all(pings.map(async (ping) => (await ping.stop()).lost))).toEqual([0, 0]);
  await until(
    'the tables of this release alone',
    async () => (await tables()).sort().join() === 'table inet vifd,table netdev vifd',
  );
  const now = await ruleset();
  expect(now).not.toMatch(
    /set (reverse|protected|dhcp|dns) |chain (prerouting|input|no_tags) |#(1|0123456789abc)"/,
  );
  expect(now).toMatch(/10\.0\.0\.5 \. "eth0" comment "vif5\.0"/);
  expect(second.log.filter(({ level }) => level !== 'info')).toEqual([]);
});
