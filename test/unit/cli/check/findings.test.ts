import { describe, expect, test } from 'vitest';
import type { Facts } from '../../../../src/cli/check/facts.js';
import type { Files } from '../../../../src/cli/check/files.js';
import { findings } from '../../../../src/cli/check/findings.js';
import { type Config, parseConfig } from '../../../../src/config/config.js';
import { type Link, linkView } from '../../../../src/model/observed.js';
import { snapshot, type VifSnapshot } from '../../../../src/model/snapshot.js';

const bridge: Link = {
  index: 2,
  name: 'xenbr0',
  alias: undefined,
  parent: undefined,
  kind: 'bridge',
  mac: '00:16:3e:00:00:01',
  mtu: 1500,
  up: true,
  master: undefined,
  addresses: [],
};

const uplink: Link = { ...bridge, index: 3, name: 'enp0s0', kind: undefined, master: 2 };

/** The facts of a machine without problems, with these vifs. */
const fit: Facts = {
  xenstore: { domid: 7, vifs: [] },
  links: linkView([bridge, uplink]),
  senders: { neighbours: [], forwarding: [] },
  vifsWithState: [],
  netback: true,
  vifd: true,
  nft: undefined,
  forwarding: { off: new Set(), uplink: 'xenbr0' },
  processes: ['/sbin/init', '/usr/bin/node /usr/bin/vifd run', 'xl list', 'vi xl-devd.txt'],
  files: { udev: [], networkd: [], networkManager: [] },
  networkdRuns: true,
  networkManagerRuns: false,
  sysctls: {
    'net.ipv6.conf.all.disable_ipv6': '0',
    'net.ipv6.conf.all.forwarding': '0',
  },
  programs: { dnsmasq: false },
  openvswitch: false,
  stalled: [],
};
const config: Config = parseConfig('', 'vifd.toml');

function vif(domid: number, keys: Record<string, string> = {}): VifSnapshot {
  const all = { online: '1', script: '/etc/xen/scripts/vif-bridge', bridge: 'xenbr0', ...keys };
  return snapshot({ domid, devid: 0 }, new Map(Object.entries(all)));
}

test('hooks that the stock scripts source are found', () => {
  expect(found({ postHooks: ['/etc/xen/scripts/vif-post.d/10-shape.hook'] })).toEqual([
    'warning hooks: /etc/xen/scripts/vif-post.d/10-shape.hook is sourced by the stock scripts, and vifd does not run it',
  ]);
});

const withVifs = (...vifs: VifSnapshot[]): Partial<Facts> => ({ xenstore: { domid: 7, vifs } });

/** The findings that a machine without problems does not have, as `severity check: message`. */
function found(facts: Partial<Facts>, use: Parameters<typeof findings>[1] = config): string[] {
  const usual = new Set(findings(fit, config).map(({ check, message }) => `${check} ${message}`));
  return findings({ ...fit, ...facts }, use)
    .filter(({ check, message }) => !usual.has(`${check} ${message}`))
    .map(({ severity, check, message }) => `${severity} ${check}: ${message}`);
}

test('what is blocked is named, and the guests that have gone', () => {
  const block = (name: string) => ({ vif: name, since: '2026-11-28T03:00:00.000Z', by: 'uid 0' });
  const blocks = new Map([
    ['00:16:3e:00:00:05_0', block('vif4.0')],
    ['00:16:3e:00:00:09_1', block('vif9.1')],
  ]);
  const mac = '00:16:3e:00:00:05';
  const all = { ...fit, ...withVifs(vif(5, { mac }), vif(6, { mac: '00:16:3e:00:00:06' })), blocks };
  expect(findings(all, config).filter(({ check }) => check === 'blocked')).toEqual([
    {
      check: 'blocked',
      severity: 'note',
      message: 'vif5.0: no frame passes, since 2026-11-28T03:00:00.000Z, by uid 0',
      remedy: 'vifd allow vif5.0, if the reason is gone',
    },
    {
      check: 'blocked',
      severity: 'note',
      message:
        'a guest that has gone (00:16:3e:00:00:09_1, vif9.1 then): no frame passes, since 2026-11-28T03:00:00.000Z, by uid 0',
      remedy: 'vifd allow vif9.1, if the reason is gone',
    },
  ]);
});

