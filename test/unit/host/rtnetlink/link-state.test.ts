import { expect, test } from 'vitest';
import { rtm } from '../../../../src/host/rtnetlink/link-message.js';
import { LinkState } from '../../../../src/host/rtnetlink/link-state.js';
import type { RefusedMtu } from '../../../../src/model/observed.js';

/** A message about interface 5: IFLA_IFNAME, IFLA_MTU and IFLA_CARRIER. */
function message(mtu: number, carrier: boolean) {
  const header = Buffer.alloc(16);
  header.writeInt32LE(5, 4);
  const attributes = Buffer.from(
    `0b000300${Buffer.from('vif5.0\0').toString('hex')}00080004000000000005002100`,
    'hex',
  );
  attributes.writeUInt32LE(mtu, 16);
  const data = Buffer.concat([header, attributes, Buffer.from([carrier ? 1 : 0, 0, 0, 0])]);
  return { type: rtm.newLink, flags: 0, seq: 0, port: 0, data };
}

/** A state with a vif of 1500 whose netdev has refused 9000. */
function refusing(carrier: boolean): LinkState {
  const links = new LinkState();
  links.apply(message(1500, carrier));
  links.refuseMtu(5, 9000);
  return links;
}

const noteOf = (links: LinkState): RefusedMtu | undefined => links.byName('vif5.0')?.mtuRefused;
const stands = { mtu: 9000, stands: true };
const open = { mtu: 9000, stands: false };

test.each([
  ['another MTU', true, 1400, true, stands],
  ['nothing new', false, 1500, false, stands],
  ['a carrier that comes', false, 1500, true, open],
  ['a carrier that goes', true, 1500, false, open],
  ['the MTU that was refused', true, 9000, true, undefined],
] as const)('what is left of a refusal by %s, told or read', (_, before, mtu, carrier, left) => {
  const told = refusing(before);
  told.apply(message(mtu, carrier));
  expect(noteOf(told)).toEqual(left);
  const read = new LinkState();
  read.apply(message(mtu, carrier));
  read.takeRefusals(refusing(before));
  expect(noteOf(read)).toEqual(left);
});

test('it is asked again for all that refused, and refused anew', () => {
  const links = refusing(true);
  links.askMtuAgain();
  expect(noteOf(links)).toEqual(open);
  links.refuseMtu(5, 9000);
  expect(noteOf(links)).toEqual(stands);
  links.askMtuAgain(6);
  expect(noteOf(links)).toEqual(stands);
  links.askMtuAgain(5);
  expect(noteOf(links)).toEqual(open);
});

test('a netdev with the number of one that went has refused nothing', () => {
  const links = refusing(true);
  links.apply({ ...message(1500, true), type: rtm.delLink });
  links.apply(message(1500, true));
  expect(noteOf(links)).toBeUndefined();
});

test('a device has the qdisc at its ingress, and no other, until it is deleted or the device is', () => {
  const links = new LinkState();
  const qdisc = (type: number, kind: string, parent = 0xfffffff1) => {
    const data = Buffer.alloc(32);
    data.writeInt32LE(5, 4);
    data.writeUInt32LE(parent, 12);
    data.writeUInt16LE(4 + kind.length + 1, 20);
    data.writeUInt16LE(1, 22);
    data.write(kind, 24);
    return links.apply({ type, flags: 0, seq: 0, port: 0, data });
  };
  const kind = () => links.byName('vif5.0')?.ingressQdisc;
  // A dump tells of the devices first; a device may also be told of later.
  qdisc(rtm.newQdisc, 'clsact');
  links.apply(message(1500, true));
  expect(kind()).toBe('clsact');
  expect(qdisc(rtm.newQdisc, 'fq', 0xffffffff)).toEqual([]);
  expect(qdisc(rtm.delQdisc, 'fq', 0xffffffff)).toEqual([]);
  expect(kind()).toBe('clsact');
  expect(qdisc(rtm.delQdisc, 'clsact')).toEqual([{ kind: 'netdev', name: 'vif5.0' }]);
  expect(kind()).toBeUndefined();
  qdisc(rtm.newQdisc, 'ingress');
  links.apply(message(1400, true));
  expect(kind()).toBe('ingress');
  links.apply({ ...message(1400, true), type: rtm.delLink });
  links.apply(message(1500, true));
  expect(kind()).toBeUndefined();
});

/** A message about a netdev without a kind or a parent: IFLA_IFNAME and IFLA_IFALIAS. */
function named(index: number, name: string, alias = '') {
  const header = Buffer.alloc(16);
  header.writeInt32LE(index, 4);
  const attribute = (type: number, text: string): Buffer => {
    const head = Buffer.alloc(4);
    head.writeUInt16LE(4 + text.length + 1, 0);
    head.writeUInt16LE(type, 2);
    const value = Buffer.from(`${text}\0`);
    return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
  };
  const data = Buffer.concat([header, attribute(3, name), ...(alias === '' ? [] : [attribute(20, alias)])]);
  return { type: rtm.newLink, flags: 0, seq: 0, port: 0, data };
}

test('a vif keeps its netdev while an alias claims another for it, and after', () => {
  const [five, six] = [
    { domid: 5, devid: 0 },
    { domid: 6, devid: 0 },
  ];
  const links = new LinkState();
  const netdevs = () => [five, six].map((id) => links.ofVif(id)?.index);
  links.apply(named(7, 'vif5.0'));
  links.apply(named(8, 'vif6.0'));
  links.apply(named(9, 'mine', 'vif5.0'));
  expect(netdevs()).toEqual([7, 8]);
  links.apply(named(9, 'mine'));
  expect(netdevs()).toEqual([7, 8]);
  // The netdev has gone that its name told; what vifd renamed is left.
  links.apply(named(9, 'mine', 'vif5.0'));
  links.apply({ ...named(7, 'vif5.0'), type: rtm.delLink });
  expect(netdevs()).toEqual([9, 8]);
});
