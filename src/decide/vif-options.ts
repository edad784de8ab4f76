import { contains, grantedBy, type Network } from '../model/address.js';
import { newPortFlagNames, newPortFlags } from '../model/bridge-port.js';
import { bridgeOf, type DesiredState } from '../model/desired.js';
import type { GroupMembers } from '../model/group.js';
import type { DesiredForwards } from '../model/ip.js';
import type { Offload } from '../model/observed.js';
import { type OperationError, problem } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import type { TopologyName } from '../model/topology-name.js';
import { vifName } from '../model/vif-id.js';
import type { VifOptions } from '../model/vif-options.js';

/** A vif as `[[vif]]` tables match it. */
export interface Matched {
  readonly domid: number;
  readonly mac: string | undefined;
  /** Its addresses, those that the topology has chosen included. */
  readonly addresses: readonly Network[];
  /** Undefined for an operator's own script. */
  readonly topology: TopologyName | undefined;
  /** The names of the bridge that it is on: none, one, or for a "fake" bridge of Open vSwitch that and its parent's. */
  readonly bridges: readonly string[];
}

/** What the tables make of a vif, and what of them it cannot have and works without. */
type WithOptions =
  | { readonly desired: Omit<DesiredState, 'name'>; readonly unused: readonly OperationError[] }
  | { readonly problem: OperationError };

/**
 * A vif with the settings of every `[[vif]]` table that matches it; of two tables the later one wins, key by key. A setting
 * means the same on every topology. Where it keeps guests apart and the topology has no such setting, the vif is refused.
 */
export function withOptions(
  desired: Omit<DesiredState, 'name'>,
  snapshot: VifSnapshot,
  tables: readonly VifOptions[],
  topology: TopologyName,
): WithOptions {
  const matching = matchingTables(tables, matchedBy(desired, snapshot, topology));
  if (matching.length === 0) return { desired, unused: [] };
  const options: VifOptions = Object.assign({}, ...matching);
  const { isolated, lan, multicastFlood, broadcastFlood, txqueuelen, group } = options;
  const offload: Offload = Object.assign({}, ...matching.map((table) => table.offload ?? {}));
  const { port } = desired.link;
  const flags = {
    ...(isolated === undefined ? {} : { isolated }),
    ...(multicastFlood === undefined ? {} : { multicastFlood }),
    ...(broadcastFlood === undefined ? {} : { broadcastFlood }),
    ...Object.fromEntries(
      newPortFlagNames.filter((name) => options[name] !== undefined).map((name) => [name, options[name]]),
    ),
  };
  const isRouted = desired.ip?.forwards !== undefined;
  if (isolated === true && port === undefined && desired.ovsPort === undefined && !isRouted) {
    const reason = `the guests of vif-${topology} are not kept from each other; leave them out of the table, by topology or bridge`;
    return { problem: notHad('option-unusable', snapshot, 'isolated', reason) };
  }
  if (lan === false && !isRouted) {
    const reason = `vif-${topology} gives frames to a switch, and does not know the router and resolver that the guest has to reach; leave its vifs out of the table, by topology = "route" or "nat", or part the networks by VLANs`;
    return { problem: notHad('option-unusable', snapshot, 'lan', reason) };
  }
  const unlike = newPortFlagNames.find((name) => options[name] === !newPortFlags[name]);
  if (unlike !== undefined && port === undefined) {
    const name = unlike.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    const reason = `vif-${topology} has no port of a Linux bridge; leave its vifs out of the table, by topology = "bridge" or bridge`;
    return { problem: notHad('option-unusable', snapshot, name, reason) };
  }
  const floods = { multicast_flood: multicastFlood, broadcast_flood: broadcastFlood };
  const unused = Object.entries(floods)
    .filter(([, on]) => on === false && port === undefined)
    .map(([name]) => notHad('option-unused', snapshot, name, `vif-${topology} has no such switch at a port`));
  return {
    desired: {
      ...desired,
      link: {
        ...desired.link,
        ...(txqueuelen === undefined ? {} : { txqueuelen }),
        ...(group === undefined ? {} : { group }),
        ...(Object.keys(offload).length === 0 ? {} : { offload }),
        ...(port === undefined ? {} : { port: { ...port, ...flags } }),
      },
      ...(desired.ovsPort === undefined || isolated === undefined
        ? {}
        : { ovsPort: { ...desired.ovsPort, isolated } }),
      ...(desired.ip?.forwards === undefined
        ? {}
        : { ip: { ...desired.ip, forwards: keptApart(desired.ip.forwards, options) } }),
    },
    unused,
  };
}

/** With `lan = false` the state of connections tells answers. */
const keptApart = (forwards: DesiredForwards, { isolated, lan }: VifOptions): DesiredForwards => ({
  ...forwards,
  ...(isolated ? { isolated } : {}),
  ...(lan === false ? { lan, tracked: true } : {}),
});

const notHad = (
  code: 'option-unusable' | 'option-unused',
  { id }: VifSnapshot,
  name: string,
  reason: string,
): OperationError => problem(code, `set of ${vifName(id)} by [[vif]]`, name, reason);

/** A vif as the tables match it, by what a topology desires for it. */
export function matchedBy(
  desired: Omit<DesiredState, 'name'>,
  snapshot: VifSnapshot,
  topology: TopologyName,
): Matched {
  const bridges = [bridgeOf(desired), desired.ovsPort && ovsBridge(snapshot.bridge)];
  return {
    domid: snapshot.id.domid,
    mac: snapshot.mac,
    addresses: [...snapshot.ip.map(grantedBy), ...(desired.ip?.routes.map(({ to }) => to) ?? [])],
    topology,
    bridges: bridges.filter((name) => name !== undefined),
  };
}

/** The name in Open vSwitch's `name[.tag][:trunk…]`. */
const ovsBridge = (key: string | undefined): string | undefined => key?.replace(/[.:].*$/, '');

/** What every matching table says of a vif, key by key; the later of two tables wins. */
export const optionsOf = (vif: Matched, tables: readonly VifOptions[]): Partial<VifOptions> =>
  Object.assign({}, ...matchingTables(tables, vif));

/** The tables that match a vif. */
const matchingTables = (tables: readonly VifOptions[], vif: Matched): VifOptions[] =>
  tables.filter((table) => matches(table, vif));

/** Whether a table matches a vif: all that it names, and everything where it names nothing. */
export const matches = ({ bridge, mac, ip, domid, topology }: GroupMembers, vif: Matched): boolean =>
  (bridge === undefined || vif.bridges.includes(bridge)) &&
  (mac === undefined || mac === vif.mac) &&
  (domid === undefined || domid === vif.domid) &&
  (topology === undefined || topology === vif.topology) &&
  (ip === undefined || vif.addresses.some((address) => contains(ip, address)));

/** The devices that are named for a vif behind NAT to leave by; undefined for none. */
export const uplinksOf = (
  snapshot: VifSnapshot,
  addresses: readonly Network[],
  { nat, vifs }: VifPolicy,
): readonly string[] | undefined =>
  optionsOf(
    {
      domid: snapshot.id.domid,
      mac: snapshot.mac,
      addresses: [...snapshot.ip.map(grantedBy), ...addresses],
      topology: 'nat',
      bridges: [],
    },
    vifs,
  ).uplink ?? nat.uplink;

/** Whether a table sets offloads, so that those of vifs are to be known. */
export const wantsOffloads = ({ vifs }: Pick<VifPolicy, 'vifs'>): boolean =>
  vifs.some(({ offload }) => offload !== undefined);