test('a fit machine has nothing but "ok", and no remedies', () => {
  for (const finding of findings(fit, config)) expect(finding).toMatchObject({ severity: 'ok', remedy: '' });
});

test('all that is not ok has a remedy', () => {
  const wrong: Facts = {
    ...fit,
    ...withVifs(
      ...Array.from({ length: 40 }, (_, i) => vif(i + 1, { bridge: 'nowhere', ip: '2001:db8::5' })),
      vif(50, { script: '/etc/xen/scripts/vif-route', 'hotplug-status': 'connected' }),
      vif(53, { vlan: '10' }),
      vif(51, { script: '/etc/xen/scripts/vif-nat' }),
      vif(52, { script: '/etc/xen/scripts/vif-openvswitch' }),
    ),
    links: linkView([bridge]),
    vifd: false,
    nft: 'no such file',
    forwarding: { off: new Set(['xenbr0']), uplink: 'xenbr0' },
    vifsWithState: [{ domid: 99, devid: 0 }],
    netback: false,
    processes: ['/usr/sbin/xl devd'],
    files: {
      udev: [{ path: '/etc/udev/rules.d/xen.rules', text: 'SUBSYSTEM=="xen-backend", RUN+="x"' }],
      networkd: [{ path: '/etc/systemd/network/all.network', text: '[Match]\nName=*\n' }],
      networkManager: [],
    },
    networkManagerRuns: true,
    sysctls: { 'net.bridge.bridge-nf-call-iptables': '1', 'net.ipv6.conf.all.disable_ipv6': '1' },
    stalled: ['vif5.0 io_ring_q0'],
  };
  const all = findings(wrong, { reason: 'vifd.toml: line 1: no' }).filter(
    ({ severity }) => severity !== 'ok',
  );
  expect([...new Set(all.map(({ check }) => check))].sort()).toEqual(
    [
      'configuration netback quota udev systemd-networkd NetworkManager bridges br_netfilter ipv6',
      'forwarding dnsmasq openvswitch leftovers rings vifd nft vlan_filtering',
    ]
      .join(' ')
      .split(' ')
      .concat('xl devd')
      .sort(),
  );
  for (const { remedy } of all) expect(remedy).not.toBe('');
});

test('a configuration that is refused', () => {
  expect(found({}, { reason: 'vifd.toml: log.level: no' })).toEqual([
    'error configuration: vifd.toml: log.level: no',
  ]);
});

test('no xenstore: what depends on it is left out', () => {
  expect(
    found({ xenstore: { reason: 'no answer in 3 s' }, vifsWithState: [{ domid: 5, devid: 0 }] }),
  ).toEqual(['error xenstore: no answer in 3 s']);
});

test('dom0 is worth a note', () => {
  expect(found({ xenstore: { domid: 0, vifs: [] } })).toEqual([
    'note driver domain: this is dom0, or a xenstored of your own',
  ]);
});

test('the quota is warned of before the 40th vif, which fails', () => {
  const many = (count: number) => withVifs(...Array.from({ length: count }, (_, i) => vif(i + 1)));
  expect(found(many(32))).toEqual([
    'ok quota: 32 vifs, about 800 of the 1000 xenstore nodes a domain has by default',
  ]);
  expect(found(many(33))).toEqual([
    'warning quota: 33 vifs take about 825 xenstore nodes; by default a domain may have 1000',
  ]);
});

test('netback that is not loaded', () => {
  expect(found({ netback: false })).toEqual([
    'error netback: xen-netback is not loaded: no vif will get a netdev',
  ]);
});

test.each(['/usr/sbin/xl devd', 'xl devd -F', '/usr/lib/xen-4.17/bin/xl -v devd'])('%s runs', (line) => {
  expect(found({ processes: [line] })).toEqual([
    'error xl devd: it runs, and attaches and deletes the same vifs',
  ]);
});

