import type { OvsAction } from '../../model/action.js';
import { type DesiredOvsPort, markKeys, noteKey, type OvsPort } from '../../model/ovs-port.js';
import { printAction } from '../../plan/print/print.js';

export const ovsDatabaseName = 'Open_vSwitch';

/**
 * The operations (RFC 7047, 5.2) of one action. Its conditions come first, and make the transaction fail where another
 * program has changed the database since the plan.
 */
export function transaction(action: OvsAction): object[] {
  const comment = { op: 'comment', comment: `vifd: ${printAction(action)}` };
  switch (action.kind) {
    case 'ovs-add-port':
      return [...addPort(action), comment];
    case 'ovs-set-port':
      return [...setPort(action), nextConfiguration, comment];
    case 'ovs-pin-mtu':
      return [...pinMtu(action), comment];
    case 'ovs-delete-port':
      // By uuid: a port that was created anew under the name is another row, and stays.
      return [removeFromBridge(action.port), ...setNote(action), comment];
    case 'ovs-delete-note':
      return [changeNotes(action.bridge, [deleteNote(action.vif)]), comment];
  }
}

/**
 * Increments `next_cfg`, as ovs-vsctl does with each change: ovs-vswitchd 3.1 does not look at a port of which `trunks` alone has
 * changed before something else has.
 */
const nextConfiguration = {
  op: 'mutate',
  table: 'Open_vSwitch',
  where: [],
  mutations: [['next_cfg', '+=', 1]],
};

/** Operations that increment `next_cfg` and tell it; ovs-vswitchd sets `cur_cfg` to it when the configuration is in effect. */
export const countConfiguration = [
  nextConfiguration,
  { op: 'select', table: 'Open_vSwitch', where: [], columns: ['next_cfg'] },
];

function addPort({ name, marks, port, forgets }: OvsAction & { kind: 'ovs-add-port' }): object[] {
  return [
    expect('Bridge', port.bridge, 'there'),
    expect('Port', name, 'absent'),
    {
      op: 'insert',
      table: 'Interface',
      'uuid-name': 'interface',
      row: { name, external_ids: mapOf(port.externalIds) },
    },
    {
      op: 'insert',
      table: 'Port',
      'uuid-name': 'port',
      row: {
        name,
        interfaces: ['named-uuid', 'interface'],
        ...columnsOf(port),
        external_ids: mapOf(marks),
      },
    },
    {
      op: 'mutate',
      table: 'Bridge',
      where: [['name', '==', port.bridge]],
      mutations: [
        ['ports', 'insert', ['named-uuid', 'port']],
        ...(forgets ? [deleteNote(marks[markKeys.owner])] : []),
      ],
    },
  ];
}

function setPort({ marks, port, before }: OvsAction & { kind: 'ovs-set-port' }): object[] {
  return [
    expectOwner(before),
    { op: 'update', table: 'Port', where: isRow(before.uuid), row: columnsOf(port) },
    setIds('Port', before.uuid, marks, Object.values(markKeys)),
    ...(before.interface === undefined
      ? []
      : [setIds('Interface', before.interface.uuid, port.externalIds, ['iface-id'])]),
  ];
}

function pinMtu({ uuid, mtu }: OvsAction & { kind: 'ovs-pin-mtu' }): object[] {
  const none = ['set', []];
  return [
    // It may have been asked to have another meanwhile.
    {
      op: 'wait',
      timeout: 0,
      table: 'Interface',
      where: isRow(uuid),
      columns: ['mtu_request'],
      until: '==',
      rows: [{ mtu_request: none }],
    },
    { op: 'update', table: 'Interface', where: isRow(uuid), row: { mtu_request: mtu } },
  ];
}

/** Removes a port from its bridge; the server deletes a port that no bridge refers to, and its interface. */
function removeFromBridge({ bridge, uuid }: OvsPort): object {
  return {
    op: 'mutate',
    table: 'Bridge',
    where: [['name', '==', bridge]],
    mutations: [['ports', 'delete', ['uuid', uuid]]],
  };
}

const setNote = ({ port, note }: OvsAction & { kind: 'ovs-delete-port' }): object[] =>
  note === undefined || port.owner === undefined
    ? []
    : [
        changeNotes(port.bridge, [
          deleteNote(port.owner),
          ['external_ids', 'insert', mapOf({ [noteKey(port.owner)]: note })],
        ]),
      ];

const deleteNote = (vif: string): unknown[] => ['external_ids', 'delete', ['set', [noteKey(vif)]]];

const changeNotes = (bridge: string, mutations: unknown[]): object => ({
  op: 'mutate',
  table: 'Bridge',
  where: [['name', '==', bridge]],
  mutations,
});

/**
 * Sets external ids of a row, and deletes those of `without` that are not set. Each key is deleted first, since a map's
 * `insert` leaves one that exists as it is.
 */
function setIds(
  table: string,
  uuid: string,
  ids: Readonly<Record<string, string>>,
  without: readonly string[],
): object {
  return {
    op: 'mutate',
    table,
    where: isRow(uuid),
    mutations: [
      ['external_ids', 'delete', ['set', [...new Set([...Object.keys(ids), ...without])]]],
      ['external_ids', 'insert', mapOf(ids)],
    ],
  };
}

/** A `wait` with timeout 0: the transaction fails at once unless a row of that name is there, or absent. */
function expect(table: string, name: string, presence: 'there' | 'absent'): object {
  return {
    op: 'wait',
    timeout: 0,
    table,
    where: [['name', '==', name]],
    columns: ['name'],
    until: '==',
    rows: presence === 'there' ? [{ name }] : [],
  };
}

/** Conditions that the row still exists with the same owner, so that no other vif's port is changed. */
function expectOwner({ uuid, owner }: OvsPort): object {
  // A row without an owner is identified by its uuid alone.
  const condition =
    owner === undefined ? [] : [['external_ids', 'includes', mapOf({ [markKeys.owner]: owner })]];
  return {
    op: 'wait',
    timeout: 0,
    table: 'Port',
    where: [...isRow(uuid), ...condition],
    columns: ['_uuid'],
    until: '==',
    rows: [{ _uuid: ['uuid', uuid] }],
  };
}

const isRow = (uuid: string): unknown[] => [['_uuid', '==', ['uuid', uuid]]];

const columnsOf = ({ tag, trunks, vlanMode, isolated }: DesiredOvsPort): Record<string, unknown> => ({
  tag: tag ?? ['set', []],
  trunks: ['set', trunks],
  vlan_mode: vlanMode ?? ['set', []],
  ...(isolated === undefined ? {} : { protected: isolated }),
});

const mapOf = (ids: Readonly<Record<string, string>>): unknown => ['map', Object.entries(ids)];
