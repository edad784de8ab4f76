import { expect, test } from 'vitest';
import { aboutForwards } from '../../../../src/cli/check/forwards.js';
import { listeningSockets } from '../../../../src/cli/check/listening.js';
import { parseConfig } from '../../../../src/config/config.js';
import { snapshot } from '../../../../src/model/snapshot.js';

const head = '  sl  local_address rem_address   st tx_queue rx_queue\n';
const files: Record<string, string> = {
  tcp: `${head}   0: 00000000:0016 00000000:0000 0A 0\n   1: 0100007F:0050 00000000:0000 0A 0\n   2: 010200C0:0051 00000000:0000 01 0\n`,
  tcp6: `${head}   0: B80D0120000000000000000001000000:01BB 00000000000000000000000000000000:0000 0A 0\n`,
  udp: `${head}   0: 00000000:0035 00000000:0000 07 0\n`,
};
const sockets = listeningSockets((file) => {
  const text = files[file];
  if (text === undefined) throw new Error('ENOENT');
  return text;
});

test('the servers of a machine are read, and what is only connected is none', () => {
  expect(sockets).toEqual([
    { protocol: 'tcp', port: 22 },
    { protocol: 'tcp', port: 80, address: '127.0.0.1' },
    { protocol: 'tcp', port: 443, address: '2001:db8::1' },
    { protocol: 'udp', port: 53 },
  ]);
});

const vif = snapshot({ domid: 5, devid: 0 }, new Map([['mac', '00:16:3e:00:00:05']]));
const told = (listen: string, to: string): string[] =>
  aboutForwards(
    { xenstore: { domid: 7, vifs: [vif] }, listening: sockets },
    parseConfig(`[[forward]]\nlisten = { ${listen} }\nto = { ${to}, port = 22 }`, 'x.toml'),
  ).map(({ severity, message }) => `${severity}: ${message}`);
const own = 'mac = "00:16:3e:00:00:05"';

test.each([
  ['port = 22, proto = "tcp"', own, 'warning: table 1 (tcp/22) is a port that this domain serves'],
  ['port = 22, proto = "udp"', own, 'ok: each port leads to a guest'],
  ['port = 80, proto = "tcp"', own, 'ok: each port leads to a guest'],
  ['port = 443, proto = "tcp", address = "2001:db8::1"', own, 'warning: table 1 (tcp/443)'],
  ['port = 443, proto = "tcp", address = "2001:db8::2"', own, 'ok: each port leads to a guest'],
  [
    'port = 2222, proto = "tcp"',
    'domid = 6',
    'note: table 1 (tcp/2222) leads to none of the 1 vifs there are',
  ],
  ['port = 2222, proto = "tcp"', 'ip = "10.0.5.1"', 'ok: each port leads to a guest'],
])('%s to %s', (listen, to, message) => {
  const [first, ...more] = told(listen, to);
  expect(first).toContain(message);
  expect(more).toEqual([]);
});
