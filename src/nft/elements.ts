import { canonical, formatAddress, linkLocalOf, type Network } from '../model/address.js';
import type { FilterSpec, HostServices, ServedPort } from '../model/filter.js';
import { type ForwardedPort, forwardElement } from '../model/forward.js';
import { isParted, numberOf, openNumber, type VifGroup } from '../model/group.js';
import type { DesiredForwards } from '../model/ip.js';
import type { Limits, Rate } from '../model/limits.js';
import type { Element, SetName } from '../model/nft.js';
import { type Range, ranges } from './ranges.js';

/** The elements of the sets that make the rules apply a filter to a netdev. */
export function filterElements(device: string, { hold, macs, networks, ...spec }: FilterSpec): Element[] {
  const [mac] = macs;
  const own4 = ranges(networks, 4);
  const spoken6 = ranges(networks, 6).length > 0;
  const own6 = spoken6 && mac !== undefined ? ranges([...networks, linkLocalOf(mac)], 6) : [];
  const of = (set: SetName, ...rest: string[]): Element => ({ set, key: [device, ...rest] });
  const only = (set: SetName, wanted: boolean | undefined): Element[] => (wanted ? [of(set)] : []);
  const each = (own: readonly Range[], host: SetName, network: SetName, format: (one: Range) => string) =>
    own.map((range) => of(isOne(range) ? host : network, format(range)));
  return [
    ...only('unheld', hold === 'nothing'),
    ...only('mac_only', hold === 'mac'),
    ...only('switches', spec.controlFrames),
    ...macs.map((one) => of('macs', one)),
    ...only('tagged', spec.tagged),
    ...only('speaks4', own4.length > 0),
    ...each(own4, 'hosts4', 'networks4', (range) => formatRange(range, 4)),
    ...each(own4, 'dhcp_hosts', 'dhcp_networks', (range) => formatNumbers(range, 32)),
    ...only('speaks6', spoken6),
    ...each(own6, 'hosts6', 'networks6', (range) => formatRange(range, 6)),
    ...each(own6, 'nd_hosts', 'nd_networks', (range) => formatNumbers(range, 128)),
    ...(networks.length === 0 ? [] : macs.map((one) => of('nd_macs', macNumber(one)))),
    ...limitElements(device, spec.limits ?? {}),
    ...(spec.group === undefined ? [] : groupElements(device, spec.group)),
    ...only('routed', spec.reverse),
    ...(spec.protectHost === undefined ? [] : hostElements(device, spec.protectHost)),
  ];
}

/** The elements that limit what passes a netdev. */
const limitElements = (device: string, { fromGuest, toGuest, packets, broadcast }: Limits): Element[] => {
  const of = (set: SetName, rate: Rate | undefined): Element[] =>
    rate === undefined ? [] : [{ set, key: [device, String(rate.perSecond), String(rate.burst)] }];
  return [
    ...of('limit_from', fromGuest),
    ...of('limit_packets', packets),
    ...of('limit_broadcast', broadcast),
    ...of('limit_to', toGuest),
  ];
};

/** The elements that part a netdev's guest from those of other groups. */
function groupElements(device: string, group: VifGroup): Element[] {
  const number = String(numberOf(group));
  const of = (set: SetName, ...rest: string[]): Element => ({ set, key: [device, ...rest] });
  const parted = isParted(group);
  const isMet = group.talk === 'group';
  const at: Record<VifGroup['by'][number], readonly Element[]> = {
    port: [
      of('ports'),
      of('port_drops'),
      ...(parted ? [of('parted'), of('port_groups', number)] : []),
      ...(isMet ? [of('port_members', number)] : []),
    ],
    router: [
      of('group_drops'),
      ...(parted ? [of('grouped'), of('guest_groups', number)] : []),
      ...(isMet ? [of('guest_members', number)] : []),
    ],
    // A vif without a group is told from the outside by the mark of its frames.
    switch: [
      of('group_marks', String(switchMark + Number(number))),
      ...(isMet || Number(number) === openNumber ? [of('marked_members', number)] : []),
    ],
  };
  return group.by.flatMap((where) => at[where]);
}

/** The upper half of the mark of frames that vifs in groups send to a switch, below which is the group's number. */
const switchMark = 0x76670000;

/**
 * The elements that close the driver domain's services to a vif. To a bridge's port they come by the bridge; `confined` is for
 * frames to a bridge's group address, which the kernel delivers at the port itself.
 */
