import { type Matched, matchedBy, matches } from '../../decide/vif-options.js';
import { formatNetwork, grantedBy } from '../../model/address.js';
import type { GroupMembers } from '../../model/group.js';
import type { VifPolicy } from '../../model/policy.js';
import { traitsOf } from '../../model/topology-name.js';
import type { Decided } from './decided.js';
import { type Finding, note, ok } from './finding.js';

/** The `[[vif]]` tables that match none of the vifs there are, which may be meant for one to come. */
export function aboutTables(
  decided: readonly Decided[],
  { vifs: tables }: Pick<VifPolicy, 'vifs'>,
): Finding[] {
  if (tables.length === 0) return [];
  const unmatched = tables.flatMap((table, at) =>
    decided.some((one) => mayMatch(table, one)) ? [] : [`${at + 1} (${printed(table)})`],
  );
  if (unmatched.length === 0) return [ok('[[vif]]', 'each table matches a vif')];
  const message = `table ${unmatched.join(', ')} matches none of the ${decided.length} vifs there are`;
  const remedy =
    'compare bridge, mac, ip, domid and topology with "vifd status", unless the guest is still to come';
  return [note('[[vif]]', message, remedy)];
}

/** The `[[group]]` tables in which none of the vifs there are is. */
export function aboutGroups(decided: readonly Decided[], { groups }: Pick<VifPolicy, 'groups'>): Finding[] {
  if (groups.length === 0) return [];
  const empty = groups.filter(
    ({ members }) => !decided.some((one) => members.some((table) => mayMatch(table, one))),
  );
  if (empty.length === 0) return [ok('[[group]]', 'each group has a vif')];
  const names = empty.map(({ name }) => name).join(', ');
  const remedy = 'compare members with "vifd status", unless the guest is still to come';
  return [note('[[group]]', `none of the ${decided.length} vifs there are is in ${names}`, remedy)];
}

/** Whether a table matches a vif; one that is refused by its keys alone, without a network where NAT would plan the address. */
function mayMatch(table: GroupMembers, { vif, topology, desired, bridge }: Decided): boolean {
  if (topology === undefined) return false;
  if (desired !== undefined && topology !== 'script')
    return matches(table, matchedBy(desired, vif, topology));
  const { ip: network, ...others } = table;
  const isPlanned = traitsOf(topology)?.isNat && vif.ip.length === 0;
  const named = topology === 'script' ? vif.bridge : bridge;
  const of: Matched = {
    domid: vif.id.domid,
    mac: vif.mac,
    addresses: vif.ip.map(grantedBy),
    topology: topology === 'script' ? undefined : topology,
    bridges: named === undefined ? [] : [named],
  };
  return matches(isPlanned || network === undefined ? others : { ...others, ip: network }, of);
}

const printed = ({ bridge, mac, ip, domid, topology }: GroupMembers): string =>
  Object.entries({ bridge, mac, ip: ip && formatNetwork(ip), domid, topology })
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key} = ${JSON.stringify(value)}`]))
    .join(', ') || 'all vifs';
