import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { reaches } from '../../support/net/guests.js';
import { Outside } from '../../support/net/outside.js';
import { Background } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

// Three ways to one internet, in a namespace each, and two guests that go out by them.

let domnet: Domnet;
let vifd: Vifd;
const outside = new Map<string, Outside>();
const there = '198.51.100.80';
const devices = ['eth0', 'wlan0', 'tun0'];
const gateway = (device: string): string => `203.0.${113 + devices.indexOf(device)}.9`;
const own = (device: string): string => `203.0.${113 + devices.indexOf(device)}.1`;
let guests: readonly [Vif, Vif];

beforeAll(async () => {
  domnet = await Domnet.start();
  for (const [i, device] of devices.entries()) {
    const network = await Outside.connect(domnet, {
      device,
      addresses: [`${own(device)}/24`],
      peer: [`${gateway(device)}/24`, `${there}/32`],
      number: 60_000 + i,
    });
    outside.set(device, network);
    // Guests' own networks are known there: what is not masqueraded is answered as well, so that it is seen and not lost.
    await network.ip(`route add 10.0.0.0/8 via ${own(device)}`);
    const rules = [
      'add table inet seen',
      'add set inet seen sources { type ipv4_addr; flags dynamic; size 64; timeout 1h; }',
      'add chain inet seen in { type filter hook prerouting priority -300; }',
      `add rule inet seen in ip daddr ${there} update @sources { ip saddr }`,
    ];
    await network.exec('nft', [rules.join('\n')]);
  }
  await domnet.ip(`route add default via ${gateway('eth0')}`);
  vifd = await domnet.vifd({ config: '' });
  guests = [await natGuest(5), await natGuest(6)];
}, 30_000);
afterAll(() => domnet.stop());

async function natGuest(domid: number): Promise<Vif> {
  const vif = await domnet.plug({ domid, keys: { script: 'vif-nat', bridge: undefined } });
  await vif.connected();
  await vif.guestIp(`address add 10.0.${domid}.1/16 dev eth0`);
  await vif.guestIp(`route add default via 10.0.${domid}.128`);
  return vif;
}

/** The sources that have been seen behind a device since they were asked for last. */
async function sources(device: string): Promise<string[]> {
  const network = outside.get(device) as Outside;
  const listed = await network.exec('nft', ['list set inet seen sources']);
  await network.exec('nft', ['flush set inet seen sources']);
  return [...listed.matchAll(/(\d+(?:\.\d+){3}) expires|(\d+(?:\.\d+){3}) timeout/g)]
    .map(([, one, other]) => one ?? other ?? '')
    .sort();
}
const forgetSources = () => Promise.all(devices.map(sources));

async function configure(config: string): Promise<void> {
  writeFileSync(`${domnet.dir}/vifd.toml`, config);
  const reloads = (): number => vifd.log.filter(({ msg }) => msg === 'configuration reloaded').length;
  const before = reloads();
  vifd.hangUp();
  await until('the reload', () => reloads() > before);
}

const masquerades = async (address: string): Promise<string[]> => {
  const ruleset = await domnet.exec('nft', ['list', 'set', 'inet', 'vifd', 'masqueraded4']);
  return [...ruleset.matchAll(new RegExp(`${address.replaceAll('.', '\\.')} \\. "([^"]+)"`, 'g'))]
    .map(([, device = '']) => device)
    .sort();
};
const masqueraded = (by: string) =>
  until(`masquerading by ${by}`, async () => (await masquerades('10.0.5.1')).join() === by);

/** Whether one ping is answered. */
const answered = (vif: Vif, address = there): Promise<boolean> =>
  vif.guestExec('ping', ['-c', '1', '-W', '0.3', address]).then(
    () => true,
    () => false,
  );

/** A flow of UDP that never pauses, and whose connection therefore never times out. */
async function flow(vif: Vif): Promise<Background> {
  const datagrams = `exec 3>/dev/udp/${there}/9; while :; do echo x >&3; sleep 0.02; done`;
  const namespace = await domnet.guestNamespace(vif.domid);
  const flow = new Background('ip', ['netns', 'exec', namespace, 'bash', '-c', `${datagrams} 2>/dev/null`]);
  domnet.atEnd(() => flow.stop('SIGKILL'));
  return flow;
}

