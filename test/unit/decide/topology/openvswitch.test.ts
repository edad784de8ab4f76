import { describe, expect, test } from 'vitest';
import { parseOvsBridge, unfilterable } from '../../../../src/decide/topology/openvswitch.js';
import { type FilterSpec, hostServices } from '../../../../src/model/filter.js';

describe('the bridge key', () => {
  test.each([
    ['ovsbr0', { bridge: 'ovsbr0', tag: undefined, trunks: [] }],
    ['ovsbr0.10', { bridge: 'ovsbr0', tag: 10, trunks: [] }],
    ['ovsbr0.0', { bridge: 'ovsbr0', tag: 0, trunks: [] }],
    ['ovsbr0.4095', { bridge: 'ovsbr0', tag: 4095, trunks: [] }],
    ['ovsbr0:20', { bridge: 'ovsbr0', tag: undefined, trunks: [20] }],
    ['ovsbr0:30:20:100:20', { bridge: 'ovsbr0', tag: undefined, trunks: [20, 30, 100] }],
    ['ovsbr0.10:20:30', { bridge: 'ovsbr0', tag: 10, trunks: [20, 30] }],
    ['ovs-br_0', { bridge: 'ovs-br_0', tag: undefined, trunks: [] }],
  ])('%s', (text, expected) => {
    expect(parseOvsBridge(text)).toEqual(expected);
  });

  test.each([
    ['', 'the key is empty; it takes name[.tag][:trunk[:trunk...]]'],
    ['.10', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovs.br0', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovsbr0.10.20', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovsbr0.', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovsbr0:', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovsbr0:10.20', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovsbr0.-1', 'it does not read name[.tag][:trunk[:trunk...]]'],
    ['ovsbr0.4096', 'VLAN 4096 is not between 0 and 4095'],
    ['ovsbr0.1:5000', 'VLAN 5000 is not between 0 and 4095'],
  ])('%s is refused', (text, reason) => {
    expect(parseOvsBridge(text)).toBe(reason);
  });
});

test('anti-spoofing is impossible on the userspace datapath, and with hardware offload', () => {
  const bridge = { name: 'ovsbr0', parent: 'ovsbr0', vlan: undefined };
  const id = { domid: 5, devid: 0 };
  const held: FilterSpec = {
    hold: 'addresses',
    macs: [],
    networks: [],
    tagged: false,
    controlFrames: false,
    reverse: false,
    protectHost: undefined,
  };
  expect(unfilterable(id, held, { ...bridge, datapathType: '' })).toBeUndefined();
  expect(unfilterable(id, held, { ...bridge, datapathType: 'system' })).toBeUndefined();
  expect(unfilterable(id, held, { ...bridge, datapathType: 'system', offloads: true })?.message).toBe(
    'attach vif5.0 to Open vSwitch bridge ovsbr0: anti-spoofing does not work with other_config:hw-offload=true; ' +
      'run: ovs-vsctl remove Open_vSwitch . other_config hw-offload, and restart ovs-vswitchd, ' +
      'or turn it off: [antispoof] mode = "off"',
  );
  expect(unfilterable(id, held, { ...bridge, datapathType: 'netdev' })?.message).toBe(
    'attach vif5.0 to Open vSwitch bridge ovsbr0: anti-spoofing does not work with its datapath_type=netdev; ' +
      'use a bridge with datapath_type=system, or turn it off: [antispoof] mode = "off"',
  );
  const closed = { ...held, hold: 'nothing' as const, protectHost: hostServices('bridge', []) };
  expect(unfilterable(id, closed, { ...bridge, datapathType: 'netdev' })?.message).toBe(
    'attach vif5.0 to Open vSwitch bridge ovsbr0: protect_host does not work with its datapath_type=netdev; ' +
      'use a bridge with datapath_type=system, or turn it off: [openvswitch] protect_host = false',
  );
});
