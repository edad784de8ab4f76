import { expect, it } from 'vitest';
import type { FilterSpec } from '../../../src/model/filter.js';
import { elementId } from '../../../src/model/nft.js';
import { filterElements } from '../../../src/nft/elements.js';
import { filterSpec } from '../../fake/filter.js';

const elements = (text: string, more: Partial<FilterSpec> = {}): string[] =>
  filterElements('vif5.0', filterSpec(text, more)).map(elementId);

it('says a filter in elements, addresses as such and networks as such', () => {
  expect(elements('10.0.0.5 10.0.1.7/24')).toEqual([
    'macs vif5.0 . 00:16:3e:00:05:00',
    'speaks4 vif5.0',
    'hosts4 vif5.0 . 10.0.0.5',
    'networks4 vif5.0 . 10.0.1.0/24',
    'dhcp_hosts vif5.0 . 0x0a000005',
    'dhcp_networks vif5.0 . 0x0a000100-0x0a0001ff',
    'nd_macs vif5.0 . 0x00163e000500',
  ]);
  expect(elements('2001:db8::1 2001:db8:1::/64')).toEqual([
    'macs vif5.0 . 00:16:3e:00:05:00',
    'speaks6 vif5.0',
    'hosts6 vif5.0 . 2001:db8::1',
    'networks6 vif5.0 . 2001:db8:1::/64',
    'hosts6 vif5.0 . fe80::216:3eff:fe00:500',
    'nd_hosts vif5.0 . 0x20010db8000000000000000000000001',
    'nd_networks vif5.0 . 0x20010db8000100000000000000000000-0x20010db800010000ffffffffffffffff',
    'nd_hosts vif5.0 . 0xfe8000000000000002163efffe000500',
    'nd_macs vif5.0 . 0x00163e000500',
  ]);
  const protectHost = { by: 'vif' as const, dhcp: true, ports: [{ protocol: 'tcp' as const, port: 53 }] };
  expect(elements('10.0.0.5', { tagged: true, reverse: true, protectHost })).toEqual([
    'macs vif5.0 . 00:16:3e:00:05:00',
    'tagged vif5.0',
    'speaks4 vif5.0',
    'hosts4 vif5.0 . 10.0.0.5',
    'dhcp_hosts vif5.0 . 0x0a000005',
    'nd_macs vif5.0 . 0x00163e000500',
    'routed vif5.0',
    'confined vif5.0',
    'dhcp_clients vif5.0',
    'services vif5.0 . tcp . 53',
  ]);
});