test.each([
  ['SUBSYSTEM=="xen-backend", KERNEL=="vif*", RUN+="/etc/xen/scripts/vif-setup $env{ACTION}"', true],
  ['SUBSYSTEM=="xen-backend", RUN+="/etc/xen/scripts/xen-hotplug-cleanup"', true],
  ['SUBSYSTEM=="xen-backend", KERNEL=="vbd*", RUN+="/etc/xen/scripts/block $env{ACTION}"', false],
  ['# SUBSYSTEM=="xen-backend", KERNEL=="vif*", RUN+="/etc/xen/scripts/vif-setup"', false],
  ['', false],
])('the udev rule %j', (text, runs) => {
  expect(found({ files: { ...fit.files, udev: [{ path: '/etc/udev/rules.d/x.rules', text }] } })).toEqual(
    runs ? ['error udev: /etc/udev/rules.d/x.rules runs hotplug scripts for vifs'] : [],
  );
});

describe('systemd-networkd', () => {
  const claimed = (networkd: Files, networkdRuns = true): string[] =>
    found({ files: { ...fit.files, networkd }, networkdRuns });
  const file = (name: string, text: string) => ({ path: `/etc/systemd/network/${name}`, text });
  const says = (name: string): string[] => [
    `warning systemd-networkd: /etc/systemd/network/${name} matches vif*, so networkd configures them too`,
  ];

  test.each([
    '[Match]\nName=*\n[Network]\nDHCP=yes',
    '[Match]\nName=en* vif*',
    '[Match]\nName=vif?.?',
    '[Match]\nName=[a-z]*',
    '[Match]\nName=!en*',
    '[Match]\nName=[!e]*',
    '[Match]\nType=ether',
    '[Match]\nKind=!*\nVirtualization=xen\nName=*',
    '# [Match]\n[Match]\n  Name = *  ',
  ])('%j takes vifs in', (text) => {
    expect(claimed([file('x.network', text)])).toEqual(says('x.network'));
    expect(claimed([file('x.network', text)], false)).toEqual([]);
  });

  test.each([
    '[Match]\nName=enX0\n[Network]\nBridge=xenbr0',
    '[Match]\nName=!vif*',
    '[Match]\nName=[!v]*',
    '[Match]\nName=*\nMACAddress=00:16:3e:00:00:01',
    '[Match]\nName=*\nKind=bridge',
    '[Match]\nType=wlan',
    '[Match]\nName=ve-*\nKind=veth',
    '[Match]\nName=*\n[Link]\nUnmanaged=yes',
    '[Match]\nName=(',
    '[Match]\n',
    '',
  ])('%j does not', (text) => {
    expect(claimed([file('x.network', text)])).toEqual([]);
  });

  test('the first file by name that matches is the one that counts, which is the remedy', () => {
    const all = file('80-all.network', '[Match]\nName=*');
    const away = (name: string) => file(name, '[Match]\nName=vif*\n[Link]\nUnmanaged=yes');
    expect(claimed([all, away('10-vif.network')])).toEqual([]);
    expect(claimed([all, away('90-vif.network')])).toEqual(says('80-all.network'));
  });
});

describe('NetworkManager', () => {
  const claimed = (text: string, networkManagerRuns = true): string[] =>
    found({
      files: { ...fit.files, networkManager: [{ path: '/etc/NetworkManager/conf.d/x.conf', text }] },
      networkManagerRuns,
    });

  test.each([
    '',
    '[keyfile]\n#unmanaged-devices=interface-name:vif*',
    '[keyfile]\nunmanaged-devices=interface-name:tap*',
  ])('%j does not keep it off', (text) => {
    expect(claimed(text)).toEqual(['warning NetworkManager: it may configure vif*']);
    expect(claimed(text, false)).toEqual([]);
  });
  test.each([
    '[keyfile]\nunmanaged-devices=interface-name:vif*',
    '[keyfile]\nunmanaged-devices+=mac:00:16:3e:00:00:01;interface-name:vif*',
  ])('%j does', (text) => expect(claimed(text)).toEqual([]));
});

