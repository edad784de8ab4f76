import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { addressOf, connectUplink, guest, outer, reaches } from '../../support/net/guests.js';
import { exec, until } from '../../support/process/exec.js';

// What others put in the way of vifs: said at attach in the log and in `vifd status`, of each vif that it stops and of no other,
// and gone from there when it is.

let domnet: Domnet;
let daemon: Vifd;
const vifs = {} as Record<'nat' | 'route' | 'bridge', readonly [Vif, Vif]>;

const nft = (text: string) =>
  exec('ip', ['netns', 'exec', domnet.namespace, 'nft', '-f', '-'], { input: text });
const sysctl = (...values: string[]) => domnet.exec('sysctl', ['-qw', ...values]);

beforeAll(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet, { version6: false });
  await domnet.addBridge('xenbr0');
  await sysctl('net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0');
  // Docker was there before vifd.
  await nft(`table ip filter {
    chain DOCKER-USER {
    }
    chain FORWARD { type filter hook forward priority 0; policy drop
      jump DOCKER-USER
      oifname "docker0" ct state related,established accept
      iifname "docker0" oifname != "docker0" accept
      iifname "vif4.0" accept
      oifname "vif4.0" accept
    }
  }`);
  const guarded = '[[vif]]\nmac = "00:16:3e:00:0b:00"\nbpdu_guard = true\ncontrol_frames = true\n';
  daemon = await domnet.vifd({ config: `[nat]\ndhcp = "dnsmasq"\n${guarded}` });
  vifs.nat = [await guest(domnet, 'nat', 3), await guest(domnet, 'nat', 4)];
  vifs.route = [await guest(domnet, 'route', 5), await guest(domnet, 'route', 6)];
  vifs.bridge = [await guest(domnet, 'bridge', 7), await guest(domnet, 'bridge', 8)];
}, 60_000);
afterAll(() => domnet.stop());

interface Status {
  vifs: { vif: string; state: string; missing: string[] }[];
}
/** What each vif goes without, by its name. */
async function missing(): Promise<Record<string, string[]>> {
  const { vifs: all } = JSON.parse((await domnet.command('status', '--json')).stdout) as Status;
  expect(all.every(({ state }) => state === 'attached')).toBe(true);
  return Object.fromEntries(all.filter((vif) => vif.missing.length > 0).map((vif) => [vif.vif, vif.missing]));
}
/** Waits until exactly these vifs go without something. */
const expectMissing = (...names: string[]): Promise<Record<string, string[]>> =>
  until(`something in the way of ${names.join(', ') || 'none'}`, async () => {
    const found = await missing();
    return Object.keys(found).sort().join() === [...names].sort().join() ? found : undefined;
  });

test('Docker in the domain: said at attach, with the rules that let the vif through, which do', async () => {
  const { missing: said } = await daemon.logged('vif degraded', 'vif3.0');
  const way = 'iptables -I DOCKER-USER -i vif3.0 -j ACCEPT; iptables -I DOCKER-USER -o vif3.0 -j ACCEPT';
  expect(said).toEqual([
    `forward vif3.0 by eth0: the chain ip filter FORWARD drops packets of the guest by its policy; to let it through: ${way}`,
  ]);
  // The neighbour that it lets through is told of nothing, nor are bridged ones, whose frames it does not see.
  await expectMissing('vif3.0', 'vif5.0', 'vif6.0');
  await reaches(vifs.nat[1], outer);
  await reaches(vifs.bridge[0], addressOf('bridge', vifs.bridge[1]));
  await expect(reaches(vifs.nat[0], outer, 200)).rejects.toThrow();
  const open = (vif: string) =>
    `insert rule ip filter DOCKER-USER iifname "${vif}" accept\ninsert rule ip filter DOCKER-USER oifname "${vif}" accept\n`;
  await nft(open('vif3.0') + open('vif5.0'));
  await daemon.logged('vif no longer degraded', 'vif3.0');
  await expectMissing('vif6.0');
  for (const vif of [vifs.nat[0], vifs.route[0]]) await reaches(vif, outer);
});

test('br_netfilter makes it a matter of bridged vifs', async () => {
  await sysctl('net.bridge.bridge-nf-call-iptables=1');
  const vif = await guest(domnet, 'bridge', 9);
  const { missing: said } = await daemon.logged('vif degraded', vif.name);
  expect(said).toEqual([expect.stringContaining('sysctl -w net.bridge.bridge-nf-call-iptables=0')]);
  await sysctl('net.bridge.bridge-nf-call-iptables=0');
  await vif.unplug();
});

test('a drop at input that eats DHCP, of the one vif that it names', async () => {
  await nft('delete table ip filter');
  await expectMissing();
  await nft('table inet fw {\nchain in { type filter hook input priority 0; iifname "vif4.0" reject\n}\n}');
  const found = await expectMissing('vif4.0');
  expect(found['vif4.0']?.join()).toContain(
    'nft insert rule inet fw in iifname "vif4.0" udp dport 67 accept',
  );
  await nft('delete table inet fw');
  await expectMissing();
});

