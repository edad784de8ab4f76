import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { configure, connectUplink, guest, outer, plugGuest, reaches } from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { until } from '../../support/process/exec.js';
import { aSecond, connected, missing } from '../../support/process/status.js';

// What a vif cannot have for itself alone, it says to be missing, and has the rest.

let domnet: Domnet;
beforeEach(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet);
});
afterEach(() => domnet.stop());

const sysctl = (setting: string): Promise<string> => domnet.exec('sysctl', ['-qw', setting]);

const withIpv6 = {
  route: { ip: '192.0.2.5 2001:db8::5' },
  nat: { ip: '10.0.5.1/16 fd00::5' },
} as const;

/** The guest's way to the internet by IPv6 as well. */
async function configure6(vif: Vif, kind: 'route' | 'nat'): Promise<void> {
  const address = withIpv6[kind].ip.split(' ')[1];
  await vif.guestIp(`address replace ${address}/128 dev eth0 nodad`);
  await vif.guestIp('-6 route replace default via fe80::1 dev eth0');
}

describe.each(['route', 'nat'] as const)('%s', (kind) => {
  // The first guest with IPv6 switches it on for `all`, which the kernel writes into every device's.
  beforeEach(() => sysctl('net.ipv6.conf.all.forwarding=1'));

  test('with an MTU below the least of IPv6 it is attached', async () => {
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, kind);
    const vif = await guest(domnet, kind, 5, { mtu: '1200' });
    await reaches(vif, outer);
    expect((await domnet.link('vif5.0'))?.mtu).toBe(1200);
    await connected(vif);
    // It asked for nothing that it does not have.
    await missing([vif], []);
    await vif.unplug();
    await beside.untouched();
  });

  test('with such an MTU and an IPv6 address it has IPv4, says so, and has both with a larger one', async () => {
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, kind);
    const vif = await guest(domnet, kind, 5, { mtu: '1200', ...withIpv6[kind] });
    await reaches(vif, outer);
    await missing([vif], [/1280.*IPv6|IPv6.*1280/]);
    await connected(vif);
    await vif.write({ mtu: '1400' });
    await missing([vif], []);
    await configure6(vif, kind);
    await reaches(vif, '2001:db8::fe');
    // And back again, while it runs.
    await vif.write({ mtu: '1200' });
    await missing([vif], [/1280.*IPv6|IPv6.*1280/]);
    await reaches(vif, outer, aSecond);
    await connected(vif);
    expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
    await vif.unplug();
    expect(await domnet.ip('-6 route show proto 120')).toBe('');
    await beside.untouched();
  });

  test('with IPv6 switched off for new devices it has IPv4, and says so', async () => {
    await sysctl('net.ipv6.conf.default.disable_ipv6=1');
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, kind);
    const vif = await guest(domnet, kind, 5, withIpv6[kind]);
    await reaches(vif, outer);
    await missing([vif], [/disable_ipv6|IPv6.*(off|disabled)/]);
    await connected(vif);
    expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
    await beside.untouched();
  });

  test('with IPv6 switched off on it by hand it keeps IPv4, and says so', async () => {
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, kind);
    const vif = await guest(domnet, kind, 5, withIpv6[kind]);
    await missing([vif], []);
    await sysctl('net/ipv6/conf/vif5.0/disable_ipv6=1');
    await missing([vif], [/disable_ipv6|IPv6.*(off|disabled)/]);
    await reaches(vif, outer, aSecond);
    await connected(vif);
    await sysctl('net/ipv6/conf/vif5.0/disable_ipv6=0');
    // The kernel tells of it when it has found its link-local address to be free.
    await missing([vif], [], 5 * aSecond);
    await configure6(vif, kind);
    await reaches(vif, '2001:db8::fe');
    await beside.untouched();
  });
});

describe('an address of a NAT guest', () => {
  test('that the domain gets later on another interface does not take the guest off', async () => {
    const daemon = await domnet.vifd();
    const vif = await guest(domnet, 'nat', 5);
    const beside = await Neighbours.of(daemon, domnet, 'nat');
    await domnet.ip('link add lan1 type veth peer name lan1-peer');
    for (const name of ['lan1-peer', 'lan1']) await domnet.ip(`link set ${name} up`);
    for (const address of ['10.0.5.1/32', '10.0.5.128/32']) {
      await domnet.ip(`address add ${address} dev lan1`);
      if (address === '10.0.5.1/32') await missing([vif], [/10\.0\.5\.1\b.*lan1|lan1.*10\.0\.5\.1\b/]);
      await connected(vif);
      expect((await domnet.link('vif5.0'))?.flags).toContain('UP');
      await domnet.ip(`address delete ${address} dev lan1`);
      await missing([vif], []);
      await reaches(vif, outer, aSecond);
    }
    expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
    await beside.untouched();
  });

  test('that the domain has already is refused at birth, and a vif that has it stays as it is', async () => {
    await domnet.ip('address add 10.0.5.1/32 dev eth0');
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, 'nat');
    const vif = await plugGuest(domnet, 'nat', 5, { ip: '10.0.5.1/16' });
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toBe(
      'give vif5.0 the address 10.0.5.1: eth0 has it as an address of this domain',
    );
    expect((await domnet.link('vif5.0'))?.flags).not.toContain('UP');
    const twin = await plugGuest(domnet, 'nat', 6, { ip: '10.0.201.1/16' });
    await twin.status('error');
    expect(await twin.read('hotplug-error')).toBe('give vif6.0 the address 10.0.201.1: vif201.0 has it');
    await domnet.ip('address delete 10.0.5.1/32 dev eth0');
    await vif.connected();
    await configure('nat', vif);
    await reaches(vif, outer);
    await beside.untouched();
  });

  test('that another vif is given by dom0 while both run stays with the one that has it', async () => {
    const daemon = await domnet.vifd();
    const beside = await Neighbours.of(daemon, domnet, 'nat');
    const vif = await guest(domnet, 'nat', 5);
    await vif.write({ ip: '10.0.201.1/16' });
    await vif.status('error');
    expect(await vif.read('hotplug-error')).toBe('give vif5.0 the address 10.0.201.1: vif201.0 has it');
    expect((await domnet.link('vif5.0'))?.flags).not.toContain('UP');
    await until('its old route to go', async () => (await domnet.ip('route show 10.0.5.1')) === '');
    await beside.untouched();
  });
});
