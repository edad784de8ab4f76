import { expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/config.js';
import { nat } from '../../../../src/decide/topology/nat.js';
import { formatNetwork } from '../../../../src/model/address.js';
import { noIp } from '../../../../src/model/ip.js';
import type { Element, NftView } from '../../../../src/model/nft.js';
import { type Link, linkView } from '../../../../src/model/observed.js';
import { snapshot } from '../../../../src/model/snapshot.js';
import { Machine } from '../../../fake/machine.js';

function attach(domid: number, devid: number, { ip = '', config = '' } = {}) {
  const keys = new Map([
    ['script', 'vif-nat'],
    ['mac', '00:16:3e:00:00:05'],
    ['ip', ip],
  ]);
  const attachment = nat.attach(
    snapshot({ domid, devid }, keys),
    parseConfig(config, 'vifd.toml'),
    {
      links: linkView([]),
      // A kernel with IPv6, in which nothing is set.
      ip: { ...noIp, sysctl: () => '0' },
    },
    undefined,
  );
  if ('problem' in attachment) return attachment.problem.message;
  const { link, ip: more } = attachment.desired;
  return {
    guests: more?.routes.map(({ to }) => formatNetwork(to)),
    routers: link.addresses.map(formatNetwork),
  };
}

test.each([
  [5, 0, '10.0.5.1', '10.0.5.128'],
  [300, 2, '10.1.44.3', '10.1.44.130'],
  [32751, 126, '10.127.239.127', '10.127.239.254'],
])('the plan gives domain %i, device %i the address %s behind %s', (domid, devid, guest, router) => {
  expect(attach(domid, devid)).toEqual({ guests: [guest], routers: [router] });
});

test('a network of our own is filled in the same way, and wraps', () => {
  const config = '[nat]\nnetwork = "192.168.0.0/16"\n';
  expect(attach(261, 0, { config })).toEqual({ guests: ['192.168.5.1'], routers: ['192.168.5.128'] });
});

test.each([
  ['10.7.0.9/24', '10.7.0.136'],
  ['10.7.0.9', '10.7.0.136'],
  ['10.7.0.127/16', '10.7.0.254'],
  ['10.7.0.128/16', '10.7.0.1'],
  ['10.7.0.254/24', '10.7.0.127'],
  ['10.7.0.70/26', '10.7.0.65'],
  ['10.7.0.65/26', '10.7.0.66'],
  ['10.7.0.5/31', '10.7.0.4'],
  ['10.7.0.4/31', '10.7.0.5'],
])('the router of %s is %s', (ip, router) => {
  expect(attach(5, 0, { ip })).toEqual({ guests: [ip.split('/')[0]], routers: [router] });
});

test('with an IPv6 address alone it has no IPv4 of the plan, and is behind fe80::1', () => {
  expect(attach(5, 0, { ip: 'fd00::9' })).toEqual({
    guests: ['fd00::9'],
    routers: ['fe80::1/64'],
  });
});

test.each([
  [5, 127, '', 'choose the address of vif5.127 10.0.0.0/8: there is none for device 127; give it by ip'],
  [
    5,
    0,
    '10.7.0.0/24',
    'choose the address of vif5.0 10.7.0.0/24: it is a network; give the address of the guest in it',
  ],
])('domain %i, device %i, ip "%s" is refused', (domid, devid, ip, message) => {
  expect(attach(domid, devid, { ip })).toBe(message);
});

test('an address is kept by the first vif while its link is down and nothing leads out', () => {
  const link = (index: number, name: string) =>
    ({ index, name, addresses: [], up: false }) as unknown as Link;
  const machine = new Machine({
    links: [link(1, 'vif4.0'), link(2, 'vif5.0')],
    openvswitch: undefined,
    ip: {},
    scripts: new Map(),
  });
  const { nft } = machine.observe();
  const owner = ({ set, key }: Element) =>
    set === 'hosts4' && key.join() === 'vif4.0,10.0.9.5' ? 'vif4.0' : undefined;
  const keys = new Map([
    ['script', 'vif-nat'],
    ['mac', '00:16:3e:00:00:05'],
    ['ip', '10.0.9.5'],
  ]);
  const attachment = nat.attach(
    snapshot({ domid: 5, devid: 0 }, keys),
    parseConfig('', 'vifd.toml'),
    { ...machine.observe(), nft: { ...(nft as NftView), owner } },
    undefined,
  );
  expect('problem' in attachment && attachment.problem.message).toBe(
    'give vif5.0 the address 10.0.9.5: vif4.0 has it',
  );
});
