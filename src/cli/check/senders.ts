import type { Config } from '../../config/config.js';
import { contains, formatNetwork, grantedBy, linkLocalOf, parseNetwork } from '../../model/address.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import type { Facts } from './facts.js';
import { type Finding, ok, warning } from './finding.js';

/**
 * Guests that are seen to use addresses which are not theirs by their keys: anti-spoofing stops these, so they are to be
 * found before vifd takes the vifs over from the stock scripts, which hold none. Only what this machine has spoken with, or
 * its bridges have forwarded, can be seen.
 */
export function aboutSenders(facts: Facts, config: Config | { readonly reason: string }): Finding[] {
  const { xenstore } = facts;
  if ('reason' in xenstore || 'reason' in config || config.antispoof.mode === 'off') return [];
  const held = xenstore.vifs.filter(({ ip, mac }) => ip.length > 0 && mac !== undefined);
  if (held.length === 0) return [];
  const found = held.flatMap((vif) => [...strangeMacs(vif, facts), ...strangeAddresses(vif, facts)]);
  return found.length > 0
    ? found
    : [ok('senders', 'no guest is seen to use an address that its filter stops')];
}

/** The MAC addresses that a bridge has learned behind a vif, but for its own. */
function strangeMacs({ id, mac }: VifSnapshot, { senders, links }: Facts): Finding[] {
  const link = links.ofVif(id);
  const macs = senders.forwarding
    .filter((entry) => entry.index === link?.index && entry.mac !== mac)
    .map((entry) => entry.mac);
  if (macs.length === 0) return [];
  return [
    warning(
      'senders',
      `${vifName(id)} sends from ${[...new Set(macs)].join(', ')}, and its filter stops all but its mac key, ${mac}`,
      'correct mac= in the guest\'s configuration; for a bridge or VRRP in the guest leave ip= empty, or set [antispoof] mode = "off"',
    ),
  ];
}

/** The addresses that a neighbour with the vif's MAC address has, but for those of its `ip` key. */
function strangeAddresses({ id, ip, mac = '' }: VifSnapshot, { senders }: Facts): Finding[] {
  const speaks6 = ip.some(({ family }) => family === 6);
  const own = [...ip.map(grantedBy), ...(speaks6 ? [linkLocalOf(mac)] : [])];
  const strange = senders.neighbours
    .filter((entry) => entry.mac === mac)
    .map((entry) => parseNetwork(entry.address))
    .filter((address) => address !== undefined)
    .filter((address) => !own.some((one) => contains(one, address)));
  return [...new Set(strange.map(formatNetwork))].map((address) => {
    const family = address.includes(':') ? 6 : 4;
    const lacks = !ip.some((one) => one.family === family);
    return warning(
      'senders',
      `${vifName(id)} uses ${address}, which its filter stops: its ip key has ${lacks ? `no IPv${family} address` : ip.map(formatNetwork).join(' ')}`,
      `add ${address} to ip= in the guest's configuration, unless the guest is not to have it`,
    );
  });
}
