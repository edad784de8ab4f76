import { addressValue, formatAddress, linkLocalOf, type Network } from '../model/address.js';
import type { FilterSpec } from '../model/filter.js';
import type { Element, SetName } from '../model/nft.js';
import { type Range, ranges } from './ranges.js';

/** The elements that hold a netdev to a filter. */
export function filterElements(device: string, { mac, networks, ...spec }: FilterSpec): Element[] {
  const own4 = ranges(networks, 4);
  const spoken6 = ranges(networks, 6).length > 0;
  const own6 = spoken6 ? ranges([...networks, linkLocalOf(mac)], 6) : [];
  const of = (set: SetName, ...rest: string[]): Element => ({ set, key: [device, ...rest] });
  const only = (set: SetName, wanted: boolean | undefined): Element[] => (wanted ? [of(set)] : []);
  return [
    of('macs', mac),
    ...only('tagged', spec.tagged),
    ...only('speaks4', own4.length > 0),
    ...own4.map((range) => of(isOne(range) ? 'hosts4' : 'networks4', formatRange(range, 4))),
    ...only('speaks6', spoken6),
    ...own6.map((range) => of(isOne(range) ? 'hosts6' : 'networks6', formatRange(range, 6))),
    ...own6.map((range) => of(isOne(range) ? 'nd_hosts' : 'nd_networks', formatNumbers(range, 128))),
    ...(spoken6 ? [of('nd_macs', formatNumber(BigInt(`0x${mac.replaceAll(':', '')}`), 48))] : []),
    ...only('routed', spec.reverse),
    ...only('confined', spec.protectHost !== undefined),
    ...only('dhcp_clients', spec.protectHost?.dhcp),
    ...only('dns_clients', spec.protectHost?.dns),
  ];
}

/** The element that masquerades an address out of a device. */
export const masqueradeElement = ({ family, address }: Network, uplink: string): Element => ({
  set: `masqueraded${family}`,
  key: [formatAddress(family, addressValue({ family, address })), uplink],
});

/** An element that masquerades, of this release or an earlier one: the address and the device. */
export function masqueraded({ set, key }: Element): { address: string; uplink: string } | undefined {
  const [address, uplink] = key;
  return /^(masqueraded|guests)[46]$/.test(set) && address !== undefined && uplink !== undefined
    ? { address, uplink }
    : undefined;
}

const isOne = ({ first, last }: Range): boolean => first === last;

/** An address, a network by its prefix, or, where there is none, from and to. */
export function formatRange({ first, last }: Range, family: 4 | 6): string {
  const from = formatAddress(family, first);
  if (first === last) return from;
  const size = last - first + 1n;
  const bits = size.toString(2).length - 1;
  const isNetwork = 1n << BigInt(bits) === size && first % size === 0n;
  return isNetwork ? `${from}/${(family === 4 ? 32 : 128) - bits}` : `${from}-${formatAddress(family, last)}`;
}

/** A number, or from and to, in hex at full length as nft takes them. */
export const formatNumbers = (range: Range, bits: number): string =>
  isOne(range)
    ? formatNumber(range.first, bits)
    : `${formatNumber(range.first, bits)}-${formatNumber(range.last, bits)}`;

const formatNumber = (value: bigint, bits: number): string =>
  `0x${value.toString(16).padStart(bits / 4, '0')}`;