test('a flow that goes on while the default route moves is masqueraded at the new one', async () => {
  const [vif, other] = guests;
  for (const guest of guests) await reaches(guest, there);
  const flowing = await flow(vif);
  const between = await flow(other);
  await until('the flow outside', async () => (await sources('eth0')).includes(own('eth0')));
  // The device that is left stays up with its address, so that the kernel forgets nothing by itself.
  await domnet.ip(`route replace default via ${gateway('wlan0')}`);
  await until('the flow behind wlan0', async () => (await sources('wlan0')).includes(own('wlan0')), 2000);
  await masqueraded('wlan0');
  await until(
    'nothing but what is masqueraded',
    async () => (await sources('wlan0')).join() === own('wlan0'),
    2000,
  );
  await flowing.stop('SIGKILL');
  await between.stop('SIGKILL');
  for (const guest of guests) await reaches(guest, there);
  await reaches(vif, '10.0.6.1');
});

test('the halves of a default route, as VPNs have them, are a way out beside the default route', async () => {
  const [vif] = guests;
  const flowing = await flow(vif);
  await domnet.ip(`route add 0.0.0.0/1 via ${gateway('tun0')}`);
  await domnet.ip(`route add 128.0.0.0/1 via ${gateway('tun0')}`);
  await masqueraded('tun0,wlan0');
  await until('nothing else', async () => (await sources('tun0')).join() === own('tun0'), 2000);
  await reaches(vif, there);
  await domnet.ip('route delete 0.0.0.0/1');
  await domnet.ip('route delete 128.0.0.0/1');
  await masqueraded('wlan0');
  await until('the flow back', async () => (await sources('wlan0')).join() === own('wlan0'), 2000);
  await flowing.stop('SIGKILL');
});

test('a default route in another table, and one of several next hops, are ways out', async () => {
  const [, other] = guests;
  await domnet.ip(`route add default via ${gateway('tun0')} table 100`);
  await domnet.ip('rule add from 10.0.5.1 lookup 100');
  await masqueraded('tun0,wlan0');
  await forgetSources();
  for (const guest of guests) await reaches(guest, there);
  expect(await sources('tun0')).toEqual([own('tun0')]);
  expect(await sources('wlan0')).toEqual([own('wlan0')]);
  await domnet.ip('rule delete from 10.0.5.1 lookup 100');
  await domnet.ip('route flush table 100');
  await domnet.ip(
    `route replace default nexthop via ${gateway('eth0')} dev eth0 nexthop via ${gateway('wlan0')} dev wlan0`,
  );
  await masqueraded('eth0,wlan0');
  await reaches(other, there);
  await domnet.ip(`route replace default via ${gateway('eth0')}`);
  await masqueraded('eth0');
});

test("a VPN's table that is asked before the main one has the answers; that and the remedy are said, and it helps", async () => {
  const [vif, other] = guests;
  for (const guest of guests) await reaches(guest, there);
  await domnet.ip(`route add default via ${gateway('tun0')} table 52`);
  await domnet.ip('rule add pref 5270 lookup 52');
  await masqueraded('eth0,tun0');
  const { missing } = await vifd.logged('vif degraded', vif.name);
  const remedy = 'ip rule add pref 5269 to 10.0.5.1 lookup main';
  expect(missing).toEqual([
    'route vif5.0 10.0.5.1: for packets that come in by eth0 the rule of pref 5270, table 52, goes before the main table and ' +
      `leads to tun0; to let them through: ${remedy}`,
  ]);
  expect(await answered(vif)).toBe(false);
  const check = await domnet.command('check', vif.name);
  expect(check.stdout).toMatch(
    /route back.*leads to tun0[\s\S]*ip rule add pref 5269 to 10\.0\.5\.1 lookup main/,
  );
  await domnet.ip(remedy.replace(/^ip /, ''));
  await vifd.logged('vif no longer degraded', vif.name);
  await reaches(vif, there);
  expect(await answered(other)).toBe(false);
  // Networks of the VPN alone stand in no way, and one that has the guests does.
  await domnet.ip('route delete default table 52');
  await vifd.logged('vif no longer degraded', other.name);
  await reaches(other, there);
  const said = () =>
    vifd.log.filter(({ msg, vif: of }) => msg === 'vif degraded' && of === other.name).length;
  await domnet.ip(`route add 100.64.0.0/10 via ${gateway('tun0')} table 52`);
  await domnet.ip(`route add 10.0.0.0/16 via ${gateway('tun0')} table 52`);
  await until('the second line about it', () => said() === 2);
  await domnet.ip('rule delete pref 5270');
  await reaches(other, there);
  await domnet.ip('rule delete pref 5269');
  await domnet.ip('route flush table 52');
  await masqueraded('eth0');
});

