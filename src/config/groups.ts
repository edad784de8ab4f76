import { type Group, type GroupMembers, groupNumber } from '../model/group.js';
import { topologyNames } from '../model/topology-name.js';
import type { Place } from './error.js';
import { integerFrom, type Kind, oneOf, recordOf } from './kinds.js';
import { anyNetwork, bridgeName, macAddress } from './network-kinds.js';

const members = recordOf(
  {},
  {
    bridge: bridgeName,
    mac: macAddress,
    ip: anyNetwork,
    domid: integerFrom(0, 65_535),
    topology: oneOf(topologyNames),
  },
);

type Written = NonNullable<(typeof members)['written']>;

/** What the vifs of a group have: a table, all of which has to match, or a list of tables, one of which has to. */
export const groupMembers: Kind<readonly GroupMembers[], Written | readonly Written[]> = {
  expected: `${members.expected}, or a list of such tables`,
  read: (value, at) => {
    if (!Array.isArray(value)) return [members.read(value, at)];
    if (value.length === 0) at.refuse('is an empty list, which no vif matches; leave the group out');
    return value.map((one, index) => members.read(one, at.item(index)));
  },
};

/** The `[[group]]` tables as the program uses them. @throws ConfigError where two have one name, or names that count as one */
export function groupsOf(tables: readonly Partial<Group>[], at: Place): Group[] {
  const groups: Group[] = [];
  for (const [index, { name, members: matched, talk, ...settings }] of tables.entries()) {
    if (name === undefined || matched === undefined || talk === undefined) continue;
    const place = at.item(index).key('name');
    const same = groups.findIndex((group) => group.name === name);
    if (same >= 0) place.refuse(`is that of ${at.item(same).name} already; list the members of both in one`);
    const alike = groups.findIndex((group) => groupNumber(group.name) === groupNumber(name));
    if (alike >= 0)
      place.refuse(`gives the same number as the name of ${at.item(alike).name}; choose another`);
    groups.push({ name, members: matched, talk, ...settings });
  }
  return groups;
}
