import { describe, expect, test } from 'vitest';
import { inLife, snapshot } from '../../../src/model/snapshot.js';

const id = { domid: 5, devid: 0 };
const least = { script: '/etc/xen/scripts/vif-bridge', online: '1', state: '2' };

const parse = (keys: Record<string, string>, frontend: Record<string, string> = {}) =>
  snapshot(id, new Map(Object.entries({ ...least, ...keys })), frontend.mtu);

test('every key in the form libxl writes', () => {
  expect(
    parse(
      {
        bridge: 'xenbr0',
        mac: '00:16:3E:00:00:01',
        ip: '10.0.0.5 2001:db8::5/64',
        gatewaydev: 'eth0',
        vifname: 'web0',
        mtu: '9000',
        'hotplug-status': '',
      },
      { mtu: '1500' },
    ),
  ).toEqual({
    id,
    online: true,
    state: 2,
    script: '/etc/xen/scripts/vif-bridge',
    bridge: 'xenbr0',
    mac: '00:16:3e:00:00:01',
    ip: [
      { family: 4, address: '10.0.0.5', prefix: 32 },
      { family: 6, address: '2001:db8::5', prefix: 64 },
    ],
    gatewaydev: 'eth0',
    vifname: 'web0',
    mtu: 9000,
    hotplugStatus: '',
    hotplugError: undefined,
    frontendMtu: 1500,
    problems: [],
  });
});

test('a key that is empty is as good as absent', () => {
  const { problems, ...rest } = parse({ bridge: '', mac: '', ip: '', vifname: '', mtu: '', gatewaydev: '' });
  expect(problems).toEqual([]);
  expect(rest).toMatchObject({
    bridge: undefined,
    mac: undefined,
    ip: [],
    vifname: undefined,
    mtu: undefined,
  });
});

test.each(['1', '0', '', '2', 'yes'])('online=%j', (online) =>
  expect(parse({ online }).online).toBe(online === '1'),
);

const esc = '\u001b[2J';
describe.each([
  ['script', ['', `vif-bridge${esc}`, '/x'.repeat(1000)]],
  ['state', ['two', '-1', '1.5', '9'.repeat(2000)]],
  ['bridge', ['xen br0', 'a/b', 'x'.repeat(21), 'br0:', 'br0:12345', `br${esc}`, 'br\ufffd']],
  ['mac', ['00:16:3e', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff', `${esc}:16:3e:00:00:01`, 'f'.repeat(2000)]],
  ['ip', ['10.0.0.5,10.0.0.6', '10.0.0.300', '10.0.0.5/33', '10.0.0.5 x', '::1::', `10.0.0.5${esc}`]],
  ['gatewaydev', ['eth 0', 'x'.repeat(16), '.', '..', 'a/b', `e${esc}`]],
  [
    'vifname',
    [
      'x'.repeat(16),
      'a b',
      'a:b',
      '..',
      'all',
      'default',
      'vif6.0',
      'vif5.1',
      'web%d',
      `w${esc}`,
      'web\ufffd',
    ],
  ],
  ['mtu', ['67', '65536', '-1500', '1500 ', '0x5dc', '1e3', 'big']],
])('a malformed %s', (key, values) => {
  test.each(values)('%#: it is a problem of that key and of no other', (value) => {
    const { problems } = parse({ [key]: value });
    expect(problems.map(({ target }) => target)).toEqual([`backend/vif/5/0/${key}`]);
    expect(problems[0]?.waits).toBe(true);
    // The message goes to terminals and into xenstore, so it is short and printable for any value.
    expect(problems[0]?.message).toMatch(/^[\x20-\x7e]{1,220}$/);
  });
});

describe('an address that no guest can have is a problem of the ip key, which names the word', () => {
  test.each([
    ['224.0.0.5', 'multicast'],
    ['239.255.255.255/24', 'multicast'],
    ['224.0.0.0/4', 'multicast'],
    ['127.0.0.5', 'loopback'],
    ['127.0.0.0/8', 'loopback'],
    ['255.255.255.255', 'broadcast'],
    ['0.0.0.0', 'unspecified'],
    ['0.0.0.5', 'unspecified'],
    ['0.0.0.0/8', 'unspecified'],
    ['ff02::1', 'multicast'],
    ['ff00::/8', 'multicast'],
    ['::1', 'loopback'],
    ['::', 'unspecified'],
    ['::ffff:10.0.0.5', 'an IPv4 address in the form of IPv6'],
    ['::ffff:0:0/96', 'an IPv4 address in the form of IPv6'],
  ])('%s', (word, what) => {
    const { ip, problems } = parse({ ip: `10.0.0.5 ${word}  2001:db8::5` });
    expect(ip).toEqual([]);
    expect(problems.map(({ code, message }) => `${code} ${message}`)).toEqual([
      `key-malformed read backend/vif/5/0/ip: "${word}" is ${what}, and no host can have it as its own; leave it out, or give that of a host`,
    ]);
    expect(problems[0]?.message).toMatch(/^[\x20-\x7e]{1,220}$/);
  });

  // What has hosts among others, such as everything; class E, which Linux routes; the ends of what is not.
  test.each([
    '0.0.0.0/0',
    '224.0.0.0/3',
    '240.0.0.5',
    '240.0.0.0/4',
    '255.255.255.254',
    '1.0.0.0',
    '126.255.255.255',
    '128.0.0.0',
    '223.255.255.255',
    '10.0.0.255/24',
    '::/0',
    '::2',
    '::/64',
    '::fffe:0:1',
    '::1:0:0:0',
    'fe80::5',
    'feff::1',
  ])('%s is one that it can', (word) => {
    const { ip, problems } = parse({ ip: word });
    expect([ip.length, problems]).toEqual([1, []]);
  });
});

test.each(['', '-1', 'x', '1e3', '9'.repeat(2000)])(
  'the guest can write mtu=%j, and nothing comes of it',
  (mtu) => {
    expect(parse({}, { mtu })).toMatchObject({ frontendMtu: undefined, problems: [] });
  },
);

test('keys of its life are taken over; all are read for a vif that is gone, not being taken away, or goes back', () => {
  const before = parse({ state: '4', 'hotplug-status': 'connected' });
  const now = inLife(before, new Map([['state', '6']] as const));
  expect(now).toEqual({ ...before, state: 6 });
  expect(inLife(before, new Map([['online', '0']] as const))).toEqual({ ...before, online: false });
  expect(inLife(before, new Map([['hotplug-status', undefined]] as const))?.hotplugStatus).toBeUndefined();
  for (const state of [undefined, '', 'x', '1'])
    expect(inLife(before, new Map([['state', state]] as const))).toBeUndefined();
  for (const online of [undefined, '1'])
    expect(inLife(before, new Map([['online', online]] as const))).toBeUndefined();
});
