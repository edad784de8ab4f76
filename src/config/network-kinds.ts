import { hostOf, type Network, networkOf, parseIpv4, parseIpv6, parseNetwork } from '../model/address.js';
import type { Service } from '../model/filter.js';
import { whyNoHost } from '../model/host-address.js';
import { ifaceIdParts, parseIfaceId } from '../model/iface-id.js';
import { leastBurst } from '../model/limits.js';
import type { Listen } from '../model/listen.js';
import { parseMac } from '../model/mac.js';
import { integerFrom, matching, plain, text } from './kinds.js';
import { linkGroupNamed } from './link-groups.js';

export const bridgeName = matching('a bridge name', /^[^\s/:]{1,15}$/);

export const deviceName = matching("a network device's name", /^[^\s/:"]{1,15}$/);

/** The group of a netdev, which the kernel keeps as 32 bits. */
export const linkGroup = plain<number, number | string>(
  'a number or a name of /etc/iproute2/group',
  (value) => {
    if (typeof value === 'string') return linkGroupNamed(value);
    return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0xffffffff
      ? (value as number)
      : undefined;
  },
);

/** A name in the configuration, for people. */
export const plainName = matching('a name of letters, digits, ".", "-" and "_"', /^[A-Za-z0-9][\w.-]{0,31}$/);

/** RFC 1123's, but that it begins with a letter and is no word of dnsmasq's, which reads other values in its place. */
export const hostName = matching(
  'a host name of letters, digits and "-" that begins with a letter',
  /^(?!(?:ignore|infinite)$)[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
);

export const domainName = matching(
  'a domain of letters, digits, "-" and "."',
  /^(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
);

/** A set of nf_tables, as nft names it; those of vifd's tables are its own. */
export const nftSet = text('a set as "inet filter web", by family, table and name', (value) => {
  const isName = /^(?:ip6?|inet|bridge|arp|netdev)(?: [A-Za-z][\w./\\-]{0,63}){2}$/.test(value);
  return isName && !/ vifd(?:-nat)? /.test(value) ? value : undefined;
});

export const macAddress = text('a MAC address', parseMac);

/** An address that is told to guests, of either family. */
export const toldAddress = text('an IPv4 or IPv6 address', (value) =>
  (parseIpv4(value) ?? parseIpv6(value)) === undefined ? undefined : value,
);

/** An address or a network in which hosts can have addresses: one of guests, or of this machine. */
const ofHosts = (expected: string, parse: (network: Network, value: string) => Network | undefined) => {
  const whyNot = (value: string): string | undefined => {
    const network = parseNetwork(value);
    const why = network && whyNoHost(networkOf(network));
    return why && `"${value}" ${why}`;
  };
  const read = (value: string): Network | undefined => {
    const network = parseNetwork(value);
    return network === undefined || whyNot(value) !== undefined ? undefined : parse(network, value);
  };
  return text<Network>(expected, read, whyNot);
};

export const ipv4Network = ofHosts('an IPv4 network from /8 to /24', (network) =>
  network.family === 4 &&
  network.prefix >= 8 &&
  network.prefix <= 24 &&
  networkOf(network).address === network.address
    ? network
    : undefined,
);

export const anyNetwork = ofHosts('an address or a network', networkOf);

/** What `iface-id` is made of. */
export const ifaceIdTemplate = text(
  `a text without blanks with one of ${ifaceIdParts.map((part) => `{${part}}`).join(', ')} in it`,
  parseIfaceId,
);

/** The socket of an Open vSwitch database, as `ovs-vsctl --db` takes it. */
export const unixSocket = matching('unix: and an absolute path', /^unix:\/./);

export const listenAddress = text<Listen>('address:port, [address]:port or unix:/path', (value) => {
  if (value.startsWith('unix:/')) return { path: value.slice('unix:'.length) };
  const match = /^(?:\[([0-9a-f:.]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(value);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port >= 1 && port <= 65535 ? { host, port } : undefined;
});

/** A rate in the words of tc(8), as bytes a second. */
export const bitRate = text('a rate like 100mbit, in kbit, mbit or gbit', (value) => {
  const [, digits, unit] = /^([1-9]\d{0,5})(kbit|mbit|gbit)$/.exec(value) ?? [];
  const scale = { kbit: 1e3, mbit: 1e6, gbit: 1e9 }[unit as 'kbit'];
  return scale === undefined ? undefined : (Number(digits) * scale) / 8;
});

export const packetRate = text('a rate like 20kpps or 100pps', (value) => {
  const [, digits, k] = /^([1-9]\d{0,5})(k?)pps$/.exec(value) ?? [];
  return digits === undefined ? undefined : Number(digits) * (k === 'k' ? 1000 : 1);
});

/** A size in the words of tc(8), as bytes. */
export const burstSize = text('a size like 256kb, in kb or mb, of 64kb at least', (value) => {
  const [, digits, unit] = /^([1-9]\d{0,5})(kb|mb)$/.exec(value) ?? [];
  const bytes = Number(digits) * (unit === 'mb' ? 1_048_576 : 1024);
  return bytes >= leastBurst && bytes <= 0xffffffff ? bytes : undefined;
});

/** One address, of a host. */
export const hostAddress = ofHosts('an address', (network, value) =>
  value.includes('/') ? undefined : hostOf(network),
);

export const portNumber = integerFrom(1, 65_535);

export const service = text<Service>('dhcp, dns, tcp/PORT or udp/PORT', (value) => {
  if (value === 'dhcp' || value === 'dns') return value;
  const [, protocol, digits] = /^(tcp|udp)\/([1-9]\d{0,4})$/.exec(value) ?? [];
  const port = Number(digits);
  if ((protocol !== 'tcp' && protocol !== 'udp') || port > 65_535) return undefined;
  return { protocol, port };
});
