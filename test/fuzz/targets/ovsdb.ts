import { JsonSplitter } from '../../../src/host/ovsdb/json-splitter.js';
import { OvsdbTables } from '../../../src/host/ovsdb/tables.js';
import type { Target } from '../targets.js';

const row = (table: string, columns: object): string =>
  JSON.stringify({ [table]: { 'uuid-1': { new: columns } } });

/** What an OVSDB server sends: an error ends the connection (Ovsdb in connection.ts), and what was taken can be read at any time after. */
export const ovsdb: Target = {
  name: 'ovsdb',
  seeds: [
    row('Open_vSwitch', { cur_cfg: 3, other_config: ['map', [['hw-offload', 'true']]] }),
    JSON.stringify({
      Bridge: {
        b: {
          new: {
            name: 'ovsbr0',
            ports: [
              'set',
              [
                ['uuid', 'p'],
                ['uuid', 'q'],
              ],
            ],
            datapath_type: 'netdev',
          },
        },
      },
      Port: {
        p: {
          new: {
            name: 'vif5.0',
            interfaces: ['uuid', 'i'],
            tag: 10,
            trunks: ['set', [20, 30]],
            external_ids: ['map', [['vifd', 'vif5.0']]],
            vlan_mode: ['set', []],
          },
        },
        q: { new: { name: 'fake', interfaces: ['set', []], tag: 7, fake_bridge: true, protected: true } },
      },
      Interface: {
        i: {
          new: {
            name: 'vif5.0',
            type: 'internal',
            ofport: 1,
            error: ['set', []],
            mtu_request: 1500,
            external_ids: ['map', [['attached-mac', '00:16:3e:00:00:05']]],
          },
        },
      },
    }),
    '{"Port":{"p":{"old":{"tag":10}}}}{"Port":{"p":{"new":{"name":"a"}}}}',
  ],
  words: [
    '["set",[',
    '["map",[["',
    '["uuid","',
    '{"new":',
    '{"old":',
    '"Bridge":{"b":',
    '"Port":{"p":',
    '"Interface":{"i":',
    'null',
    '"external_ids":',
    '"ports":',
    '"trunks":',
    '"tag":',
    ']]]',
    '}}}',
    '{}',
    '[]',
    '1e400',
  ],
  longest: 3000,
  run(input) {
    const tables = new OvsdbTables();
    const splitter = new JsonSplitter();
    const text = input.toString('utf8');
    try {
      for (const piece of [text.slice(0, text.length >> 1), text.slice(text.length >> 1)])
        for (const message of splitter.push(piece)) tables.apply(JSON.parse(message));
    } catch {
      return;
    }
    for (const port of tables.ports()) {
      tables.port(port.name);
      const isRight =
        [...port.trunks, port.tag ?? 0].every(Number.isInteger) &&
        Object.values(port.interface?.externalIds ?? {}).every((value) => typeof value === 'string');
      if (!isRight) throw new Error(`not a port: ${JSON.stringify(port)}`);
    }
    for (const { name } of tables.bridges()) tables.bridge(name);
    if (!Number.isInteger(tables.currentConfiguration)) throw new Error('no number of a configuration');
  },
};
