import { contains, formatNetwork, grantedBy, linkLocalOf, parseNetwork } from '../../model/address.js';
import type { FilterSpec } from '../../model/filter.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import type { Decided } from './decided.js';
import type { Facts } from './facts.js';
import { type Finding, ok, warning } from './finding.js';

/** A vif that is held, and what to. */
interface Held {
  readonly vif: VifSnapshot;
  readonly filter: FilterSpec;
  /** The addresses that are routed to it, chosen for it where its keys have none. */
  readonly routed: readonly string[];
}

/**
 * Guests that are seen to use addresses which are not theirs by their keys and the configuration: anti-spoofing stops these,
 * so they are to be found before vifd takes the vifs over from the stock scripts, which hold none. Only what this machine has
 * spoken with, or its bridges have forwarded, can be seen.
 */
export function aboutSenders(decided: readonly Decided[], facts: Facts): Finding[] {
  const held = decided.flatMap(({ vif, filter, desired }): Held[] =>
    filter !== undefined && filter.hold !== 'nothing'
      ? [{ vif, filter, routed: desired?.ip?.routes.map(({ to }) => formatNetwork(to)) ?? [] }]
      : [],
  );
  if (held.length === 0) return [];
  const found = held.flatMap((one) => [...strangeMacs(one, facts), ...strangeAddresses(one, facts)]);
  return found.length > 0
    ? found
    : [ok('senders', 'no guest is seen to use an address that its filter stops')];
}

/** The MAC addresses that a bridge has learned behind a vif, but for its own. */
function strangeMacs({ vif: { id, mac }, filter }: Held, { senders, links }: Facts): Finding[] {
  const link = links.ofVif(id);
  const macs = senders.forwarding
    .filter((entry) => entry.index === link?.index && !filter.macs.includes(entry.mac))
    .map((entry) => entry.mac);
  if (macs.length === 0) return [];
  const strange = [...new Set(macs)].join(', ');
  const more = filter.macs.filter((one) => one !== mac);
  const allowed = more.length === 0 ? '' : `, and allow_macs, ${more.join(', ')}`;
  return [
    warning(
      'senders',
      `${vifName(id)} sends from ${strange}, and its filter stops all but its mac key, ${mac}${allowed}`,
      `correct mac= in the guest's configuration; for a bridge or VRRP in the guest name it in allow_macs of a [[vif]] table for mac = "${mac}", or set antispoof = "off" there`,
    ),
  ];
}

/** The addresses that a neighbour with one of the vif's MAC addresses has, but for those that it may speak from. */
function strangeAddresses(
  { vif: { id, ip, mac = '' }, filter, routed }: Held,
  { senders }: Facts,
): Finding[] {
  if (filter.hold !== 'addresses') return [];
  const { networks, macs } = filter;
  const speaks6 = networks.some(({ family }) => family === 6);
  const own = [...networks, ...(speaks6 ? [linkLocalOf(mac)] : [])];
  const strange = senders.neighbours
    .filter((entry) => macs.includes(entry.mac))
    .map((entry) => parseNetwork(entry.address))
    .filter((address) => address !== undefined)
    .filter((address) => !own.some((one) => contains(one, address)));
  const keys = ip.map(grantedBy).map(formatNetwork);
  const chosen = routed.filter((one) => !keys.includes(one));
  const allowed = networks.map(formatNetwork).filter((one) => !keys.includes(one) && !chosen.includes(one));
  return [...new Set(strange.map(formatNetwork))].map((address) => {
    const family = address.includes(':') ? 6 : 4;
    const lacks = !networks.some((one) => one.family === family);
    const has = lacks ? `no IPv${family} address` : ip.map(formatNetwork).join(' ') || 'no address';
    return warning(
      'senders',
      `${vifName(id)} uses ${address}, which its filter stops: its ip key has ${has}${chosen.length === 0 ? '' : `, it was given ${chosen.join(' ')}`}${allowed.length === 0 ? '' : `, and allow ${allowed.join(' ')}`}`,
      `add ${address} to ip= in the guest's configuration, or to allow of a [[vif]] table for mac = "${mac}", unless the guest is not to have it`,
    );
  });
}
