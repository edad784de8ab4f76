import { expect, test } from 'vitest';
import { defaultConfigFile, parseConfig, readConfig } from '../../../src/config/config.js';
import { ConfigError } from '../../../src/config/error.js';
import { formatNetwork } from '../../../src/model/address.js';

test('nothing configured is a configuration', () => {
  expect(parseConfig('', 'vifd.toml')).toMatchObject({ log: { level: 'info' }, netdevTimeoutMs: 10_000 });
});

test('what is configured is taken', () => {
  expect(parseConfig('[log]\nlevel = "debug"\n[netdev]\ntimeout = 2.5\n', 'vifd.toml')).toMatchObject({
    log: { level: 'debug' },
    netdevTimeoutMs: 2500,
  });
});

test('settings of bridges, scripts, hooks and vifs', () => {
  const text = `
[bridge]
mtu = "uplink"
[scripts]
directories = ["/etc/xen/scripts", "/srv/scripts"]
map = { my-bridge = "bridge" }
[hooks]
directory = "/etc/vifd/hooks"
[[vif]]
bridge = "xenbr0"
isolated = true
[[vif]]
mac = "00:16:3E:00:00:0A"
multicast_flood = false
broadcast_flood = false
txqueuelen = 0
offload = { tso = false, gro = true }
`;
  expect(parseConfig(text, 'vifd.toml')).toMatchObject({
    bridge: { mtu: 'uplink' },
    scripts: { directories: ['/etc/xen/scripts', '/srv/scripts'], map: new Map([['my-bridge', 'bridge']]) },
    hooks: { directory: '/etc/vifd/hooks' },
    vifs: [
      { bridge: 'xenbr0', mac: undefined, isolated: true },
      {
        bridge: undefined,
        mac: '00:16:3e:00:00:0a',
        multicastFlood: false,
        broadcastFlood: false,
        txqueuelen: 0,
        offload: { tso: false, gro: true },
      },
    ],
  });
  expect(parseConfig('', 'vifd.toml')).toMatchObject({
    bridge: { mtu: 'bridge' },
    scripts: { directories: ['/etc/xen/scripts'], map: new Map() },
    hooks: { directory: undefined },
    vifs: [],
  });
});

const noHost = ', and no host can have it as its own; leave it out, or give that of a host';

