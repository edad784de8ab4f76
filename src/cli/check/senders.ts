import type { Config } from '../../config/config.js';
import { filterFor } from '../../decide/antispoof.js';
import { contains, formatNetwork, linkLocalOf, parseNetwork } from '../../model/address.js';
import type { FilterSpec } from '../../model/filter.js';
import type { LinkView } from '../../model/observed.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { stockTopology } from '../../model/topology-name.js';
import { vifName } from '../../model/vif-id.js';
import type { Facts } from './facts.js';
import { type Finding, ok, warning } from './finding.js';

/** A vif that is held, and what to. */
interface Held {
  readonly vif: VifSnapshot;
  readonly filter: FilterSpec;
}

/**
 * Guests that are seen to use addresses which are not theirs by their keys and the configuration: anti-spoofing stops these,
 * so they are to be found before vifd takes the vifs over from the stock scripts, which hold none. Only what this machine has
 * spoken with, or its bridges have forwarded, can be seen.
 */
export function aboutSenders(facts: Facts, config: Config | { readonly reason: string }): Finding[] {
  const { xenstore, links } = facts;
  if ('reason' in xenstore || 'reason' in config) return [];
  const held = xenstore.vifs.flatMap((vif) => heldTo(vif, config, links));
  if (held.length === 0) return [];
  const found = held.flatMap((one) => [...strangeMacs(one, facts), ...strangeAddresses(one, facts)]);
  return found.length > 0
    ? found
    : [ok('senders', 'no guest is seen to use an address that its filter stops')];
}

/** What a vif will be held to by its keys and the `[[vif]]` tables; nothing where it will not, or is refused. */
function heldTo(vif: VifSnapshot, config: Config, links: LinkView): Held[] {
  const script = vif.script ?? '';
  const topology =
    config.scripts.map.get(script.slice(script.lastIndexOf('/') + 1)) ?? stockTopology(vif.script);
  const isRouted = topology === 'route' || topology === 'nat';
  const filtered = filterFor(vif, config, {
    topology,
    bridge: isRouted ? null : bridgeOf(vif, links),
  });
  return 'problem' in filtered || filtered.filter === undefined || filtered.filter.hold === 'nothing'
    ? []
    : [{ vif, filter: filtered.filter }];
}

/** The name of the bridge that a vif is on, or else will be by its key. */
function bridgeOf({ id, bridge }: VifSnapshot, links: LinkView): string | null {
  const master = links.ofVif(id)?.master;
  const own = master === undefined ? undefined : links.byIndex(master);
  if (own?.kind === 'bridge') return own.name;
  if (bridge !== undefined) return bridge.replace(/[.:].*$/, '');
  const all = [...links.all()].filter(({ kind }) => kind === 'bridge');
  return all.sort((a, b) => a.index - b.index)[0]?.name ?? null;
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
function strangeAddresses({ vif: { id, ip, mac = '' }, filter }: Held, { senders }: Facts): Finding[] {
  if (filter.hold !== 'addresses') return [];
  const { networks, macs } = filter;
  const speaks6 = networks.some(({ family }) => family === 6);
  const own = [...networks, ...(speaks6 ? [linkLocalOf(mac)] : [])];
  const strange = senders.neighbours
    .filter((entry) => macs.includes(entry.mac))
    .map((entry) => parseNetwork(entry.address))
    .filter((address) => address !== undefined)
    .filter((address) => !own.some((one) => contains(one, address)));
  const allowed = networks.slice(ip.length).map(formatNetwork);
  return [...new Set(strange.map(formatNetwork))].map((address) => {
    const family = address.includes(':') ? 6 : 4;
    const lacks = !networks.some((one) => one.family === family);
    const has = lacks ? `no IPv${family} address` : ip.map(formatNetwork).join(' ') || 'no address';
    return warning(
      'senders',
      `${vifName(id)} uses ${address}, which its filter stops: its ip key has ${has}${allowed.length === 0 ? '' : `, and allow ${allowed.join(' ')}`}`,
      `add ${address} to ip= in the guest's configuration, or to allow of a [[vif]] table for mac = "${mac}", unless the guest is not to have it`,
    );
  });
}