const hostElements = (device: string, { by, dhcp, ports }: HostServices): Element[] => [
  { set: 'confined', key: [device] },
  ...(by === 'bridge' ? [{ set: 'closed', key: [device] } as const] : []),
  ...(dhcp ? [{ set: by === 'bridge' ? 'closed_dhcp' : 'dhcp_clients', key: [device] } as const] : []),
  ...ports.map(
    ({ protocol, port }): Element => ({
      set: by === 'bridge' ? 'closed_services' : 'services',
      key: [device, protocol, String(port)],
    }),
  ),
];

const macNumber = (mac: string): string => formatNumber(BigInt(`0x${mac.replaceAll(':', '')}`), 48);

/** The element that has packets from an address masqueraded when they leave by a device. */
export const masqueradeElement = (address: Network, uplink: string): Element => ({
  set: `masqueraded${address.family}`,
  key: [canonical(address), uplink],
});

/**
 * What a guest may ask of dnsmasq, all together. Each name that no server answers for slows the others for ten seconds: at 600 a second
 * its one thread is busy with nothing else (docs/develop/decisions/requests-to-dnsmasq.md).
 */
const requests: Rate = { perSecond: 100, burst: 500 };

const dhcpPort: ServedPort = { protocol: 'udp', port: 67 };

/** The elements that limit what the guest behind a netdev asks of dnsmasq. @param what of this machine that is */
export const servedElements = (device: string, { dhcp, ports }: HostServices): Element[] => [
  ...[...(dhcp ? [dhcpPort] : []), ...ports].map(
    ({ protocol, port }): Element => ({ set: 'served', key: [device, protocol, String(port)] }),
  ),
  { set: 'limit_requests', key: [device, String(requests.perSecond), String(requests.burst)] },
  { set: 'request_drops', key: [device] },
];

/** The elements that keep a netdev's packets from private networks. */
const withoutLan = (device: string, resolvers: readonly string[] = []): Element[] => [
  { set: 'no_lan', key: [device] },
  { set: 'lan_drops', key: [device] },
  ...[...new Set(resolvers)].map((address): Element => ({ set: 'resolvers', key: [device, address] })),
];

/** The elements that forward ports to a guest behind a netdev. */
export const portElements = (device: string, ports: readonly ForwardedPort[]): Element[] => [
  ...ports.map(forwardElement),
  ...[...new Map(ports.map(({ guest }) => [guest.address, guest])).values()].map((guest): Element => {
    const address = canonical(guest);
    return { set: `hairpins${guest.family}`, key: [address, address] };
  }),
  ...(ports.length === 0 ? [] : [{ set: 'reached', key: [device] } as const]),
];

/**
 * The elements that have a netdev's packets forwarded.
 * @param closed the families in which they go nowhere else, since the machine would not forward them without vifd
 */
export const forwardElements = (
  device: string,
  forwards: DesiredForwards,
  closed: readonly (4 | 6)[],
): Element[] => [
  { set: 'guests', key: [device] },
  ...forwards.out.map(
    (way): Element => ({ set: forwards.lan === false ? 'ways_beyond' : 'ways_out', key: [device, way] }),
  ),
  ...forwards.in.map((way): Element => ({ set: 'ways_in', key: [device, way] })),
  ...(forwards.tracked ? [] : [{ set: 'untracked', key: [device] } as const]),
  ...(forwards.hidden ? [{ set: 'behind_nat', key: [device] } as const] : []),
  ...(forwards.isolated
    ? (['isolated', 'unreached'] as const).map((set): Element => ({ set, key: [device] }))
    : []),
  ...(forwards.lan === false ? withoutLan(device, forwards.resolvers) : []),
  ...(forwards.bound ? [{ set: 'bound', key: [device] } as const] : []),
  ...closed.map((family): Element => ({ set: `opened${family}`, key: [device] })),
];

const isOne = ({ first, last }: Range): boolean => first === last;

/** A range as an address, a network with its prefix length, or, where it is neither, first and last address. */
export function formatRange({ first, last }: Range, family: 4 | 6): string {
  const from = formatAddress(family, first);
  if (first === last) return from;
  const size = last - first + 1n;
  const bits = size.toString(2).length - 1;
  const isNetwork = 1n << BigInt(bits) === size && first % size === 0n;
  return isNetwork ? `${from}/${(family === 4 ? 32 : 128) - bits}` : `${from}-${formatAddress(family, last)}`;
}

/** A range as one number or as first and last, in hex with all digits, as nft takes raw payload. */
export const formatNumbers = (range: Range, bits: number): string =>
  isOne(range)
    ? formatNumber(range.first, bits)
    : `${formatNumber(range.first, bits)}-${formatNumber(range.last, bits)}`;

const formatNumber = (value: bigint, bits: number): string =>
  `0x${value.toString(16).padStart(bits / 4, '0')}`;