test.each([
  ['log = 1', 'log: must be a table'],
  ['log = [1]', 'log: must be a table'],
  ['log = 2026-01-01', 'log: must be a table'],
  ['[log]\nlevel = "loud"', 'log.level: "loud" is not one of trace, debug, info, warn, error'],
  ['[log]\nlevel = 3', 'log.level: 3 is not one of trace, debug, info, warn, error'],
  ['[log]\nlevle = "info"', 'log.levle: there is no such key; known are level'],
  ['[netdev]\ntimeout = 0', 'netdev.timeout: 0 is not a number from 1 to 600'],
  ['[netdev]\ntimeout = 601', 'netdev.timeout: 601 is not a number from 1 to 600'],
  ['[netdev]\ntimeout = nan', 'netdev.timeout: null is not a number from 1 to 600'],
  ['[netdev]\ntimeout = "10"', 'netdev.timeout: "10" is not a number from 1 to 600'],
  [
    '[netdevs]\ntimeout = 10',
    'netdevs: there is no such key; known are antispoof, bridge, forward, group, hooks, log, metrics, nat, netdev',
  ],
  ['[nat]\nnetwork = "10.0.0.0/25"', 'nat.network: "10.0.0.0/25" is not an IPv4 network from /8 to /24'],
  ['[nat]\nnetwork = "10.0.0.1/16"', 'nat.network: "10.0.0.1/16" is not an IPv4 network from /8 to /24'],
  ['[nat]\nnetwork = "224.0.0.0/8"', `nat.network: "224.0.0.0/8" is multicast${noHost}`],
  ['[[vif]]\nip = "127.0.0.0/9"', `vif[0].ip: "127.0.0.0/9" is loopback${noHost}`],
  ['[[vif]]\nallow = ["fe80::/10", "224.0.0.18"]', `vif[0].allow: "224.0.0.18" is multicast${noHost}`],
  ['[[vif]]\nallow = ["fe80::/10", "x"]', 'vif[0].allow: ["fe80::/10","x"] is not a list, each of it an'],
  ['[[vif]]\nallow = "10.0.0.5"', 'vif[0].allow: "10.0.0.5" is not a list, each of it an'],
  ['[nat]\ndns = ["resolver"]', 'nat.dns: ["resolver"] is not a list, each of it an IPv4 or IPv6 address'],
  ['[route]\ngateway_device = "eth0:1"', 'route.gateway_device: "eth0:1" is not a network device\'s name'],
  ['[bridge]\nmtu = 9000', 'bridge.mtu: 9000 is not one of bridge, uplink'],
  [
    '[scripts]\ndirectories = "/etc"',
    'scripts.directories: "/etc" is not a list, each of it an absolute path',
  ],
  [
    '[scripts]\ndirectories = ["scripts"]',
    'scripts.directories: ["scripts"] is not a list, each of it an absolute path',
  ],
  ['[scripts.map]\nmine = "magic"', 'scripts.map.mine: "magic" is not one of bridge'],
  ['[hooks]\ndirectory = "hooks"', 'hooks.directory: "hooks" is not an absolute path'],
  ['[[vif]]\ntxqueuelen = 1000.5', 'vif[0].txqueuelen: 1000.5 is not an integer from 0 to 1000000'],
  ['[[vif]]\ntxqueuelen = 1000001', 'vif[0].txqueuelen: 1000001 is not an integer from 0 to 1000000'],
  ['[[vif]]\ndomid = 1.5', 'vif[0].domid: 1.5 is not an integer from 0 to 65535'],
  ['[vif]\nisolated = true', 'vif: must be tables: [[vif]]'],
  ['vif = [1]', 'vif: must be tables: [[vif]]'],
  ['[[vif]]\nisolated = 1', 'vif[0].isolated: 1 is not true or false'],
  ['[[vif]]\n[[vif]]\nmac = "1"', 'vif[1].mac: "1" is not a MAC address'],
  ['[[vif]]\nbridge = "a/b"', 'vif[0].bridge: "a/b" is not a bridge name'],
  ['[[vif]]\nisolate = true', 'vif[0].isolate: there is no such key; known are'],
  ['[[vif]]\noffload = { tso = "off" }', 'vif[0].offload.tso: "off" is not true or false'],
  ['[scripts]\nmap = ["bridge"]', 'scripts.map: must be a table'],
  ['[scripts.mop]\nmine = "bridge"', 'scripts.mop: there is no such key; known are directories, map'],
  // Neither the program's spelling of a key nor a property of Object.prototype is a key.
  [
    '[route]\ngatewayDevice = "eth0"',
    'route.gatewayDevice: there is no such key; known are dhcp, dns, domain, gateway_device',
  ],
  ['[log]\nconstructor = "info"', 'log.constructor: there is no such key; known are level'],
  ['[__proto__]\nlevel = "info"', '__proto__: there is no such key; known are antispoof'],
])('%j is refused with file, key and reason', (text, reason) => {
  const refused = expect(() => parseConfig(text, '/etc/vifd/x.toml'));
  refused.toThrow(ConfigError);
  refused.toThrow(`/etc/vifd/x.toml: ${reason}`);
});

test.each([
  ['[log]\nlevel = "in\u2028fo"', 'log.level: "in\\u2028fo" is not'],
  ['["a\u202eb"]\nlevel = "info"', 'a\\u202eb: there is no such key'],
  ['["a\\u009b2Jb"]\nlevel = "info"', 'a\\u009b2Jb: there is no such key'],
  ['["a\\U000E0001"]\nlevel = "info"', 'a\\U000e0001: there is no such key'],
  ['["Grüße"]\nlevel = "info"', 'Grüße: there is no such key'],
])('%j is refused in one line that steers no terminal', (text, reason) => {
  expect(() => parseConfig(text, 'x.toml')).toThrow(`x.toml: ${reason}`);
});

test('a file that is not TOML is refused with the line', () => {
  expect(() => parseConfig('[log]\nlevel = \n', 'x.toml')).toThrow(/^x\.toml: line 2: \S/);
});

test('a file named on the command line must be there', () => {
  expect(() => readConfig('/nonexistent/vifd.toml')).toThrow(
    /^\/nonexistent\/vifd\.toml: cannot be read: ENOENT/,
  );
});

test('a file that is no file is refused', () => {
  expect(() => readConfig('/')).toThrow(/^\/: cannot be read: EISDIR/);
});

test('the default file', () => expect(defaultConfigFile).toBe('/etc/vifd/vifd.toml'));

test('networks that have addresses of hosts among others are taken', () => {
  const text = '[[vif]]\nip = "0.0.0.0/0"\nallow = ["::/0", "0.0.0.5/0", "240.0.0.0/4", "fe80::/10"]\n';
  expect(parseConfig(text, 'x.toml').vifs[0]?.allow?.map(formatNetwork)).toEqual([
    '::/0',
    '0.0.0.0/0',
    '240.0.0.0/4',
    'fe80::/10',
  ]);
});