describe('NetworkManager and systemd-networkd judge by their own rules', () => {
  const etc = '/etc/NetworkManager/conf.d';
  const managed = (conf: Record<string, string>, more: Partial<Facts> = {}): boolean =>
    found({
      files: {
        ...fit.files,
        ...more.files,
        networkManager: Object.entries(conf).map(([path, text]) => ({ path, text })),
      },
      networkManagerRuns: true,
    }).length > 0;

  test.each<[string, boolean]>([
    ['[keyfile]\nunmanaged-devices=mac:FE:FF:FF:FF:FF:FF', false],
    ['[keyfile]\nunmanaged-devices=mac:00:16:3e:00:00:01', true],
    ['[keyfile]\nunmanaged-devices=fe:ff:ff:ff:ff:ff', false],
    ['[keyfile]\nunmanaged-devices=eth0;interface-name:v*', false],
    ['[keyfile]\nunmanaged-devices=interface-name:~vif?.*', false],
    ['[keyfile]\nunmanaged-devices=interface-name:=vif', true],
    ['[keyfile]\nunmanaged-devices=type:ethernet', false],
    ['[keyfile]\nunmanaged-devices=type:wifi', true],
    ['[keyfile]\nunmanaged-devices=driver:vif', false],
    ['[keyfile]\nunmanaged-devices=*,except:interface-name:eth0', false],
    ['[keyfile]\nunmanaged-devices=except:interface-name:eth0', false],
    ['[keyfile]\nunmanaged-devices=*,except:type:ethernet', true],
    ['[main]\nunmanaged-devices=interface-name:vif*', true],
    ['# [keyfile]\n#unmanaged-devices=interface-name:vif*', true],
    ['[device-xen]\nmatch-device=interface-name:vif*\nmanaged=0', false],
    ['[device-xen]\nmatch-device=interface-name:vif*\nmanaged=1', true],
    ['[device-xen]\nmatch-device=interface-name:veth*\nmanaged=0', true],
  ])('%j', (text, expected) => expect(managed({ [`${etc}/x.conf`]: text })).toBe(expected));

  test('a later file takes the place of an earlier one, and += adds to it', () => {
    const list = (value: string) => `[keyfile]\nunmanaged-devices${value}`;
    const usr = '/usr/lib/NetworkManager/conf.d/90.conf';
    expect(managed({ [usr]: list('=interface-name:vif*'), [`${etc}/10.conf`]: list('=eth0') })).toBe(true);
    expect(managed({ [usr]: list('=interface-name:vif*'), [`${etc}/10.conf`]: list('+=eth0') })).toBe(false);
    expect(managed({ [usr]: list('=eth0'), [`${etc}/10.conf`]: list('=interface-name:vif*') })).toBe(false);
    const main = { '/etc/NetworkManager/NetworkManager.conf': list('=interface-name:vif*') };
    expect(managed({ ...main, [`${etc}/10.conf`]: list('=eth0') })).toBe(true);
  });

  test.each<[string, boolean]>([
    ['SUBSYSTEM=="net", KERNEL=="vif[0-9]*", ENV{NM_UNMANAGED}="1"', false],
    ['ENV{INTERFACE}=="veth*|vif*", ENV{NM_UNMANAGED}="1"', false],
    ['ATTR{address}=="fe:ff:ff:ff:ff:ff", ENV{NM_UNMANAGED}="1"', false],
    ['KERNEL=="docker0", ENV{NM_UNMANAGED}="1"', true],
    ['#KERNEL=="vif*", ENV{NM_UNMANAGED}="1"', true],
  ])('udev: %s', (text, expected) =>
    expect(
      managed({}, { files: { ...fit.files, udev: [{ path: '/etc/udev/rules.d/x.rules', text }] } }),
    ).toBe(expected),
  );

  const named = withVifs(vif(5, { vifname: 'webserver' }), vif(6));

  test('a vifname that no rule covers is named, and one that a MAC address covers is not', () => {
    const files = (text: string): Facts['files'] => ({
      ...fit.files,
      networkManager: [{ path: `${etc}/x.conf`, text: `[keyfile]\nunmanaged-devices=${text}` }],
    });
    const judge = (text: string) => found({ ...named, files: files(text), networkManagerRuns: true });
    const renamed = ['warning NetworkManager: it may configure webserver, the interface of vif5.0'];
    expect(judge('interface-name:vif*').filter((line) => line.includes('NetworkManager'))).toEqual(renamed);
    expect(judge('mac:fe:ff:ff:ff:ff:ff').filter((line) => line.includes('NetworkManager'))).toEqual([]);
  });

  test('the same of networkd', () => {
    const judge = (text: string) =>
      found({
        ...named,
        files: { ...fit.files, networkd: [{ path: '/etc/systemd/network/x.network', text }] },
      })
        .filter((line) => line.includes('networkd'))
        .map((line) => line.replace(/.*matches /, ''));
    expect(judge('[Match]\nName=web* en*')).toEqual([
      'webserver, the interface of vif5.0, so networkd configures it too',
    ]);
    expect(judge('[Match]\nMACAddress=FE:FF:FF:FF:FF:FF')).toHaveLength(2);
    expect(judge('[Match]\nMACAddress=fe:ff:ff:ff:ff:ff\n[Link]\nUnmanaged=yes')).toEqual([]);
    expect(judge('[Match]\nName=vif*\n[Link]\nUnmanaged=yes')).toEqual([]);
  });
});

