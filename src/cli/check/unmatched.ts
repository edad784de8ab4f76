import { matches } from '../../decide/vif-options.js';
import { formatNetwork, grantedBy } from '../../model/address.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { stockTopology } from '../../model/topology-name.js';
import type { VifOptions } from '../../model/vif-options.js';
import { type Finding, note, ok } from './finding.js';

/** The `[[vif]]` tables that match none of the vifs there are, which may be meant for one to come. */
export function aboutTables(
  vifs: readonly VifSnapshot[],
  { vifs: tables, scripts }: Pick<VifPolicy, 'vifs' | 'scripts'>,
): Finding[] {
  if (tables.length === 0) return [];
  const unmatched = tables.flatMap((table, at) =>
    vifs.some((vif) => mayMatch(table, vif, scripts.map)) ? [] : [`${at + 1} (${printed(table)})`],
  );
  if (unmatched.length === 0) return [ok('[[vif]]', 'each table matches a vif')];
  const message = `table ${unmatched.join(', ')} matches none of the ${vifs.length} vifs there are`;
  const remedy =
    'compare bridge, mac, ip, domid and topology with "vifd status", unless the guest is still to come';
  return [note('[[vif]]', message, remedy)];
}

/** Whether a table matches by the keys of xenstore alone; a network is not looked at where NAT plans the address. */
function mayMatch(
  table: VifOptions,
  { id, mac, ip, bridge, script }: VifSnapshot,
  map: VifPolicy['scripts']['map'],
): boolean {
  const name = script?.slice(script.lastIndexOf('/') + 1) ?? '';
  const topology = map.get(name) ?? stockTopology(script);
  if (topology === undefined) return false;
  const { ip: network, ...others } = table;
  const asked =
    topology === 'nat' && ip.length === 0 ? others : { ...others, ...(network && { ip: network }) };
  const isRouted = topology === 'route' || topology === 'nat';
  const bridges =
    isRouted || bridge === undefined
      ? []
      : [bridge, bridge.replace(/[.:].*$/, ''), bridge.replace(/^xenbr/, 'eth')];
  // An empty key is the first bridge, whichever that is.
  if (!isRouted && bridge === undefined && table.bridge !== undefined) bridges.push(table.bridge);
  return matches(asked, { domid: id.domid, mac, addresses: ip.map(grantedBy), topology, bridges });
}

const printed = ({ bridge, mac, ip, domid, topology }: VifOptions): string =>
  Object.entries({ bridge, mac, ip: ip && formatNetwork(ip), domid, topology })
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key} = ${JSON.stringify(value)}`]))
    .join(', ') || 'all vifs';
