import { expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/config.js';
import { unreachedOnLink } from '../../../../src/decide/topology/on-link.js';
import { route } from '../../../../src/decide/topology/route.js';
import { formatNetwork } from '../../../../src/model/address.js';
import { type Dependency, dependencyKey } from '../../../../src/model/dependency.js';
import type { Element } from '../../../../src/model/nft.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import type { PlainIp } from '../../../fake/ip-machine.js';
import { Machine, plainLinks } from '../../../fake/machine.js';

const uplink = { index: 2, name: 'eth0', up: true, addresses: ['192.0.2.1/24'] };
const routes = [{ to: '0.0.0.0/0', dev: 'eth0' }];

/** What vif5.0 is given of these addresses beside the newer vif6.0, whose link is down. */
function beside(ip: string, more: PlainIp, elements: readonly Element[] = []) {
  const machine = new Machine({
    links: plainLinks([uplink, { index: 5, name: 'vif5.0', up: true }, { index: 6, name: 'vif6.0' }]),
    openvswitch: undefined,
    ip: { routes, ...more },
    scripts: new Map(),
  });
  for (const element of elements) machine.nft.add(element, 'vif6.0');
  const keys = { script: 'vif-route', mac: '00:16:3e:00:00:05', ip };
  const attachment = route.attach(
    snapshot({ domid: 5, devid: 0 }, new Map(Object.entries(keys))),
    parseConfig('', 'vifd.toml'),
    machine.observe(),
    { addresses: [] },
  );
  if ('problem' in attachment) throw attachment.problem;
  return {
    has: attachment.desired.ip?.routes.map(({ to }) => formatNetwork(to)),
    asksFor: attachment.dependsOn.map((one: Dependency) => dependencyKey(one)).join(),
  };
}

const routed: Element = { set: 'routed', key: ['vif6.0'] };

test.each<[string, string, PlainIp, Element[]]>([
  ['as its filter tells', '192.0.2.5', {}, [routed, { set: 'hosts4', key: ['vif6.0', '192.0.2.5'] }]],
  [
    'as its filter tells of a network',
    '192.0.2.64/28',
    {},
    [routed, { set: 'networks4', key: ['vif6.0', '192.0.2.64/28'] }],
  ],
  [
    'as is answered for it',
    '192.0.2.5',
    { proxies: [{ address: '192.0.2.5', dev: 'eth0', vif: 'vif6.0' }] },
    [],
  ],
])('a newer vif whose link is down for a while has its address, %s', (_, ip, more, elements) => {
  const { has, asksFor } = beside(ip, more, elements);
  expect(has).toEqual([]);
  expect(asksFor).toContain('vif6.0');
});

test.each<[string, PlainIp, Element[]]>([
  ['a newer vif on a bridge', {}, [{ set: 'hosts4', key: ['vif6.0', '192.0.2.5'] }]],
  [
    'a newer vif at which the address is answered for',
    { proxies: [{ address: '192.0.2.5', dev: 'vif6.0', vif: 'vif6.0' }] },
    [],
  ],
  ['a newer vif with another address', {}, [routed, { set: 'hosts4', key: ['vif6.0', '192.0.2.6'] }]],
])('%s takes no address', (_, more, elements) => {
  expect(beside('192.0.2.5', more, elements).has).toEqual(['192.0.2.5']);
});

test.each<[string, string, boolean]>([
  ['2001:db8::5/64', '2001:db8::1/64', true],
  ['2001:db8::5/56', '2001:db8::1/64', true],
  ['2001:db8::5/80', '2001:db8::1/64', true],
  ['2001:db8::5', '2001:db8::1/64', false],
  ['2001:db8::/64', '2001:db8::1/64', false],
  ['2001:db8:0:1::5/64', '2001:db8::1/64', false],
  ['2001:db8::5/64', '2001:db8::1', false],
  ['192.0.2.5/24', '192.0.2.1/24', false],
])(
  'with %s behind a gateway device with %s, that hosts there are not reached is said: %s',
  (ip, held, isSaid) => {
    const vif = snapshot({ domid: 5, devid: 0 }, new Map([['ip', ip]]));
    const [eth0] = plainLinks([{ ...uplink, addresses: [held] }]);
    expect(unreachedOnLink(vif, eth0).map(({ code }) => code)).toEqual(isSaid ? ['ipv6-on-link'] : []);
  },
);