test('a bridge that is waited for, and none at all', () => {
  expect(found(withVifs(vif(5, { bridge: 'lan0' }), vif(6)))).toContain(
    'error bridges: vif5.0 waits for bridge lan0',
  );
  expect(found({ links: linkView([]) })).toEqual(['note bridges: there is none']);
});

test('a bridge that has lost its uplink, with guests on it', () => {
  const port: Link = { ...uplink, index: 4, name: 'vif5.0' };
  const about = (facts: Partial<Facts>) => found(facts).filter((line) => line.includes('bridges'));
  const guests = withVifs(vif(5), vif(6));
  const lost = linkView([bridge, { ...uplink, master: undefined }, port]);
  expect(about({ ...guests, links: lost })).toEqual([
    'note bridges: xenbr0 has no port but vifs: its guests reach each other and nothing beyond',
  ]);
  expect(about({ ...guests, links: linkView([bridge, uplink, port]) })).toEqual([]);
  expect(about({ links: lost })).toEqual([]);
});

test('bridged frames in iptables', () => {
  expect(found({ sysctls: { ...fit.sysctls, 'net.bridge.bridge-nf-call-ip6tables': '1' } })).toEqual([
    'warning br_netfilter: bridged frames pass the FORWARD chains of ip6tables too',
  ]);
});

test.each([{ 'net.ipv6.conf.all.disable_ipv6': '1' }, { 'net.ipv6.conf.all.disable_ipv6': undefined }])(
  'IPv6 that is off matters to a vif with such an address: %j',
  (sysctls) => {
    const message = 'warning ipv6: it is off here, but vif5.0 has IPv6 addresses';
    expect(found({ ...withVifs(vif(5, { ip: '10.0.0.5 2001:db8::5' })), sysctls })).toContain(message);
    expect(found({ ...withVifs(vif(5, { ip: '10.0.0.5' })), sysctls })).not.toContain(message);
  },
);

