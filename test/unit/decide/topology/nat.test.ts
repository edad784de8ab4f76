import { expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/config.js';
import { nat } from '../../../../src/decide/topology/nat.js';
import { formatNetwork } from '../../../../src/model/address.js';
import { noIp } from '../../../../src/model/ip.js';
import { linkView } from '../../../../src/model/observed.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import type { PlainIp } from '../../../fake/ip-machine.js';
import { Machine, type PlainLink, plainLinks } from '../../../fake/machine.js';

function attach(domid: number, devid: number, { ip = '', config = '', masquerades = noIp.masquerades } = {}) {
  const keys = new Map([
    ['script', 'vif-nat'],
    ['mac', '00:16:3e:00:00:05'],
    ['ip', ip],
  ]);
  const attachment = nat.attach(
    snapshot({ domid, devid }, keys),
    parseConfig(config, 'vifd.toml'),
    {
      links: linkView([]),
      // A kernel with IPv6, in which nothing is set.
      ip: { ...noIp, sysctl: () => '0', masquerades },
    },
    undefined,
  );
  if ('problem' in attachment) return attachment.problem.message;
  const { link, ip: more } = attachment.desired;
  return {
    guests: more?.routes.map(({ to }) => formatNetwork(to)),
    routers: link.addresses.map(formatNetwork),
  };
}

test.each([
  [5, 0, '10.0.5.1', '10.0.5.128'],
  [300, 2, '10.1.44.3', '10.1.44.130'],
  [32751, 126, '10.127.239.127', '10.127.239.254'],
])('the plan gives domain %i, device %i the address %s behind %s', (domid, devid, guest, router) => {
  expect(attach(domid, devid)).toEqual({ guests: [guest], routers: [router] });
});

test('what others have is gone through a few times, and not for each of the thousand addresses that a vif might have', () => {
  let times = 0;
  class Counted extends Map<string, never> {
    override [Symbol.iterator]() {
      times++;
      return super[Symbol.iterator]();
    }
  }
  attach(5, 0, { masquerades: new Counted() });
  expect(times).toBeLessThan(5);
});

test('a network of our own is filled in the same way, and wraps', () => {
  const config = '[nat]\nnetwork = "192.168.0.0/16"\n';
  expect(attach(261, 0, { config })).toEqual({ guests: ['192.168.5.1'], routers: ['192.168.5.128'] });
});

test.each([
  ['10.7.0.9/24', '10.7.0.136'],
  ['10.7.0.9', '10.7.0.136'],
  ['10.7.0.127/16', '10.7.0.254'],
  ['10.7.0.128/16', '10.7.0.1'],
  ['10.7.0.254/24', '10.7.0.127'],
  ['10.7.0.70/26', '10.7.0.65'],
  ['10.7.0.65/26', '10.7.0.66'],
  ['10.7.0.5/31', '10.7.0.4'],
  ['10.7.0.4/31', '10.7.0.5'],
])('the router of %s is %s', (ip, router) => {
  expect(attach(5, 0, { ip })).toEqual({ guests: [ip.split('/')[0]], routers: [router] });
});

test('with an IPv6 address alone it has no IPv4 of the plan, and is behind fe80::1', () => {
  expect(attach(5, 0, { ip: 'fd00::9' })).toEqual({
    guests: ['fd00::9'],
    routers: ['fe80::1/64'],
  });
});

test.each([
  [5, 127, '', 'choose the address of vif5.127 10.0.0.0/8: there is none for device 127; give it by ip'],
  [
    5,
    0,
    '10.7.0.0/24',
    'choose the address of vif5.0 10.7.0.0/24: it is a network; give the address of the guest in it',
  ],
])('domain %i, device %i, ip "%s" is refused', (domid, devid, ip, message) => {
  expect(attach(domid, devid, { ip })).toBe(message);
});

const machineWith = (links: readonly PlainLink[], ip: PlainIp = {}): Machine =>
  new Machine({ links: plainLinks(links), openvswitch: undefined, ip, scripts: new Map() });

test.each([
  ['kept by the first vif while its link is down and nothing leads out', true],
  ['not refused for the sake of a guest on a bridge', false],
])('an address is %s', (_, isRouted) => {
  const machine = machineWith([
    { index: 1, name: 'vif4.0' },
    { index: 2, name: 'vif5.0' },
  ]);
  machine.nft.add({ set: 'hosts4', key: ['vif4.0', '10.0.9.5'] }, 'vif4.0');
  if (isRouted) machine.nft.add({ set: 'routed', key: ['vif4.0'] }, 'vif4.0');
  const keys = { script: 'vif-nat', mac: '00:16:3e:00:00:05', ip: '10.0.9.5' };
  const attachment = nat.attach(
    snapshot({ domid: 5, devid: 0 }, new Map(Object.entries(keys))),
    parseConfig('', 'vifd.toml'),
    machine.observe(),
    undefined,
  );
  expect('problem' in attachment && attachment.problem.message).toBe(
    isRouted && 'give vif5.0 the address 10.0.9.5: vif4.0 has it',
  );
});

/** Plans a guest without `ip` on a machine, as the reconciler does. */
function planOn(
  machine: Machine,
  { domid = 5, mac = '00:16:3e:00:00:05', network = '192.168.77.0/24' } = {},
): string | undefined {
  const attachment = nat.attach(
    snapshot({ domid, devid: 0 }, new Map(Object.entries({ script: 'vif-nat', mac }))),
    parseConfig(`[nat]\nnetwork = "${network}"\n`, 'vifd.toml'),
    machine.observe(),
    undefined,
  );
  if ('problem' in attachment) return attachment.problem.message;
  const route = attachment.desired.ip?.routes[0];
  return route && `${formatNetwork(route.to)} by ${route.source}`;
}

const macOf = (i: number): string =>
  `00:16:3e:00:${(i >> 8).toString(16).padStart(2, '0')}:${(i & 255).toString(16).padStart(2, '0')}`;

test('a small network holds as many guests as it has hosts beside the router, each at the address that it had', () => {
  const vifs = Array.from({ length: 253 }, (_, i) => i + 1);
  const machine = machineWith(vifs.map((i) => ({ index: i + 1, name: `vif${i}.0`, up: true })));
  const given = vifs.map((domid) => {
    const planned = planOn(machine, { domid, mac: macOf(domid) }) ?? '';
    const [to = '', , source = ''] = planned.split(' ');
    machine.perform({
      kind: 'set-route',
      index: domid + 1,
      name: `vif${domid}.0`,
      route: { to: { family: 4, address: to, prefix: 32 }, source },
    });
    return planned;
  });
  expect(new Set(given).size).toBe(253);
  expect(given.every((one) => one.endsWith(' by 192.168.77.1'))).toBe(true);
  // After a restart of the daemon.
  expect(vifs.map((domid) => planOn(machine, { domid, mac: macOf(domid) }))).toEqual(given);
  expect(planOn(machine, { domid: 300, mac: macOf(300) })).toMatch(/^choose the address .*no address left/);
  // After a restart of a guest, which has another domain's id then.
  const [to = ''] = (given[99] ?? '').split(' ');
  machine.perform({
    kind: 'delete-route',
    index: 101,
    name: 'vif100.0',
    to: { family: 4, address: to, prefix: 32 },
  });
  expect(planOn(machine, { domid: 300, mac: macOf(100) })).toBe(given[99]);
});

test('a network of /23 holds as many, whatever it held before by the stock plan', () => {
  const network = '192.168.76.0/23';
  const vifs = Array.from({ length: 509 }, (_, i) => i + 1);
  const machine = machineWith(vifs.map((i) => ({ index: i + 1, name: `vif${i}.0`, up: true })));
  const route = (domid: number, address: string, source: string) =>
    machine.perform({
      kind: 'set-route',
      index: domid + 1,
      name: `vif${domid}.0`,
      route: { to: { family: 4, address, prefix: 32 }, source },
    });
  // An earlier release gave it that, and it keeps it.
  route(1, '192.168.77.1', '192.168.77.128');
  const given = vifs.map((domid) => {
    const planned = planOn(machine, { domid, mac: macOf(domid), network }) ?? '';
    const [to = '', , source = ''] = planned.split(' ');
    route(domid, to, source);
    return planned;
  });
  expect(given[0]).toBe('192.168.77.1 by 192.168.77.128');
  expect(new Set(given).size).toBe(509);
  expect(given.slice(1).every((one) => one.endsWith(' by 192.168.76.1'))).toBe(true);
  expect(planOn(machine, { domid: 300, mac: macOf(300), network })).toBe(given[299]);
  expect(planOn(machine, { domid: 600, mac: macOf(600), network })).toMatch(/no address left/);
});

test('a guest that is started anew has the address of its MAC address, where that is free', () => {
  const machine = machineWith([]);
  expect(planOn(machine, { domid: 9 })).toBe(planOn(machine, { domid: 5 }));
  expect(planOn(machine, { mac: macOf(6) })).not.toBe(planOn(machine));
});

test.each([
  ['in the network of another device', { addresses: ['10.0.5.9/24'] }, {}],
  ['whose router would be', { addresses: ['10.0.5.130/25'] }, {}],
  ['of a next hop', { addresses: ['192.0.2.1/24'] }, { via: '10.0.5.1' }],
  ['of a resolver', { addresses: ['192.0.2.1/24'] }, { resolvers: ['10.0.5.1'] }],
  ['in a network that a route leads to', { addresses: ['192.0.2.1/24'] }, { away: '10.0.0.0/16' }],
  ['whose router a route leads to', { addresses: ['192.0.2.1/24'] }, { away: '10.0.5.128/25' }],
])(
  'an address %s is not planned',
  (_, { addresses }, {
    via,
    away,
    resolvers = [],
  }: { via?: string; away?: string; resolvers?: string[] }) => {
    const eth0 = { index: 2, name: 'eth0', addresses };
    const vif = { index: 3, name: 'vif5.0', up: true };
    const routes = [
      { to: '0.0.0.0/0', dev: 'eth0', ...(via === undefined ? {} : { via }) },
      ...(away === undefined ? [] : [{ to: away, dev: 'eth0', others: true }]),
    ];
    const machine = machineWith([eth0, vif], { routes, resolvers });
    const other = planOn(machine, { network: '10.0.0.0/8' }) ?? '';
    expect(other).toMatch(/^10\.\d+\.\d+\.\d+ by 10\./);
    expect(other).not.toMatch(/10\.0\.5\./);
    // The vif keeps it when the first choice is free again.
    const [to = '', , source] = other.split(' ');
    machine.perform({
      kind: 'set-route',
      index: 3,
      name: 'vif5.0',
      route: { to: { family: 4, address: to, prefix: 32 }, source },
    });
    machine.links = plainLinks([vif]);
    expect(planOn(machine, { network: '10.0.0.0/8' })).toBe(other);
  },
);

test('a route to all of the planned network changes no plan', () => {
  const eth0 = { index: 2, name: 'eth0', addresses: ['192.0.2.1/24'] };
  const vif = { index: 3, name: 'vif5.0', up: true };
  const routes = [{ to: '10.0.0.0/8', dev: 'eth0', others: true }];
  const network = '10.0.0.0/8';
  expect(planOn(machineWith([eth0, vif], { routes }), { network })).toBe('10.0.5.1 by 10.0.5.128');
});

test("the stock script's own route to a guest leads to no other host", () => {
  const eth0 = { index: 2, name: 'eth0', addresses: ['192.0.2.1/24'] };
  const vif = { index: 3, name: 'vif5.0', up: true };
  const routes = [{ to: '10.0.5.1', dev: 'vif5.0', others: true }];
  expect(planOn(machineWith([eth0, vif], { routes }), { network: '10.0.0.0/8' })).toBe(
    '10.0.5.1 by 10.0.5.128',
  );
});
