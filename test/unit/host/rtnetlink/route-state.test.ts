import { expect, test } from 'vitest';
import type { NetlinkConnection } from '../../../../src/host/netlink/connection.js';
import { rtm } from '../../../../src/host/rtnetlink/link-message.js';
import { LinkState } from '../../../../src/host/rtnetlink/link-state.js';
import { Losses } from '../../../../src/host/rtnetlink/losses.js';
import { Neighbours } from '../../../../src/host/rtnetlink/neighbour.js';
import { Routes } from '../../../../src/host/rtnetlink/route.js';
import { RouteState } from '../../../../src/host/rtnetlink/route-state.js';
import { hostOf, type Network, parseNetwork } from '../../../../src/model/address.js';

const host = (address: string): Network => hostOf(parseNetwork(address) as Network);
const up = 1;

/** An attribute: its length, its type, its value, padded to four bytes. */
function attribute(type: number, value: Uint8Array): Buffer {
  const padded = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4);
  padded.writeUInt16LE(4 + value.length, 0);
  padded.writeUInt16LE(type, 2);
  padded.set(value, 4);
  return padded;
}

const message = (type: number, data: Buffer) => ({ type, flags: 0, seq: 0, port: 0, data });

/** A message of a device, with IFLA_IFNAME. */
function linkMessage(type: number, index: number, name: string, flags: number) {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  header.writeUInt32LE(flags, 8);
  return message(type, Buffer.concat([header, attribute(3, Buffer.from(`${name}\0`))]));
}

