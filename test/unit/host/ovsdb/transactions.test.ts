import { expect, test } from 'vitest';
import { transaction } from '../../../../src/host/ovsdb/transactions.js';
import type { OvsPort } from '../../../../src/model/ovs-port.js';

const port: OvsPort = {
  uuid: 'p',
  name: 'vif5.0',
  bridge: 'ovsbr0',
  tag: 10,
  trunks: [],
  vlanMode: undefined,
  owner: 'vif5.0',
  madeFor: '4',
  interface: undefined,
};
const ofBridge = { op: 'mutate', table: 'Bridge', where: [['name', '==', 'ovsbr0']] };
const forget = ['external_ids', 'delete', ['set', ['vifd-vlan-kept-vif5.0']]];

test('the VLANs of others are noted by the transaction that deletes the port, and forgotten by the one that makes it', () => {
  const note = '4 00:16:3e:00:00:05 tag=10';
  expect(transaction({ kind: 'ovs-delete-port', port, release: true, note })).toMatchObject([
    { ...ofBridge, mutations: [['ports', 'delete', ['uuid', 'p']]] },
    {
      ...ofBridge,
      mutations: [forget, ['external_ids', 'insert', ['map', [['vifd-vlan-kept-vif5.0', note]]]]],
    },
    { op: 'comment' },
  ]);
  const marks = { vifd: 'vif5.0', 'vifd-ifindex': '4' };
  const made = transaction({
    kind: 'ovs-add-port',
    name: 'vif5.0',
    marks,
    port: { ...port, externalIds: {} },
    forgets: true,
  });
  expect(made.at(-2)).toMatchObject({
    ...ofBridge,
    mutations: [['ports', 'insert', ['named-uuid', 'port']], forget],
  });
  expect(transaction({ kind: 'ovs-delete-note', bridge: 'ovsbr0', vif: 'vif5.0' })).toMatchObject([
    { ...ofBridge, mutations: [forget] },
    { op: 'comment' },
  ]);
});
