import { expect, test } from 'vitest';
import type { Facts } from '../../../../src/cli/check/facts.js';
import { aboutOpenBridges } from '../../../../src/cli/check/open-bridges.js';
import type { IpLink } from '../../../../src/cli/check/way/facts.js';
import { parseConfig } from '../../../../src/config/config.js';
import { type Link, linkView } from '../../../../src/model/observed.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import { link } from '../../../fake/link.js';

const device = (ifname: string, addresses: readonly string[], more: Partial<IpLink> = {}): IpLink => ({
  ifindex: 1,
  ifname,
  flags: ['UP'],
  mtu: 1500,
  addr_info: addresses.map((local) => ({
    family: local.includes(':') ? 'inet6' : 'inet',
    local,
    prefixlen: local.includes(':') ? 64 : 24,
  })),
  ...more,
});
const vif = link(5, 'vif5.0', { parent: 'vif-5-0', master: 2 });
const bridges = [link(2, 'xenbr0', { kind: 'bridge' }), link(3, 'eth1', { master: 2 })];
const none = { domid: 7, vifs: [] };

const about = (links: Link[], devices: IpLink[], more: Partial<Facts> = {}) =>
  aboutOpenBridges(
    { xenstore: none, links: linkView(links), devices, ...more } as unknown as Facts,
    parseConfig('', 'vifd.toml'),
  );
const messages = (...of: Parameters<typeof about>) => about(...of).map(({ message }) => message);
const reach = 'every guest on it, held or not, reaches all services of this domain there';

test('a bridge with an address and a guest is open, also with fe80:: alone', () => {
  const devices = [device('xenbr0', ['10.0.0.254', 'fe80::1']), device('eth1', ['192.0.2.1'])];
  const [found, ...more] = about([...bridges, vif], devices);
  expect(more).toEqual([]);
  expect(found).toMatchObject({
    severity: 'note',
    message: `xenbr0 has 10.0.0.254/24 fe80::1/64: ${reach}`,
    remedy: expect.stringMatching(
      /flush dev xenbr0.*net\.ipv6\.conf\.xenbr0\.disable_ipv6=1.*add rule bridge host input iifname "vif\*" drop'/,
    ),
  });
  expect(messages([...bridges, vif], [device('xenbr0', ['fe80::1'])])).toEqual([
    `xenbr0 has fe80::1/64: ${reach}`,
  ]);
});

test('one without an address is not, nor one without guests, there or to come', () => {
  expect(messages([...bridges, vif], [device('xenbr0', [])])).toEqual([]);
  expect(messages(bridges, [device('xenbr0', ['10.0.0.254'])])).toEqual([]);
  const keys = { online: '1', script: '/etc/xen/scripts/vif-bridge', bridge: 'xenbr0' };
  const coming = snapshot({ domid: 6, devid: 0 }, new Map(Object.entries(keys)));
  const xenstore = { domid: 7, vifs: [coming] };
  expect(messages(bridges, [device('xenbr0', ['10.0.0.254'])], { xenstore })).toEqual([
    `xenbr0 has 10.0.0.254/24: ${reach}`,
  ]);
});

test('a VLAN on the bridge counts; the rules name the vifs that dom0 has named otherwise', () => {
  const named = { ...vif, name: 'web0' };
  const devices = [device('xenbr0', ['fe80::1']), device('xenbr0.10', ['10.0.10.1'], { link: 'xenbr0' })];
  const [, found] = about([...bridges, named], devices);
  expect(found?.message).toBe(`xenbr0.10, on xenbr0, has 10.0.10.1/24: ${reach}`);
  expect(found?.remedy).toContain('net.ipv6.conf.xenbr0/10.disable_ipv6=1');
  expect(found?.remedy).toContain('iifname "vif*" drop; add rule bridge host input iifname "web0" drop');
});

test("Open vSwitch's internal ports with an address are open, of the bridges that have guests", () => {
  const internal = { linkinfo: { info_kind: 'openvswitch' } };
  const devices = [
    device('ovsbr0', ['10.1.0.1'], internal),
    device('mgmt0', ['10.2.0.1'], internal),
    device('eth2', ['10.3.0.1']),
    device('ovsbr1', ['10.4.0.1'], internal),
  ];
  const switches = [
    { bridge: 'ovsbr0', ports: ['ovsbr0', 'mgmt0', 'eth2', 'vif5.0'] },
    { bridge: 'ovsbr1', ports: ['ovsbr1'] },
  ];
  const found = about([{ ...vif, master: 9 }], devices, { switches });
  expect(found.map(({ message }) => message)).toEqual([
    `ovsbr0 has 10.1.0.1/24: ${reach}`,
    `mgmt0, on ovsbr0, has 10.2.0.1/24: ${reach}`,
  ]);
  expect(found[1]?.remedy).toContain('iifname "mgmt0" ct state new drop');
});

test('a bridge that protect_host closes is not', () => {
  const facts = {
    xenstore: none,
    links: linkView([...bridges, vif]),
    devices: [device('xenbr0', ['fe80::1'])],
  };
  const closed = parseConfig('[bridge]\nprotect_host = true', 'vifd.toml');
  expect(aboutOpenBridges(facts as unknown as Facts, closed)).toEqual([]);
  const other = parseConfig('[openvswitch]\nprotect_host = true', 'vifd.toml');
  expect(aboutOpenBridges(facts as unknown as Facts, other).map(({ remedy }) => remedy)).toEqual([
    expect.stringContaining('Else set protect_host = true in [bridge] of vifd.toml, or drop at input'),
  ]);
});
