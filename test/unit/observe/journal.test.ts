import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { eventKinds } from '../../../src/observe/events.js';
import { journalFields } from '../../../src/observe/journal.js';

const time = '2026-11-22T19:00:00.000Z';
const vif = { vif: 'vif5.0', domid: 5, devid: 0 };

test('an attached vif: a sentence, and every field under its name', () => {
  const record = { time, level: 'info', msg: 'vif attached', ...vif, topology: 'bridge', bridge: 'xenbr0' };
  expect(journalFields({ ...record, mtu: 1500, ms: 1.234 })).toEqual({
    MESSAGE: 'vif5.0 attached to bridge xenbr0 in 1.234 ms',
    MESSAGE_ID: '02feb0ab7eea46038efb5452ff7e4c88',
    PRIORITY: '6',
    SYSLOG_IDENTIFIER: 'vifd',
    VIF: 'vif5.0',
    XEN_DOMID: '5',
    XEN_DEVID: '0',
    TOPOLOGY: 'bridge',
    BRIDGE: 'xenbr0',
    MTU: '1500',
    DURATION_USEC: '1234',
  });
});

test.each([
  ['info', '6'],
  ['warn', '4'],
  ['error', '3'],
  ['fatal', '2'],
  ['debug', '7'],
])('level %s is priority %s', (level, priority) => {
  expect(journalFields({ level, msg: 'ready' })).toMatchObject({ PRIORITY: priority });
});

test.each([
  [{ msg: 'ready', domid: 7 }, 'ready'],
  [
    { msg: 'vif not attached', ...vif, error: 'attach vif5.0 to bridge b: no such bridge' },
    'attach vif5.0 to bridge b: no such bridge',
  ],
  [{ msg: 'vif removed', ...vif }, 'vif5.0 removed'],
  [
    { msg: 'vif has packets dropped', ...vif, reason: 'DHCP server', packets: 3 },
    'vif5.0 has packets dropped: DHCP server',
  ],
  [
    { msg: 'vif has packets dropped', ...vif, reason: 'IPv4 source', packets: 3, cure: 'add it to ip=' },
    'vif5.0 has packets dropped: IPv4 source; add it to ip=',
  ],
  [
    { msg: 'script output', ...vif, script: '/etc/xen/scripts/vif-ours', line: 'no cable' },
    'vif5.0: /etc/xen/scripts/vif-ours: no cable',
  ],
  [
    { msg: 'vif adopted', ...vif, topology: 'openvswitch', bridge: 'ovs0' },
    'vif5.0 adopted on openvswitch ovs0',
  ],
  [{ msg: 'vif attached', ...vif, topology: 'route' }, 'vif5.0 attached (route)'],
  [
    { msg: 'vif attached', ...vif, topology: 'script', bridge: 'br0' },
    'vif5.0 attached to bridge br0 (script)',
  ],
  [
    {
      msg: 'vif repaired',
      ...vif,
      topology: 'bridge',
      bridge: 'b',
      actions: ['ip link set a', 'ip link set b'],
      leftOut: 7,
    },
    'vif5.0 repaired on bridge b: ip link set a; ip link set b (7 lines about it left out before)',
  ],
  [
    { msg: 'xenstore lost', err: { type: 'Error', message: 'gone', stack: 'Error: gone\n at x' } },
    'xenstore lost: gone',
  ],
  [
    { msg: 'configuration not reloaded', error: 'vifd.toml: line 1: no' },
    'configuration not reloaded: vifd.toml: line 1: no',
  ],
])('%j reads "%s"', (record, sentence) => {
  expect(journalFields({ level: 'info', ...record }).MESSAGE).toBe(sentence);
});

test('an error is ERROR, however it was logged; lists are one field; names are what journald takes', () => {
  expect(journalFields({ level: 'error', msg: 'x', err: { message: 'gone' } }).ERROR).toBe('gone');
  expect(journalFields({ level: 'error', msg: 'x', error: 'gone' }).ERROR).toBe('gone');
  expect(journalFields({ level: 'warn', msg: 'x', actions: ['a', 'b'] }).ACTIONS).toBe('a; b');
  expect(journalFields({ level: 'info', msg: 'x', 'some-field': { a: 1 } }).SOME_FIELD).toBe('{"a":1}');
  for (const name of Object.keys(journalFields({ level: 'info', msg: 'x', ...vif, leftOut: 1 })))
    expect(name).toMatch(/^[A-Z][A-Z0-9_]*$/);
});

test('an error of a vif has its code and its kind', () => {
  const record = {
    level: 'error',
    msg: 'vif not attached',
    ...vif,
    error: 'attach vif5.0 to bridge b: no such bridge',
  };
  expect(journalFields({ ...record, errorCode: 'bridge-missing', errorKind: 'bridge' })).toMatchObject({
    ERROR: record.error,
    ERROR_CODE: 'bridge-missing',
    ERROR_KIND: 'bridge',
  });
});

test('what an attached vif goes without is found by the code of each', () => {
  const missing = [
    'masquerade vif5.0 as 10.0.5.1: there is no IPv4 default route',
    'give vif5.0 IPv6 on vif5.0: …',
  ];
  const record = { level: 'warn', msg: 'vif degraded', ...vif, missing };
  const codes = { errorCode: ['way-out-missing', 'ipv6-unavailable'], errorKind: ['route', 'address'] };
  expect(journalFields({ ...record, ...codes })).toMatchObject({
    MESSAGE: `vif5.0 degraded: ${missing.join('; ')}`,
    MISSING: missing.join('; '),
    ERROR_CODE: ['way-out-missing', 'ipv6-unavailable'],
    ERROR_KIND: ['route', 'address'],
  });
});

test('every MESSAGE_ID is explained in the catalog, and every entry there is one of them', () => {
  const file = fileURLToPath(new URL('../../../systemd/catalog/vifd.catalog', import.meta.url));
  const explained = [...readFileSync(file, 'utf8').matchAll(/^-- ([0-9a-f]{32})$/gm)].map(
    (match) => match[1],
  );
  const messages = [...Object.values(eventKinds).map(({ message }) => message), 'ready', 'xenstore lost'];
  const ids = [...messages, 'configuration not reloaded', 'vif has packets dropped']
    .map((msg) => journalFields({ level: 'info', msg }).MESSAGE_ID)
    .filter((id) => id !== undefined);
  expect(ids.sort()).toEqual(explained.sort());
});

test('that packets are dropped is a notice', () => {
  expect(journalFields({ level: 'info', msg: 'vif has packets dropped', ...vif })).toMatchObject({
    PRIORITY: '5',
    MESSAGE_ID: 'ba7c1a06346b4b4caa3405c578ac831e',
  });
});
