import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { toml } from '../../../docs/generate/configuration.js';
import { parseConfig } from '../../../src/config/config.js';
import { ConfigError } from '../../../src/config/error.js';
import { sections } from '../../../src/config/keys.js';
import type { Key, Section } from '../../../src/config/section.js';

const example = readFileSync(
  fileURLToPath(new URL('../../../systemd/etc/vifd.toml', import.meta.url)),
  'utf8',
);

/** Every key of the table: the head of its section in the file, its name, and its declaration. */
const keys = Object.entries<Section>(sections).flatMap(([name, { isRepeated, keys }]) =>
  Object.entries(keys).map(([key, declared]): [head: string, name: string, declared: Key, place: string] => [
    isRepeated ? `[[${name}]]` : `[${name}]`,
    key,
    declared,
    `${name}${isRepeated ? '[0]' : ''}.${key}`,
  ]),
);

/** The other keys that the section of a key is refused without, as lines. */
const othersNeeded = (head: string, name: string): string[] =>
  keys
    .filter(([section, key, { isNeeded = false }]) => section === head && key !== name && isNeeded)
    .map(([, key, { example }]) => `${key} = ${toml(example)}`);

/** The lines of the example file below the head of a section. */
const below = (head: string): string[] => {
  const lines = example.split('\n');
  const start = lines.findIndex((line) => line === head || line === `# ${head}`);
  const end = lines.indexOf('', start);
  return start < 0 ? [] : lines.slice(start + 1, end < 0 ? undefined : end);
};

test('the defaults', () => {
  expect(parseConfig('', 'vifd.toml')).toStrictEqual({
    log: { level: 'info' },
    netdevTimeoutMs: 10_000,
    antispoof: { mode: 'auto', controlFrames: false },
    bridge: {
      mtu: 'bridge',
      protectHost: false,
      services: [],
      bpduGuard: undefined,
      fastLeave: undefined,
      hairpin: undefined,
      learning: undefined,
      multicastToUnicast: undefined,
      neighborSuppress: undefined,
      rootBlock: undefined,
      unicastFlood: undefined,
    },
    openvswitch: {
      database: 'unix:/var/run/openvswitch/db.sock',
      ifaceId: '{mac}',
      ifaceStatus: false,
      waitForOvn: false,
      protectHost: false,
      services: [],
    },
    route: {
      gatewayDevice: undefined,
      services: [],
      dhcp: 'off',
      dns: [],
      routerAdvertisements: false,
      ntp: [],
      domain: undefined,
      guestKeys: false,
    },
    nat: {
      network: { family: 4, address: '10.0.0.0', prefix: 8 },
      prefix: 16,
      uplink: undefined,
      dhcp: 'off',
      dns: [],
      routerAdvertisements: false,
      ntp: [],
      domain: undefined,
      guestKeys: false,
      services: [],
    },
    scripts: { directories: ['/etc/xen/scripts'], map: new Map() },
    hooks: { directory: undefined },
    metrics: { listen: undefined, traffic: false },
    vifs: [],
    forwards: [],
    groups: [],
  });
});

test.each(keys)('%s %s: the default of the table is the one of the program', (head, name, declared) => {
  if (declared.default === undefined) {
    expect(declared.otherwise).toMatch(/^\S.*[^.]$/);
    expect(declared.example).toBeDefined();
  } else {
    const given = parseConfig(`${head}\n${name} = ${toml(declared.default)}`, 'vifd.toml');
    expect(given).toStrictEqual(parseConfig('', 'vifd.toml'));
  }
});

test.each(keys)('%s %s: has one sentence', (_head, _name, { sentence, expected }) => {
  expect(sentence).toMatch(/^["A-Z][^\n]*[a-z"]\.$/);
  expect(sentence).not.toMatch(/\. [A-Z]/);
  expect(expected).not.toBe('');
});

