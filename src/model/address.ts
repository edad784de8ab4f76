/** An IPv4 or IPv6 address with a prefix length; a host has 32 or 128. `address` is in canonical form. */
export interface Network {
  readonly family: 4 | 6;
  readonly address: string;
  readonly prefix: number;
}

/** `10.0.0.1`, `10.0.0.0/24`, `2001:db8::1/64`; undefined when malformed. Host bits are kept. */
export function parseNetwork(text: string): Network | undefined {
  const [address = '', prefixText, ...rest] = text.split('/');
  if (rest.length > 0) return undefined;
  const parsed = address.includes(':') ? parseIpv6(address) : parseIpv4(address);
  if (parsed === undefined) return undefined;
  const family = address.includes(':') ? 6 : 4;
  const longest = family === 6 ? 128 : 32;
  if (prefixText !== undefined && !/^\d{1,3}$/.test(prefixText)) return undefined;
  const prefix = prefixText === undefined ? longest : Number(prefixText);
  if (prefix > longest) return undefined;
  return { family, address: family === 6 ? formatIpv6(parsed) : formatIpv4(parsed), prefix };
}

/** `address/prefix`, or the address alone for a host. */
export function formatNetwork({ family, address, prefix }: Network): string {
  return prefix === (family === 6 ? 128 : 32) ? address : `${address}/${prefix}`;
}

/** The network an address lies in: the host bits cleared. */
export function networkOf({ family, address, prefix }: Network): Network {
  const bits = family === 6 ? 128 : 32;
  const value = addressValue({ family, address }) & (((1n << BigInt(bits)) - 1n) << BigInt(bits - prefix));
  return { family, address: formatAddress(family, value), prefix };
}

/**
 * Whether an entry of an `ip` key is a network, and not one address with the prefix length of the network that it is in: its
 * host bits are clear. A network of two has no address of its own (RFC 3021 and 6164), so that both are hosts.
 */
export const isWholeNetwork = (entry: Network): boolean =>
  entry.prefix < (entry.family === 4 ? 31 : 127) && networkOf(entry).address === entry.address;

/** What a guest has by an entry of its `ip` key: the network, or the one address. */
export const grantedBy = (entry: Network): Network => (isWholeNetwork(entry) ? entry : hostOf(entry));

/** Whether one network lies in another, or is the same. */
export const contains = (outer: Network, inner: Network): boolean =>
  outer.family === inner.family &&
  outer.prefix <= inner.prefix &&
  networkOf({ ...inner, prefix: outer.prefix }).address === networkOf(outer).address;

/** The address alone, as a network of one host. */
export const hostOf = ({ family, address }: Pick<Network, 'family' | 'address'>): Network => ({
  family,
  address,
  prefix: family === 6 ? 128 : 32,
});

export const isHost = ({ family, prefix }: Network): boolean => prefix === (family === 6 ? 128 : 32);

/** An address as a number; 0 when its text is none. */
export const addressValue = ({ family, address }: Pick<Network, 'family' | 'address'>): bigint =>
  (family === 6 ? parseIpv6(address) : parseIpv4(address)) ?? 0n;

export const formatAddress = (family: 4 | 6, value: bigint): string =>
  family === 6 ? formatIpv6(value) : formatIpv4(value & 0xffffffffn);

/** The address in canonical form, as nf_tables gives it back. */
export const canonical = ({ family, address }: Pick<Network, 'family' | 'address'>): string =>
  formatAddress(family, addressValue({ family, address }));

/** Those addresses of a list that are of one family. */
export const ofFamily = (addresses: readonly string[], family: 4 | 6): string[] =>
  addresses.filter((address) => (family === 4 ? parseIpv4(address) : parseIpv6(address)) !== undefined);

/** An IPv4 address as a number of 32 bits. */
export function parseIpv4(text: string): bigint | undefined {
  const octets = text.split('.');
  if (octets.length !== 4) return undefined;
  let value = 0n;
  for (const octet of octets) {
    // No leading zeros: some readers take them as octal, and then two programs see two addresses.
    if (!/^(0|[1-9]\d{0,2})$/.test(octet) || Number(octet) > 255) return undefined;
    value = (value << 8n) | BigInt(octet);
  }
  return value;
}

export function formatIpv4(value: bigint): string {
  return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join('.');
}

/** An IPv6 address as a number of 128 bits; takes `::` and a dotted IPv4 tail (RFC 4291, 2.2). */
export function parseIpv6(text: string): bigint | undefined {
  const tail = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const v4 = tail ? parseIpv4(tail[2] as string) : undefined;
  if (tail && v4 === undefined) return undefined;
  const hex =
    tail && v4 !== undefined ? `${tail[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}` : text;

  const halves = hex.split('::');
  if (halves.length > 2) return undefined;
  const [head = [], rest = []] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array<string>(missing).fill('0'), ...rest]) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}

/** RFC 5952: lower case, the longest run of two or more zero groups as `::`, the first of equals. */
export function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: 8 }, (_, i) => (value >> BigInt(112 - 16 * i)) & 0xffffn);
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0n) length++;
    if (length > best.length) best = { start, length };
  }
  const hex = (part: bigint[]): string => part.map((group) => group.toString(16)).join(':');
  return best.start < 0
    ? hex(groups)
    : `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

/** The link-local address an interface makes of its MAC (RFC 4291, appendix A). */
export function linkLocalOf(mac: string): Network {
  const o = mac.split(':').map((octet) => Number.parseInt(octet, 16));
  const hex = [(o[0] ?? 0) ^ 2, o[1], o[2], 0xff, 0xfe, o[3], o[4], o[5]].map((octet) =>
    (octet ?? 0).toString(16).padStart(2, '0'),
  );
  const groups = [0, 2, 4, 6].map((i) => `${hex[i]}${hex[i + 1]}`);
  return { family: 6, address: `fe80::${groups.join(':')}`, prefix: 128 };
}