test('forwarding that was turned off matters to a routed vif that is attached', () => {
  const routed = (script: string, keys: Record<string, string> = {}) =>
    withVifs(vif(5, { script: `/etc/xen/scripts/${script}`, 'hotplug-status': 'connected', ...keys }));
  const off = { forwarding: { off: new Set(['xenbr0', 'vif6.0']), uplink: 'xenbr0' } };
  const says = (what: string) => `warning forwarding: off for ${what}, though vif5.0 are routed`;
  for (const script of ['vif-route', 'vif-nat']) {
    expect(found({ ...routed(script), ...off })).toContain(says('xenbr0'));
    expect(found(routed(script))).toContain('ok forwarding: on for routed vifs and their way out');
    expect(found({ ...routed(script, { 'hotplug-status': '' }), ...off }).join()).not.toContain('forwarding');
  }
  expect(found(routed('vif-route', { ip: '2001:db8::5' }))).toContain(says('IPv6'));
  expect(found({ ...withVifs(vif(5)), ...off }).join()).not.toContain('forwarding');
});

test('VLANs on a bridge that does not keep them apart', () => {
  const says = 'error vlan_filtering: vif5.0 has VLANs, but its bridge xenbr0 does not filter them';
  expect(found(withVifs(vif(5, { vlan: '10' })))).toContain(says);
  const filtering = linkView([{ ...bridge, vlanFiltering: true }]);
  expect(found({ ...withVifs(vif(5, { vlan: '10' })), links: filtering })).not.toContain(says);
  expect(found(withVifs(vif(5)))).not.toContain(says);
});

test('nft that cannot be used, which matters less where nothing is filtered', () => {
  const nft = 'libnftables.so.1: no such file';
  expect(found({ nft })).toEqual([`error nft: cannot be used, so no vif with an ip key is attached: ${nft}`]);
  expect(found({ nft }, parseConfig('[antispoof]\nmode = "off"', 'x'))).toEqual([
    `note nft: cannot be used (${nft}), and anti-spoofing is off; control frames of guests pass`,
  ]);
});

test('vifd that does not run', () => {
  expect(found({ vifd: false })).toEqual([
    'warning vifd: it does not run: nothing is attached, repaired or taken away',
  ]);
});

test('dnsmasq and Open vSwitch are missed where they are needed', () => {
  const nat = withVifs(vif(5, { script: '/etc/xen/scripts/vif-nat' }));
  expect(found(nat)).toContain('note dnsmasq: not installed, so vif5.0 cannot get addresses by DHCP');
  expect(found({ ...nat, programs: { dnsmasq: true } }).join()).not.toContain('dnsmasq');
  expect(found(nat, parseConfig('[nat]\ndhcp = "dnsmasq"', 'x'))).toContain(
    'error dnsmasq: not installed, so vif5.0 cannot get addresses by DHCP, which the configuration promises',
  );
  expect(found(nat, parseConfig('[nat]\nrouter_advertisements = true', 'x')).join()).toContain(
    'error dnsmasq',
  );
  const ovs = withVifs(vif(5, { script: '/etc/xen/scripts/vif-openvswitch' }));
  expect(found(ovs)).toContain(
    'error openvswitch: vif5.0 waits for Open vSwitch, whose database does not answer',
  );
  expect(found({ ...ovs, openvswitch: true }).join()).not.toContain('openvswitch');
});

test('leftovers are named once, and what has a backend is none', () => {
  const vifsWithState = [5, 6, 6].map((domid) => ({ domid, devid: 0 }));
  expect(found({ ...withVifs(vif(5)), vifsWithState }).filter((line) => line.includes('leftovers'))).toEqual([
    'warning leftovers: vif6.0 has something on this host but no backend in xenstore',
  ]);
});

test('rings that cannot be seen are worth a note once there is a vif', () => {
  expect(found({ stalled: undefined })).toEqual([]);
  const links = linkView([bridge, { ...bridge, index: 3, name: 'vif5.0', kind: undefined }]);
  expect(found({ stalled: undefined, links })).toEqual(["note rings: netback's queues cannot be seen"]);
});

test('a ring that stands still', () => {
  expect(found({ stalled: ['vif5.0 io_ring_q0'] })).toEqual([
    "warning rings: the guest's packets wait in netback's vif5.0 io_ring_q0, and none was taken",
  ]);
});

