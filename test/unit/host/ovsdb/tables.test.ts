import { expect, test } from 'vitest';
import { OvsdbTables } from '../../../../src/host/ovsdb/tables.js';

const everything = {
  Open_vSwitch: { o: { new: { cur_cfg: 7 } } },
  Bridge: {
    b: {
      new: {
        name: 'ovsbr0',
        datapath_type: 'netdev',
        ports: [
          'set',
          [
            ['uuid', 'p'],
            ['uuid', 'f'],
          ],
        ],
      },
    },
  },
  Port: {
    p: {
      new: {
        name: 'vif5.0',
        interfaces: ['uuid', 'i'],
        tag: 10,
        trunks: ['set', [30, 20]],
        vlan_mode: ['set', []],
        fake_bridge: false,
        external_ids: [
          'map',
          [
            ['vifd', 'vif5.0'],
            ['vifd-ifindex', '4'],
          ],
        ],
      },
    },
    f: {
      new: {
        name: 'vlan30',
        interfaces: ['set', []],
        tag: 30,
        trunks: ['set', []],
        vlan_mode: ['set', []],
        fake_bridge: true,
        external_ids: ['map', []],
      },
    },
  },
  Interface: {
    i: {
      new: {
        name: 'vif5.0',
        ofport: ['set', []],
        error: ['set', []],
        external_ids: ['map', [['attached-mac', '00:16:3e:00:00:05']]],
      },
    },
  },
};

const port = {
  uuid: 'p',
  name: 'vif5.0',
  bridge: 'ovsbr0',
  tag: 10,
  trunks: [20, 30],
  vlanMode: undefined,
  owner: 'vif5.0',
  madeFor: '4',
  interface: {
    uuid: 'i',
    externalIds: { 'attached-mac': '00:16:3e:00:00:05' },
    ofport: undefined,
    error: undefined,
  },
};

test('rows become bridges, fake ones too, and ports', () => {
  const tables = new OvsdbTables();
  expect(tables.apply(everything)).toEqual({ names: ['ovsbr0', 'vif5.0', 'vlan30'], owners: ['vif5.0'] });
  expect(tables.currentConfiguration).toBe(7);
  expect(tables.bridge('ovsbr0')).toEqual({
    name: 'ovsbr0',
    parent: 'ovsbr0',
    vlan: undefined,
    datapathType: 'netdev',
  });
  expect(tables.bridge('vlan30')).toMatchObject({ name: 'vlan30', parent: 'ovsbr0', vlan: 30 });
  expect(tables.port('vif5.0')).toEqual(port);
});

test('an update changes what it names', () => {
  const tables = new OvsdbTables();
  tables.apply(everything);
  const row = { ...everything.Interface.i.new, ofport: 3 };
  expect(tables.apply({ Interface: { i: { old: { ofport: ['set', []] }, new: row } } }).names).toEqual([
    'vif5.0',
  ]);
  expect(tables.port('vif5.0')).toEqual({ ...port, interface: { ...port.interface, ofport: 3 } });
});

test('a port that is deleted tells whose it was', () => {
  const tables = new OvsdbTables();
  tables.apply(everything);
  const told = tables.apply({
    Bridge: { b: { old: {}, new: { ...everything.Bridge.b.new, ports: ['set', []] } } },
    Port: { p: { old: everything.Port.p.new } },
    Interface: { i: { old: everything.Interface.i.new } },
  });
  expect(told).toEqual({ names: ['ovsbr0', 'vif5.0'], owners: ['vif5.0'] });
  expect(tables.port('vif5.0')).toBeUndefined();
});

test('a bond is a port without an interface of its own', () => {
  const tables = new OvsdbTables();
  const bond = {
    ...everything.Port.p.new,
    interfaces: [
      'set',
      [
        ['uuid', 'i'],
        ['uuid', 'j'],
      ],
    ],
  };
  tables.apply({ ...everything, Port: { ...everything.Port, p: { new: bond } } });
  expect(tables.port('vif5.0')?.interface).toBeUndefined();
});

test.each([
  [{}, {}, undefined],
  [{ stp_state: 'forwarding' }, {}, undefined],
  [{ stp_state: 'disabled' }, {}, undefined],
  [{ stp_state: 'listening' }, {}, 'listening'],
  [{ stp_state: 'blocking' }, {}, 'blocking'],
  [{}, { rstp_port_state: 'Forwarding', rstp_port_role: 'Designated' }, undefined],
  [{}, { rstp_port_state: 'Learning', rstp_port_role: 'Designated' }, 'learning'],
  [{}, { rstp_port_state: 'Discarding', rstp_port_role: 'Designated' }, 'listening'],
  [{}, { rstp_port_state: 'Discarding', rstp_port_role: 'Alternate' }, 'blocking'],
])('by %j and %j a port is %s', (status, rapid, waiting) => {
  const tables = new OvsdbTables();
  tables.apply(everything);
  const columns = { status: ['map', Object.entries(status)], rstp_status: ['map', Object.entries(rapid)] };
  const { name } = everything.Port.p.new;
  tables.apply({
    Port: { p: { old: { status: ['map', []] }, new: { ...everything.Port.p.new, ...columns } } },
  });
  expect(tables.port(name)?.waiting).toBe(waiting);
});

test('the seconds that a port has been in its state are no news', () => {
  const tables = new OvsdbTables();
  tables.apply(everything);
  const status = (state: string, seconds: number) => ({
    Port: {
      p: {
        old: { status: ['map', []] },
        new: {
          ...everything.Port.p.new,
          status: [
            'map',
            [
              ['stp_state', state],
              ['stp_sec_in_state', String(seconds)],
            ],
          ],
        },
      },
    },
  });
  expect(tables.apply(status('listening', 1)).names).toEqual(['vif5.0']);
  expect(tables.apply(status('listening', 6)).names).toEqual([]);
  expect(tables.apply(status('forwarding', 0)).names).toEqual(['vif5.0']);
});

test('hw-offload concerns every bridge, and other settings none', () => {
  const tables = new OvsdbTables();
  tables.apply(everything);
  const set = (...pairs: string[][]) =>
    tables.apply({ Open_vSwitch: { o: { new: { cur_cfg: 8, other_config: ['map', pairs] } } } }).names;
  expect(set(['n-handler-threads', '2'])).toEqual([]);
  expect(set(['hw-offload', 'true'])).toEqual(['ovsbr0']);
  expect(set(['hw-offload', 'true'], ['n-handler-threads', '2'])).toEqual([]);
  expect(set()).toEqual(['ovsbr0']);
});
