import { expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/config.js';
import { nat } from '../../../../src/decide/topology/nat.js';
import { route } from '../../../../src/decide/topology/route.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import { Machine, plainLinks } from '../../../fake/machine.js';

const topologies = { nat, route };
const resolvers = ['192.0.2.53', '2001:db8::53'];

/** What is desired beside the link of vif5.0, with `guest_keys`. */
function desired(topology: keyof typeof topologies, keys: Record<string, string>, config = '') {
  const machine = new Machine({
    links: plainLinks([
      { index: 2, name: 'eth0', up: true, addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { index: 5, name: 'vif5.0', up: true },
    ]),
    openvswitch: undefined,
    ip: {
      routes: ['0.0.0.0/0', '::/0'].map((to) => ({ to, dev: 'eth0' })),
      resolvers,
      sysctls: { 'net/ipv6/conf/vif5.0/disable_ipv6': '0', 'net/ipv6/conf/all/disable_ipv6': '0' },
    },
    scripts: new Map(),
  });
  const all = { script: `vif-${topology}`, mac: '00:16:3e:00:00:05', ...keys };
  const attachment = topologies[topology].attach(
    snapshot({ domid: 5, devid: 0 }, new Map(Object.entries(all))),
    parseConfig(`[${topology}]\n${config}`, 'vifd.toml'),
    machine.observe(),
    undefined,
  );
  if ('problem' in attachment) throw attachment.problem;
  return attachment.desired.ip;
}

const on = 'guest_keys = true\n';

test.each([
  [
    'nat',
    'by the plan, with the resolvers of this machine',
    { mtu: '1400' },
    '',
    { ip: '10.0.5.1/16', gateway: '10.0.5.128', resolver: '192.0.2.53', mtu: '1400' },
  ],
  [
    'nat',
    'with several addresses, and its router for a resolver where dnsmasq answers',
    { ip: '10.9.0.5/24 10.8.0.5 fd00:9::5/64' },
    'dhcp = "dnsmasq"\n',
    {
      ip: '10.9.0.5/24 10.8.0.5/24',
      ip6: 'fd00:9::5/128',
      gateway: '10.9.0.132',
      gateway6: 'fe80::1',
      resolver: '10.9.0.132 2001:db8::53',
    },
  ],
  [
    'nat',
    'with IPv6 alone',
    { ip: 'fd00:9::5' },
    'dhcp = "dnsmasq"\nrouter_advertisements = true\n',
    { ip6: 'fd00:9::5/128', gateway6: 'fe80::1', resolver: 'fd76:6966:ffff::1' },
  ],
  [
    'route',
    'with single addresses, and not the networks',
    { ip: '198.51.100.5/24 198.51.100.9 198.51.100.64/28 2001:db8::5/64 2001:db8:5::/64 fe80::5' },
    '',
    {
      ip: '198.51.100.5/24 198.51.100.9/32',
      ip6: '2001:db8::5/128',
      gateway: '192.0.2.1',
      gateway6: 'fe80::1',
      resolver: resolvers.join(' '),
    },
  ],
  [
    'route',
    'with the resolvers of the configuration',
    { ip: '198.51.100.5' },
    'dns = ["192.0.2.99", "2001:db8::99"]\n',
    { ip: '198.51.100.5/32', gateway: '192.0.2.1', resolver: '192.0.2.99' },
  ],
  ['route', 'without an address', {}, '', undefined],
] as const)('%s: a guest %s', (topology, _, keys, config, found) => {
  expect(desired(topology, keys, `${on}${config}`)?.guestKeys).toEqual(found);
  expect(desired(topology, keys, config)).not.toHaveProperty('guestKeys');
});

test.each(['nat', 'route'] as const)('%s: a guest reaches the resolvers that it finds', (topology) => {
  const keys = { ip: '198.51.100.5' };
  expect(desired(topology, keys, on)?.forwards?.resolvers).toEqual(['192.0.2.53']);
  expect(desired(topology, keys)?.forwards?.resolvers).toBeUndefined();
});
