import { contains, grantedBy, type Network, parseNetwork } from './address.js';

/**
 * Networks in which no host has an address, each with what it is instead (RFC 6890, RFC 4291). 240.0.0.0/4 is none of them: Linux routes it
 * like any unicast address (since 2.6.25), and some clouds give it to their guests. So it does 0.0.0.0/8 since 5.3, but nothing may be sent
 * there (RFC 1122, 3.2.1.3).
 */
const hostless = Object.entries({
  '0.0.0.0/8': 'unspecified',
  '127.0.0.0/8': 'loopback',
  '224.0.0.0/4': 'multicast',
  '255.255.255.255': 'broadcast',
  '::': 'unspecified',
  '::1': 'loopback',
  '::ffff:0:0/96': 'an IPv4 address in the form of IPv6',
  'ff00::/8': 'multicast',
}).map(([text, what]) => ({ network: parseNetwork(text), what }));

/**
 * Why an entry of an `ip` key, or an address of the configuration, is none that a host can have, and what to do, as words behind its text;
 * undefined for one that a host can have, and for a network that has such addresses among others.
 */
export function whyNoHost(entry: Network): string | undefined {
  const found = hostless.find(({ network }) => network !== undefined && contains(network, grantedBy(entry)));
  return (
    found && `is ${found.what}, and no host can have it as its own; leave it out, or give that of a host`
  );
}