/** A message of an IPv4 address of its own, with IFA_LOCAL. */
function addressMessage(type: number, index: number, address: readonly number[]) {
  const header = Buffer.from([2, 32, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32LE(index, 4);
  return message(type, Buffer.concat([header, attribute(2, Buffer.from(address))]));
}

/** Two vifs, 5 and 6, with the router's address of each, and each with a route. */
function state(): { links: LinkState; routes: RouteState } {
  const links = new LinkState();
  const routes = new RouteState(links);
  for (const index of [5, 6]) {
    links.apply(linkMessage(rtm.newLink, index, `vif${index}.0`, up));
    links.apply(addressMessage(rtm.newAddr, index, [10, 0, index, 128]));
    routes.setRoute(index, { to: host(`10.0.${index}.1`), source: `10.0.${index}.128` });
  }
  return { links, routes };
}

const addresses = (routes: RouteState): string[] => routes.ours().map(({ to }) => to.address);

test('our routes are found by their device, and by no other, until they are deleted or lead elsewhere', () => {
  const { routes } = state();
  expect(routes.onDevice(5).map(({ to }) => to.address)).toEqual(['10.0.5.1']);
  routes.setRoute(6, { to: host('10.0.5.1'), source: undefined });
  expect(routes.onDevice(5)).toEqual([]);
  expect(routes.onDevice(6).map(({ to }) => to.address)).toEqual(['10.0.6.1', '10.0.5.1']);
  routes.deleteRoute(6, host('10.0.6.1'));
  expect(routes.onDevice(6).map(({ to }) => to.address)).toEqual(['10.0.5.1']);
});

test('a link that goes down has lost its routes, and no other has', () => {
  const { routes } = state();
  routes.apply(linkMessage(rtm.newLink, 5, 'vif5.0', 0));
  expect(addresses(routes)).toEqual(['10.0.6.1']);
  expect(routes.onDevice(5)).toEqual([]);
});

test('an address that goes has taken the routes from it along, of all devices where it was the last', () => {
  const { links, routes } = state();
  routes.setRoute(6, { to: host('10.9.9.9'), source: '10.0.5.128' });
  links.apply(addressMessage(rtm.newAddr, 6, [10, 0, 5, 128]));
  // Another device has it still: only the routes of the one without any address are gone.
  const gone = addressMessage(rtm.delAddr, 5, [10, 0, 5, 128]);
  routes.apply(gone);
  links.apply(gone);
  expect(addresses(routes)).toEqual(['10.0.6.1', '10.9.9.9']);
  routes.apply(addressMessage(rtm.delAddr, 6, [10, 0, 5, 128]));
  expect(addresses(routes)).toEqual(['10.0.6.1']);
});

test('a device is found by its addresses, and as one of the domain or of a vif by the name that it has', () => {
  const { links } = state();
  const at = (address: string): string[] => [...links.withAddress(address)].map(({ name }) => name);
  const ofDomain = (): string[] => [...links.ofDomain()].map(({ name }) => name);
  expect(at('10.0.5.128')).toEqual(['vif5.0']);
  expect(ofDomain()).toEqual([]);
  links.apply(linkMessage(rtm.newLink, 7, 'eth0', up));
  links.apply(addressMessage(rtm.newAddr, 7, [10, 0, 5, 128]));
  expect(at('10.0.5.128')).toEqual(['vif5.0', 'eth0']);
  expect(ofDomain()).toEqual(['eth0']);
  links.apply(addressMessage(rtm.delAddr, 5, [10, 0, 5, 128]));
  expect(at('10.0.5.128')).toEqual(['eth0']);
  links.apply(linkMessage(rtm.newLink, 7, 'vif7.0', up));
  expect(ofDomain()).toEqual([]);
  links.apply(linkMessage(rtm.delLink, 7, 'vif7.0', 0));
  expect(at('10.0.5.128')).toEqual([]);
});

/** A route of IPv4 in a table, as RTM_NEWROUTE with NLM_F_REPLACE tells of it. */
function routeMessage(
  [to, prefix]: readonly [readonly number[], number],
  {
    device,
    protocol,
    metric = 0,
    table = 254,
  }: Record<'device' | 'protocol', number> & { metric?: number; table?: number },
  via?: readonly number[],
) {
  const header = Buffer.from([2, prefix, 0, 0, table, protocol, 0, 1, 0, 0, 0, 0]);
  const number = (value: number): Buffer => Buffer.from(Uint32Array.of(value).buffer);
  const attributes = [
    attribute(1, Buffer.from(to)),
    attribute(4, number(device)),
    attribute(6, number(metric)),
    ...(via === undefined ? [] : [attribute(5, Buffer.from(via))]),
  ];
  return { ...message(24, Buffer.concat([header, ...attributes])), flags: 0x100 };
}

const [boot, bgp, vifd] = [3, 186, 120];

test('a route of others that is replaced leads nowhere any longer, whoever replaces it and whether that is told', () => {
  const { links, routes } = state();
  links.apply(linkMessage(rtm.newLink, 2, 'eth0', up));
  const guest = [[10, 0, 9, 1], 32] as const;
  const hijack = () => routes.apply(routeMessage(guest, { device: 2, protocol: boot, metric: 2 }));
  hijack();
  expect(routes.leadsElsewhere(host('10.0.9.1'))).toBe(true);
  routes.apply(routeMessage(guest, { device: 5, protocol: vifd, metric: 2 }));
  expect(routes.leadsElsewhere(host('10.0.9.1'))).toBe(false);
  hijack();
  routes.setRoute(5, { to: host('10.0.9.1'), source: undefined });
  expect(routes.leadsElsewhere(host('10.0.9.1'))).toBe(false);
});

test('a next hop that a routing daemon’s route has taken the place of is none, nor what a table said before', () => {
  const { links, routes } = state();
  links.apply(linkMessage(rtm.newLink, 2, 'eth0', up));
  for (const table of [52, 254]) {
    const to = [[10, 7, 0, 0], 16] as const;
    routes.apply(routeMessage(to, { device: 2, protocol: boot, table }, [192, 0, 2, 9]));
    expect(routes.nextHops()).toHaveLength(1);
    routes.apply(routeMessage(to, { device: 2, protocol: bgp, table }, [192, 0, 2, 8]));
    expect(routes.nextHops()).toEqual([]);
  }
  expect(routes.inTable(52, host('10.7.0.1'))).toBeUndefined();
});

test.each([
  ['the address of its device goes', 5, 1, 2, true],
  ['that of another device goes', 6, 9, 1, true],
  ['that goes each time', 5, 9, 5, false],
])(
  'what is set while %s is set again, and noted when it has outlasted that',
  async (_, index, goes, times, there) => {
    const losses = new Losses();
    const routes = new RouteState(new LinkState(), losses);
    let asked = 0;
    const request = async (): Promise<void> => {
      if (asked++ < goes) routes.apply(addressMessage(rtm.delAddr, index, [10, 0, index, 128]));
    };
    const netlink = { request } as unknown as NetlinkConnection;
    await new Neighbours(netlink, () => [routes], losses).set(5, host('10.0.5.1'), '00:16:3e:00:05:00');
    expect([asked, routes.neighbours(5).has('10.0.5.1')]).toEqual([times, there]);
    asked = 0;
    await new Routes(netlink, () => [routes], losses).set(5, { to: host('10.0.5.1'), source: undefined });
    expect([asked, routes.to(host('10.0.5.1')) !== undefined]).toEqual([times, there]);
  },
);