describe('the example file', () => {
  test.each(keys)('%s %s is there, and is taken when it is uncommented', (head, name, declared) => {
    const [line, ...more] = below(head).filter((one) => new RegExp(`^# ?${name} = `).test(one));
    expect(more).toEqual([]);
    expect(line).toBe(
      declared.example === undefined
        ? `#${name} = ${toml(declared.default)}`
        : `# ${name} = ${toml(declared.example)}`,
    );
    const given = parseConfig(
      [head, line?.replace(/^# ?/, ''), ...othersNeeded(head, name)].join('\n'),
      'vifd.toml',
    );
    if (declared.example === undefined) expect(given).toStrictEqual(parseConfig('', 'vifd.toml'));
    else expect(given).not.toEqual(parseConfig('', 'vifd.toml'));
  });

  test('is a configuration when every key in it is uncommented', () => {
    const uncommented = example.replace(/^# ?(?=[a-z_]+ = |\[\[\w+\]\]$)/gm, '');
    expect(parseConfig(uncommented, 'vifd.toml')).toMatchObject({
      route: { gatewayDevice: 'eth0' },
      nat: { uplink: ['tun0'] },
      scripts: { map: new Map([['my-bridge', 'bridge']]) },
      hooks: { directory: '/etc/vifd/hooks' },
      metrics: { listen: { host: '127.0.0.1', port: 9775 } },
      vifs: [
        {
          bridge: 'xenbr0',
          mac: '00:16:3e:00:00:05',
          isolated: true,
          multicastFlood: false,
          broadcastFlood: false,
          uplink: ['tun0'],
          txqueuelen: 1000,
          offload: { tso: false },
        },
      ],
    });
  });
});

describe('a wrong value is refused with file, key, value and what is expected', () => {
  /** By a kind's `expected`: a value that it does not take, and the part of it that is wrong where that is not the whole. */
  const wrong: Record<string, [value: string, fault?: [below: string, value: string, expected: string]]> = {
    'one of trace, debug, info, warn, error': ['"loud"'],
    'one of auto, strict, off': ['true'],
    'one of bridge, uplink': ['1500'],
    'one of none, group, all': ['"some"'],
    'one of off, dnsmasq': ['"isc"'],
    'a number from 1 to 600': ['0.5'],
    'an integer from 0 to 1000000': ['-1'],
    'an integer from 0 to 65535': ['5.5'],
    'a number or a name of /etc/iproute2/group': ['4294967296'],
    'one of bridge, route, nat, openvswitch': ['"vif-nat"'],
    'true or false': ['"yes"'],
    'a list, each of it dhcp, dns, tcp/PORT or udp/PORT': ['["dhcp","tcp/65536"]'],
    'a text without blanks with one of {mac}, {domid}, {devid}, {vif}, {iface-id} in it': ['"xen-{name}"'],
    'unix: and an absolute path': ['"tcp:127.0.0.1:6640"'],
    "a network device's name": ['"sixteen-letters-"'],
    "a network device's name, or a list of them": ['[]'],
    'a set as "inet filter web", by family, table and name, or a list of them': ['"inet vifd guests"'],
    'an IPv4 network from /8 to /24': ['"fd00::/8"'],
    'a list, each of it an IPv4 or IPv6 address': ['["10.0.0.1","fd00::/64"]'],
    'a list, each of it an absolute path': ['["/etc/xen/scripts","scripts"]'],
    'an absolute path': ['"hooks"'],
    'address:port, [address]:port or unix:/path': ['"127.0.0.1:65536"'],
    'a name of letters, digits, ".", "-" and "_"': ['"a b"'],
    'a bridge name': ['"xenbr0:10"'],
    'a host name of letters, digits and "-" that begins with a letter': ['"12h"'],
    'a domain of letters, digits, "-" and "."': ['"example.com,0.0.0.0"'],
    'a MAC address': ['"00:16:3e:00:00"'],
    'a list, each of it a MAC address': ['["00:16:3e:00:00"]'],
    'a list, each of it an address or a network': ['["fe80::/10","10.0.0.0/33"]'],
    'an address or a network': ['"10.0.0.0/33"'],
    'one of off, mac, addresses': ['"auto"'],
    'a table, each value of it one of bridge, route, nat, openvswitch': [
      '{ mine = "vif-nat" }',
      ['.mine', '"vif-nat"', 'one of bridge, route, nat, openvswitch'],
    ],
    'a table of port (an integer from 1 to 65535), proto (one of tcp, udp) and, if wanted, address (an address)':
      ['{ port = 22, proto = "sctp" }', ['.proto', '"sctp"', 'one of tcp, udp']],
    'a table of port (an integer from 1 to 65535) and, if wanted, mac (a MAC address), domid (an integer from 0 to 65535), ip (an address)':
      ['{ ip = "10.0.0.0/24", port = 22 }', ['.ip', '"10.0.0.0/24"', 'an address']],
    'a table of any of from_guest (a rate like 100mbit, in kbit, mbit or gbit), to_guest (a rate like 100mbit, in kbit, mbit or gbit), burst (a size like 256kb, in kb or mb, of 64kb at least), packets (a rate like 20kpps or 100pps), broadcast (a rate like 20kpps or 100pps)':
      ['{ burst = "32kb" }', ['.burst', '"32kb"', 'a size like 256kb, in kb or mb, of 64kb at least']],
    'a table of any of bridge (a bridge name), mac (a MAC address), ip (an address or a network), domid (an integer from 0 to 65535), topology (one of bridge, route, nat, openvswitch), or a list of such tables':
      ['{ domid = -1 }', ['.domid', '-1', 'an integer from 0 to 65535']],
    'a table, each value of it true or false': ['{ tso = 0 }', ['.tso', '0', 'true or false']],
  };

  test.each(keys)('%s %s', (head, name, { expected }, place) => {
    const [value, [faultBelow, fault, what] = ['', value, expected]] = wrong[expected] ?? ['missing here'];
    const text = [head, `${name} = ${value}`, ...othersNeeded(head, name)].join('\n');
    expect(() => parseConfig(text, '/etc/vifd/x.toml')).toThrow(
      new ConfigError('/etc/vifd/x.toml', `${place}${faultBelow}: ${fault} is not ${what}`),
    );
  });

  test('of every kind there is one', () => {
    expect(Object.keys(wrong).sort()).toEqual(
      [...new Set(keys.map(([, , { expected }]) => expected))].sort(),
    );
  });
});