test('a policy that drops, with rules for ports: what they let through is no alarm, and the remedy ends it', async () => {
  const policy = (hook: string, rules: string): string =>
    `table inet fw {\nchain c { type filter hook ${hook} priority 0; policy drop;\n${rules}\n}\n}`;
  await nft(policy('input', 'udp dport { 67, 53 } counter accept\ntcp dport 443 accept'));
  // The next change is told of, so this one has been read.
  await nft('table inet fw2 {\nchain f { type filter hook forward priority 0; iifname "vif6.0" drop\n}\n}');
  await expectMissing('vif6.0');
  await nft('delete table inet fw\ndelete table inet fw2');
  await expectMissing();
  await nft(policy('input', 'udp dport 67 accept\niifname "vif4.0" udp dport 53 accept'));
  const { 'vif3.0': said } = await expectMissing('vif3.0');
  expect(said).toEqual([
    'serve vif3.0 as its resolver: the chain inet fw c drops its requests for names by its policy; to let it through: ' +
      'nft insert rule inet fw c iifname "vif3.0" udp dport 53 accept',
  ]);
  const [, command = ''] = /let it through: nft (.*)$/.exec(said?.[0] ?? '') ?? [];
  await nft(command);
  await expectMissing();
  await nft('delete table inet fw');
  await nft(policy('forward', 'ct state established accept\ntcp dport { 80, 443 } accept'));
  await nft('table inet fw2 {\nchain f { type filter hook forward priority 0; iifname "vif6.0" drop\n}\n}');
  await expectMissing('vif6.0');
  await nft('delete table inet fw\ndelete table inet fw2');
  await expectMissing();
});

test('a rule that asks for what is not known of a packet is no alarm', async () => {
  await nft(
    'table inet fw {\nchain f { type filter hook forward priority 0; policy drop; meta cpu 0-999 accept\n}\n}',
  );
  // The next change is told of, so this one has been read.
  await nft('table inet fw2 {\nchain f { type filter hook forward priority 0; iifname "vif6.0" drop\n}\n}');
  await expectMissing('vif6.0');
  await nft('delete table inet fw\ndelete table inet fw2');
  await expectMissing();
});

test('a spanning tree that waits: said at attach, and over when the port forwards', async () => {
  await domnet.ip('link add xenbr1 up type bridge stp_state 1 forward_delay 200');
  const vif = await domnet.plug({ domid: 10, keys: { bridge: 'xenbr1' } });
  const { missing: said } = await daemon.logged('vif degraded', vif.name);
  expect(said).toEqual([
    'attach vif10.0 to bridge xenbr1: its spanning tree lets nothing through for 4 s after each attach; ' +
      'if it needs none: ip link set dev xenbr1 type bridge stp_state 0',
  ]);
  expect(await vif.read('hotplug-status')).toBe('connected');
  await expectMissing(vif.name);
  await daemon.logged('vif no longer degraded', vif.name);
});

test('a port of a bridge that somebody has closed: said of the one vif, and not undone', async () => {
  const ofPort = (...setting: string[]) =>
    domnet.exec('bridge', ['link', 'set', 'dev', vifs.bridge[0].name, ...setting]);
  const pings = (timeout?: number) => reaches(vifs.bridge[0], addressOf('bridge', vifs.bridge[1]), timeout);
  await ofPort('state', '0');
  const { 'vif7.0': disabled } = await expectMissing('vif7.0');
  expect(disabled?.join()).toContain(
    'has set its port to disabled; to have it forward: bridge link set dev vif7.0 state 3',
  );
  await expect(pings(200)).rejects.toThrow();
  await ofPort('state', '3');
  await expectMissing();
  await pings();
  await ofPort('locked', 'on');
  const { 'vif7.0': locked } = await expectMissing('vif7.0');
  expect(locked?.join()).toContain('to unlock it: bridge link set dev vif7.0 locked off');
  await ofPort('locked', 'off');
  await expectMissing();
});

test('a bridge that is down: said of each vif on it and of no other, and none is taken off', async () => {
  const before = daemon.log.length;
  await domnet.ip('link set xenbr0 down');
  const reason = 'bridge xenbr0: it is down; run: ip link set dev xenbr0 up';
  const down = await until('the bridge to be said', async () => {
    const found = await missing();
    const all = Object.values(found);
    return all.length === 2 && all.every((told) => told.join().includes(reason)) ? found : undefined;
  });
  expect(down).toEqual({
    'vif7.0': [`attach vif7.0 to ${reason}`],
    'vif8.0': [`attach vif8.0 to ${reason}`],
  });
  await domnet.ip('link set dev xenbr0 up');
  await expectMissing();
  for (let round = 0; round < 5; round++) {
    await domnet.ip('link set vif7.0 nomaster');
    await until('the repair', async () => (await domnet.link('vif7.0'))?.master === 'xenbr0');
  }
  await reaches(vifs.bridge[0], addressOf('bridge', vifs.bridge[1]));
  // Each port is disabled for a moment then, by nobody.
  expect(JSON.stringify(daemon.log.slice(before))).not.toContain('has set its port');
});

test('a port that bpdu_guard has disabled: said, and over when its netdev was down', async () => {
  await domnet.ip('link add xenbr2 up type bridge stp_state 1 forward_delay 200');
  const vif = await domnet.plug({ domid: 11, keys: { bridge: 'xenbr2' } });
  await daemon.logged('vif no longer degraded', vif.name);
  // The guest is a switch now.
  await vif.guestIp('link add br0 up type bridge stp_state 1');
  await vif.guestIp('link set eth0 master br0');
  const { 'vif11.0': said } = await expectMissing(vif.name);
  expect(said?.join()).toContain('bpdu_guard has disabled the port');
  await vif.guestIp('link set eth0 nomaster');
  const [, command = ''] = /to enable it: ip (.*)$/.exec(said?.[0] ?? '') ?? [];
  await domnet.ip(command);
  await expectMissing();
});
