import { expect, test } from 'vitest';
import { decidedVifs } from '../../../../src/cli/check/decided.js';
import type { Facts } from '../../../../src/cli/check/facts.js';
import { findings } from '../../../../src/cli/check/findings.js';
import { parseConfig } from '../../../../src/config/config.js';
import { linkView } from '../../../../src/model/observed.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import { link } from '../../../fake/link.js';

// The checks go by what is decided about a vif, and not by the name of its script or its bridge.

const mac = '00:16:3e:00:05:00';
const mapped = '[scripts.map]\n"vif-lan" = "openvswitch"\n"vif-inner" = "nat"\n"vif-plain" = "bridge"\n';
const links = [link(2, 'eth0', { kind: 'bridge' }), link(3, 'enp1s0', { master: 2 })];

const facts = (...vifs: Record<string, string>[]): Facts => ({
  xenstore: {
    domid: 7,
    vifs: vifs.map((keys, at) =>
      snapshot({ domid: 5 + at, devid: 0 }, new Map(Object.entries({ online: '1', mac, ...keys }))),
    ),
  },
  links: linkView(links),
  senders: { neighbours: [], forwarding: [] },
  vifsWithState: [],
  netback: true,
  vifd: true,
  nft: undefined,
  forwarding: { off: new Set(), uplink: 'eth0' },
  processes: [],
  files: { udev: [], networkd: [], networkManager: [] },
  networkdRuns: false,
  networkManagerRuns: false,
  sysctls: {},
  programs: { dnsmasq: false },
  openvswitch: false,
  stalled: [],
});
const script = (name: string) => ({ script: `/etc/xen/scripts/${name}` });

/** The findings but for those that are well, as `check: message`. */
const wrong = (of: Facts, config = mapped): string[] =>
  findings(of, parseConfig(config, 'x'))
    .filter(({ severity }) => severity !== 'ok')
    .map(({ check, message }) => `${check}: ${message}`);

test('a script that is mapped to a topology is checked as that', () => {
  expect(wrong(facts({ ...script('vif-lan'), bridge: 'ovsbr0' }, script('vif-inner')))).toEqual([
    'dnsmasq: not installed, so vif6.0 cannot get addresses by DHCP',
    'openvswitch: vif5.0 waits for Open vSwitch, whose database does not answer',
  ]);
  const off = facts({ ...script('vif-inner'), 'hotplug-status': 'connected' });
  expect(wrong({ ...off, forwarding: { off: new Set(['eth0']), uplink: 'eth0' } })).toContain(
    'forwarding: off for eth0, though vif5.0 are routed',
  );
  // And a stock script that is mapped is not checked as the stock script is.
  const other = '[scripts.map]\n"vif-openvswitch" = "bridge"\n';
  expect(wrong(facts({ ...script('vif-openvswitch'), bridge: 'eth0' }), other)).toEqual([]);
});

test('a bridge is waited for where the daemon waits for it', () => {
  const on = (bridge: string, name = 'vif-plain') => wrong(facts({ ...script(name), bridge }));
  // xenbr0 stands for eth0 where that is a bridge.
  expect(on('xenbr0')).toEqual([]);
  expect(on('xenbr1')).toEqual(['bridges: vif5.0 waits for bridge xenbr1']);
  expect(on('xenbr1', 'vif-bridge')).toEqual(['bridges: vif5.0 waits for bridge xenbr1']);
  expect(on('enp1s0')).toEqual([
    'bridges: attach vif5.0 to bridge enp1s0: enp1s0 is not a bridge; the bridges here are eth0',
  ]);
});

test('a vif whose netdev has not come is known by what it is going to be', () => {
  const [vif] = decidedVifs(facts({ ...script('vif-plain'), bridge: 'xenbr0' }), parseConfig(mapped, 'x'));
  expect(vif).toMatchObject({ topology: 'bridge', bridge: 'eth0', filter: { hold: 'nothing' } });
});

test('tables of [[vif]] are matched by the bridge that is decided on, and for own scripts too', () => {
  const tables = (on: string) => `${mapped}[[vif]]\nbridge = "${on}"\nantispoof = "off"\n`;
  const about = (of: Facts, config: string) => wrong(of, config).filter((one) => one.startsWith('[[vif]]'));
  const plain = facts({ ...script('vif-plain'), bridge: 'xenbr0' });
  expect(about(plain, tables('eth0'))).toEqual([]);
  expect(about(plain, tables('xenbr0'))).toEqual([
    '[[vif]]: table 1 (bridge = "xenbr0") matches none of the 1 vifs there are',
  ]);
  const own = facts({ ...script('vif-own'), bridge: 'lan0' });
  const allowed = '[scripts]\ndirectories = ["/etc/xen/scripts"]\n';
  expect(about(own, `${allowed}[[vif]]\nbridge = "lan0"\nantispoof = "off"\n`)).toEqual([]);
});

test('a guest behind NAT may speak from the address that is planned for it', () => {
  const seen = (address: string) =>
    wrong({
      ...facts(script('vif-inner')),
      senders: { neighbours: [{ index: 5, address, mac }], forwarding: [] },
    }).filter((one) => one.startsWith('senders'));
  const [vif] = decidedVifs(facts(script('vif-inner')), parseConfig(mapped, 'x'));
  const planned = vif?.desired?.ip?.routes[0]?.to.address ?? '';
  expect(seen(planned)).toEqual([]);
  expect(seen('10.0.9.9')).toEqual([
    `senders: vif5.0 uses 10.0.9.9, which its filter stops: its ip key has no address, it was given ${planned}`,
  ]);
});