test('of named uplinks the guests use those that there are, and nothing leaves by another', async () => {
  const [vif, other] = guests;
  await configure('[nat]\nuplink = ["tun0", "wlan0"]\n');
  await masqueraded('tun0,wlan0');
  await forgetSources();
  // The default route still leads to eth0.
  expect(await answered(vif)).toBe(false);
  expect(await sources('eth0')).toEqual([]);
  expect(await answered(vif, '10.0.6.1')).toBe(true);
  await domnet.ip(`route add 0.0.0.0/1 via ${gateway('tun0')}`);
  await domnet.ip(`route add 128.0.0.0/1 via ${gateway('tun0')}`);
  for (const guest of guests) await reaches(guest, there);
  expect(await sources('tun0')).toEqual([own('tun0')]);
  // The tunnel ends while connections go on.
  const flowing = await flow(other);
  await until('the flow', async () => (await sources('tun0')).includes(own('tun0')));
  await domnet.ip('link set tun0 down');
  await domnet.ip('route get 198.51.100.80');
  expect(await answered(other)).toBe(false);
  expect(await sources('eth0')).toEqual([]);
  expect(await other.read('hotplug-status')).toBe('connected');
  await flowing.stop('SIGKILL');
  await domnet.ip('link set tun0 up');
  // What begins outside is answered there, where it is let in: by a device that vifd made forward that is a forwarded port.
  const lan = outside.get('eth0') as Outside;
  const ping = (to: string) => lan.exec('ping', ['-c', '1', '-W', '1', to]);
  await expect(ping('10.0.5.1')).rejects.toThrow();
  const rule = 'iifname "eth0" icmp type echo-request dnat to 10.0.5.1';
  await domnet.exec('nft', [
    `table ip mine { chain in { type nat hook prerouting priority -100; ${rule}; }; }`,
  ]);
  await ping(own('eth0'));
  await domnet.exec('nft', ['delete table ip mine']);
});

test('a guest has an uplink of its own', async () => {
  const [vif, other] = guests;
  const mac = await vif.read('mac');
  await configure(`[[vif]]\nmac = "${mac}"\nuplink = "wlan0"\n`);
  await masqueraded('wlan0');
  await until('eth0 for the other', async () => (await masquerades('10.0.6.1')).join() === 'eth0');
  await forgetSources();
  await reaches(other, there);
  expect(await answered(vif)).toBe(false);
  expect(await sources('eth0')).toEqual([own('eth0')]);
  await domnet.ip(`route add default via ${gateway('wlan0')} table 101`);
  // All that is known but for the default routes goes before.
  await domnet.ip('rule add pref 1000 iif vif5.0 lookup main suppress_prefixlength 0');
  await domnet.ip('rule add pref 1001 iif vif5.0 lookup 101');
  await reaches(vif, there);
  expect(await sources('wlan0')).toEqual([own('wlan0')]);
  await reaches(vif, '10.0.6.1');
});

test('a guest in whose network no address is left for its router has one as soon as there is', async () => {
  await domnet.ip('address add 203.0.114.200/16 dev tun0');
  const keys = { script: 'vif-nat', bridge: undefined, ip: '203.0.200.5/24' };
  const vif = await domnet.plug({ domid: 10, keys });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toContain("in another device's network");
  await domnet.ip('address delete 203.0.114.200/16 dev tun0');
  await until('the guest', async () => (await vif.read('hotplug-status')) === 'connected', 5000);
  for (const guest of guests)
    expect(await answered(guest, guest === guests[0] ? '10.0.6.1' : '10.0.5.1')).toBe(true);
  await vif.unplug();
});

test('no address is planned in a network that others have a route to, by whichever program and table', async () => {
  await domnet.ip('route add 10.0.7.0/24 dev tun0 proto 188');
  await domnet.ip(`route add 10.0.8.0/24 via ${gateway('tun0')} table 52`);
  const planned = async (domid: number): Promise<string> => {
    const vif = await domnet.plug({ domid, keys: { script: 'vif-nat', bridge: undefined } });
    await vif.connected();
    const [route] = JSON.parse(await domnet.ip(`-j route show dev ${vif.name}`)) as { dst: string }[];
    return route?.dst ?? '';
  };
  expect(await planned(7)).toMatch(/^10\.(?!0\.7\.)/);
  expect(await planned(8)).toMatch(/^10\.(?!0\.8\.)/);
  expect(await planned(9)).toBe('10.0.9.1');
  await domnet.ip('route delete 10.0.7.0/24');
  await domnet.ip('route flush table 52');
  for (const guest of guests)
    expect(await answered(guest, guest === guests[0] ? '10.0.6.1' : '10.0.5.1')).toBe(true);
});