describe('guests whose traffic the filter would stop', () => {
  const mac = '00:16:3e:00:05:00';
  const port: Link = { ...bridge, index: 5, name: 'vif5.0', kind: undefined, master: 2 };
  const seen = (facts: Partial<Facts>, ip = '10.0.0.5', use?: Config): string[] =>
    found({ ...withVifs(vif(5, { mac, ip })), links: linkView([bridge, port]), ...facts }, use).filter(
      (one) => one.includes('senders'),
    );
  const neighbours = (...addresses: string[]): Partial<Facts> => ({
    senders: {
      neighbours: [
        ...addresses.map((address) => ({ index: 2, address, mac })),
        // Of another host.
        { index: 2, address: '10.0.0.66', mac: '00:16:3e:00:06:00' },
      ],
      forwarding: [],
    },
  });

  test('are those seen with an address that is not in ip', () => {
    expect(seen(neighbours('10.0.0.5'))).toEqual([
      'ok senders: no guest is seen to use an address that its filter stops',
    ]);
    expect(seen(neighbours('10.0.0.5', '10.0.0.7'))).toEqual([
      'warning senders: vif5.0 uses 10.0.0.7, which its filter stops: its ip key has 10.0.0.5',
    ]);
    expect(seen(neighbours('fe80::216:3eff:fe00:500'))).toEqual([
      'warning senders: vif5.0 uses fe80::216:3eff:fe00:500, which its filter stops: its ip key has no IPv6 address',
    ]);
  });

  test('are not those with the link-local address of the MAC, or one of their network', () => {
    const both = '10.1.0.0/24 2001:db8::5';
    const ok = ['ok senders: no guest is seen to use an address that its filter stops'];
    expect(seen(neighbours('fe80::216:3eff:fe00:500', '10.1.0.9', '2001:db8::5'), both)).toEqual(ok);
    expect(seen(neighbours('fe80::1234'), both)).toEqual([
      'warning senders: vif5.0 uses fe80::1234, which its filter stops: its ip key has 10.1.0.0/24 2001:db8::5',
    ]);
  });

  test('are those behind whose port another MAC was learned', () => {
    const learned = (...macs: string[]): Partial<Facts> => ({
      senders: { neighbours: [], forwarding: macs.map((one) => ({ index: 5, mac: one })) },
    });
    expect(seen(learned(mac))[0]).toMatch(/^ok/);
    expect(seen(learned(mac, '52:54:00:00:00:01'))).toEqual([
      `warning senders: vif5.0 sends from 52:54:00:00:00:01, and its filter stops all but its mac key, ${mac}`,
    ]);
  });

  test('are none where the vif is not held', () => {
    expect(seen(neighbours('10.0.0.7'), '')).toEqual([]);
    expect(
      seen(neighbours('10.0.0.7'), '10.0.0.5', parseConfig('[antispoof]\nmode = "off"', 'vifd.toml')),
    ).toEqual([]);
  });

  const ok = ['ok senders: no guest is seen to use an address that its filter stops'];
  const table = (text: string, of = `mac = "${mac}"`) => parseConfig(`[[vif]]\n${of}\n${text}`, 'vifd.toml');
  const learned = (one: string): Partial<Facts> => ({
    senders: {
      neighbours: [{ index: 2, address: '10.0.0.7', mac: one }],
      forwarding: [{ index: 5, mac: one }],
    },
  });
  const vrrp = '00:00:5e:00:01:07';

  test('are none that a table allows, and the others still', () => {
    const allow = table('allow = ["10.0.0.7", "192.0.2.0/24", "fe80::/10"]');
    expect(seen(neighbours('10.0.0.7', '192.0.2.9', 'fe80::1234'), '10.0.0.5', allow)).toEqual(ok);
    expect(seen(neighbours('10.0.0.8'), '10.0.0.5', allow)).toEqual([
      'warning senders: vif5.0 uses 10.0.0.8, which its filter stops: its ip key has 10.0.0.5, and allow 10.0.0.7 192.0.2.0/24 fe80::/10',
    ]);
    const macs = table(`allow_macs = ["${vrrp}"]\nallow = ["10.0.0.7"]`);
    expect(seen(learned(vrrp), '10.0.0.5', macs)).toEqual(ok);
    expect(seen(learned('52:54:00:00:00:01'), '10.0.0.5', macs)).toEqual([
      `warning senders: vif5.0 sends from 52:54:00:00:00:01, and its filter stops all but its mac key, ${mac}, and allow_macs, ${vrrp}`,
    ]);
    // An address that it uses behind a MAC address of its own is looked at too.
    expect(seen(learned(vrrp), '10.0.0.5', table(`allow_macs = ["${vrrp}"]`))).toEqual([
      'warning senders: vif5.0 uses 10.0.0.7, which its filter stops: its ip key has 10.0.0.5',
    ]);
  });

  test('are none of a vif that a table frees; one that a table alone holds is looked at', () => {
    expect(seen(neighbours('10.0.0.7'), '10.0.0.5', table('antispoof = "off"'))).toEqual([]);
    const ofBridge = (name: string) => table('antispoof = "off"', `bridge = "${name}"`);
    expect(seen(neighbours('10.0.0.7'), '10.0.0.5', ofBridge('xenbr0'))).toEqual([]);
    expect(seen(neighbours('10.0.0.7'), '10.0.0.5', ofBridge('other'))).toHaveLength(1);
    const macOnly = table('antispoof = "mac"');
    expect(seen(neighbours('10.0.0.7'), '10.0.0.5', macOnly)).toEqual(ok);
    expect(seen(learned(vrrp), '', macOnly)).toHaveLength(1);
    const despiteOff = parseConfig(
      `[antispoof]\nmode = "off"\n[[vif]]\nmac = "${mac}"\nantispoof = "addresses"`,
      'vifd.toml',
    );
    expect(seen(neighbours('10.0.0.7'), '10.0.0.5', despiteOff)).toHaveLength(1);
  });
});

