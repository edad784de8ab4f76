import { expect, test } from 'vitest';
import { parseConfig } from '../../../src/config/config.js';

const table = (listen: string, to: string): string => `[[forward]]\nlisten = { ${listen} }\nto = { ${to} }\n`;
const parse = (...tables: string[]) => parseConfig(tables.join(''), 'x.toml').forwards;
const web = 'port = 80, proto = "tcp"';

test('a forward has one port and one guest', () => {
  expect(parse(table('port = 2222, proto = "tcp"', 'ip = "10.0.5.1", port = 22'))).toEqual([
    {
      listen: { protocol: 'tcp', port: 2222 },
      to: { ip: { family: 4, address: '10.0.5.1', prefix: 32 }, port: 22 },
    },
  ]);
});

test.each([
  ['no guest', [table(web, 'port = 80')], 'forward[0].to: names a guest by'],
  ['two guests', [table(web, 'domid = 5, mac = "00:16:3e:00:00:05", port = 80')], 'forward[0].to: names a'],
  [
    'no port',
    [table(web, 'domid = 5')],
    'forward[0].to.port: is missing; it takes an integer from 1 to 65535',
  ],
  ['no target', [`[[forward]]\nlisten = { ${web} }\n`], 'forward[0].to: is missing; it takes a table'],
  [
    'an unknown key',
    [table(`${web}, device = "eth0"`, 'domid = 5, port = 80')],
    'forward[0].listen.device: there is',
  ],
  [
    'families that do not meet',
    [table(`${web}, address = "2001:db8::1"`, 'ip = "10.0.5.1", port = 80')],
    'forward[0].to: its ip is of another family',
  ],
  [
    'every address as one',
    [table(`${web}, address = "0.0.0.0"`, 'domid = 5, port = 80')],
    'forward[0].listen.address: "0.0.0.0" is unspecified, and no host can have it as its own; leave it out',
  ],
  [
    'a guest that is none',
    [table(web, 'ip = "::1", port = 80')],
    'forward[0].to.ip: "::1" is loopback, and no host can have it',
  ],
  [
    'a port twice',
    [table(web, 'domid = 5, port = 80'), table(web, 'domid = 6, port = 80')],
    'forward[1].listen: tcp/80 is that of forward[0] already',
  ],
  [
    'a port at every address and at one',
    [table(`${web}, address = "192.0.2.1"`, 'domid = 5, port = 80'), table(web, 'domid = 6, port = 80')],
    'forward[1].listen: tcp/80 is that of forward[0]',
  ],
])('%s is refused with the place', (_, tables, message) => {
  expect(() => parse(...tables)).toThrow(`x.toml: ${message}`);
});

test('one port at two addresses, and by two protocols, is two', () => {
  const at = (address: string, domid: number): string =>
    table(`${web}, address = "${address}"`, `domid = ${domid}, port = 80`);
  expect(
    parse(at('192.0.2.1', 5), at('192.0.2.2', 6), table('port = 80, proto = "udp"', 'domid = 7, port = 80')),
  ).toHaveLength(3);
});
