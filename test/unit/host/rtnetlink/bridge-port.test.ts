import { expect, test } from 'vitest';
import {
  decodePort,
  encodeFlags,
  encodeVlans,
  portDump,
} from '../../../../src/host/rtnetlink/bridge-port-message.js';
import { rtm } from '../../../../src/host/rtnetlink/link-message.js';
import { LinkState } from '../../../../src/host/rtnetlink/link-state.js';
import { newPortFlagNames, newPortFlags } from '../../../../src/model/bridge-port.js';
import { netdev } from '../../../../src/model/dependency.js';
import { parseVlans } from '../../../../src/model/vlan.js';

const u16 = (...values: number[]): string =>
  values.map((value) => Buffer.from([value & 255, value >> 8]).toString('hex')).join('');

/** A message of family AF_BRIDGE about interface 5, as br_fill_ifinfo makes it. */
const message = (...attributes: string[]): { data: Buffer } => ({
  data: Buffer.from(`07000100${'05000000'}${'0310000000000000'}${attributes.join('')}`, 'hex'),
});
const masterOf = (index: string): string => `08000a00${index}000000`;
const protinfo = (isolated: string): string => `14000c80${'05001b0000000000'}${`05002100${isolated}000000`}`;

/** struct bridge_vlan_info {flags, vid} in IFLA_BRIDGE_VLAN_INFO. */
const vlanInfo = (flags: number, vid: number): string => `08000200${u16(flags, vid)}`;

test('a port is asked for with its VLANs in ranges', () => {
  // ifinfomsg of AF_BRIDGE, IFLA_EXT_MASK = RTEXT_FILTER_BRVLAN_COMPRESSED.
  expect(portDump().toString('hex')).toBe(`07${'00'.repeat(15)}08001d0004000000`);
});

test('flags are nested in IFLA_PROTINFO, and marked so', () => {
  expect(encodeFlags({ isolated: true, multicastFlood: false }).toString('hex')).toBe(
    '14000c80' + '0500210001000000' + '05001b0000000000',
  );
});

test('every switch that is written is read again', () => {
  for (const on of [true, false]) {
    const flags = Object.fromEntries(newPortFlagNames.map((name) => [name, on]));
    const told = decodePort(message(masterOf('03'), encodeFlags(flags).toString('hex')));
    expect({ ...newPortFlags, ...told }).toMatchObject(flags);
  }
  // hairpin is IFLA_BRPORT_MODE, and bpdu_guard IFLA_BRPORT_GUARD.
  expect(encodeFlags({ hairpin: true, bpduGuard: true }).toString('hex')).toBe(
    '14000c80' + '0500040001000000' + '0500050001000000',
  );
});

test('VLANs are written one by one or as a begin and an end', () => {
  expect(encodeVlans(parseVlans('10p/20-30/40u') as never).toString('hex')).toBe(
    `24001a00${vlanInfo(6, 10)}${vlanInfo(8, 20)}${vlanInfo(16, 30)}${vlanInfo(4, 40)}`,
  );
});

test('a port is read with its flags and VLANs', () => {
  const spec = `24001a00${vlanInfo(2 | 4, 10)}${vlanInfo(8, 20)}${vlanInfo(16, 22)}${vlanInfo(4, 40)}`;
  expect(decodePort(message(masterOf('03'), protinfo('01'), spec))).toEqual({
    isolated: true,
    multicastFlood: false,
    broadcastFlood: true,
    vlans: [
      { vid: 10, pvid: true, untagged: true },
      ...[20, 21, 22].map((vid) => ({ vid, pvid: false, untagged: false })),
      { vid: 40, pvid: false, untagged: true },
    ],
  });
});

test('what is written is read again', () => {
  const vlans = parseVlans('1p/2-10u/20-4094');
  const spec = encodeVlans(vlans as never).toString('hex');
  expect(decodePort(message(masterOf('03'), spec))?.vlans).toEqual(vlans);
});

test("a bridge's message about itself is about no port", () => {
  expect(decodePort(message(masterOf('05')))).toBeUndefined();
});

test('a port that leaves its bridge is not a device that goes', () => {
  const state = new LinkState();
  const apply = (type: number, data: Buffer) => state.apply({ type, data } as never);
  // AF_UNSPEC, index 5, up, IFLA_IFNAME vif5.0.
  const link = Buffer.from(`00000100${'05000000'}${'0110000000000000'}0b000300${'766966352e3000'}00`, 'hex');
  expect(apply(rtm.newLink, link)).toEqual([netdev('vif5.0')]);
  expect(apply(rtm.newLink, message(masterOf('03'), protinfo('01')).data)).toEqual([netdev('vif5.0')]);
  expect(state.byIndex(5)?.port?.isolated).toBe(true);
  // Spanning tree timers and so on are no change.
  expect(apply(rtm.newLink, message(masterOf('03'), protinfo('01')).data)).toEqual([]);
  // A message about the device keeps the state of the port.
  apply(rtm.newLink, link);
  expect(state.byIndex(5)?.port?.isolated).toBe(true);
  // The device's own message, which follows, reports that.
  expect(apply(rtm.delLink, message(masterOf('03')).data)).toEqual([]);
  expect(state.byIndex(5)).toMatchObject({ name: 'vif5.0', port: undefined });
});