test('sets of the configuration that are not there, or not fit, are named each', () => {
  const use = parseConfig(
    '[[vif]]\nsets = ["inet roles web", "inet roles hosts"]\n[[group]]\nname = "all"\nmembers = {}\ntalk = "all"\nsets = "inet roles all"',
    'vifd.toml',
  );
  const observed = (sets: Record<string, string>) => ({
    links: fit.links,
    namedSets: {
      get: (name: string) =>
        name in sets
          ? { reason: sets[name] ?? '' }
          : { type: 'ifname' as const, intervals: false, elements: [] },
      members: () => [],
    },
  });
  const about = (sets: Record<string, string>) =>
    found({ ...withVifs(vif(5)), observed: observed(sets) }, use).filter((one) => one.includes(' sets: '));
  expect(about({})).toEqual(['ok sets: inet roles web, inet roles hosts, inet roles all']);
  expect(about({ 'inet roles hosts': 'no such set', 'inet roles all': 'it is constant' })).toEqual([
    'warning sets: inet roles hosts: no such set',
    'warning sets: inet roles all: it is constant',
  ]);
});

test('XDP and tc at the ingress of vifs, and of nothing else, are named', () => {
  const port: Link = { ...bridge, index: 5, name: 'web0', parent: 'vif-5-0', kind: undefined, master: 2 };
  const device = { flags: ['UP'], mtu: 1500, addr_info: [] };
  const devices = [
    { ...device, ifindex: 3, ifname: 'enp0s0', xdp: { mode: 1 } },
    { ...device, ifindex: 5, ifname: 'web0', xdp: { mode: 1 } },
  ];
  const ingress = ['enp0s0', 'web0'].map((dev) => ({ dev, kind: 'clsact', hasFilters: true }));
  expect(found({ links: linkView([bridge, uplink, port]), devices, ingress })).toEqual([
    'warning ingress: an XDP program is on web0, before everything else: what it passes on, drops or redirects, anti-spoofing has no say in',
    'warning ingress: tc has filters at the ingress of web0 (clsact), before anti-spoofing: they may drop frames, or send them by it',
  ]);
});
