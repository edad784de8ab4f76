import { formatNetwork, type Network } from './address.js';
import type { DesiredState } from './desired.js';
import type { FilterSpec } from './filter.js';
import { type VifId, vifName } from './id.js';
import type { NftAction } from './nft.js';
import type { Link, ObservedState, Offload } from './observed.js';
import { clearIp, type IpAction, planAfterLink, planBeforeLink, planSysctls } from './plan-ip.js';
import { planNft } from './plan-nft.js';
import { type OvsAction, planOvsPort, planOvsRemovals } from './plan-ovs.js';
import { newPort, type PortFlags, planPort } from './port.js';
import { type DesiredScript, runsAsWanted, undoScript } from './script.js';
import type { PortVlan } from './vlan.js';

/** Changes of one netdev that go out as one RTM_SETLINK. */
export interface LinkChanges {
  readonly name?: string;
  readonly alias?: string;
  readonly mac?: string;
  readonly mtu?: number;
  readonly txqueuelen?: number;
  /** The master's index, 0 for none, as IFLA_MASTER has it; and its name, for people. */
  readonly master?: { readonly index: number; readonly name: string | undefined };
  readonly up?: boolean;
}

/** One change of the host. A plan is performed in order and stops at the first error. */
export type Action =
  | OvsAction
  | NftAction
  | {
      readonly kind: 'set-link';
      readonly index: number;
      readonly name: string;
      readonly changes: LinkChanges;
    }
  | IpAction
  | { readonly kind: 'set-port'; readonly index: number; readonly name: string; readonly flags: PortFlags }
  | {
      readonly kind: 'add-vlans' | 'delete-vlans';
      readonly index: number;
      readonly name: string;
      readonly vlans: readonly PortVlan[];
    }
  | { readonly kind: 'set-offload'; readonly index: number; readonly name: string; readonly offload: Offload }
  /** Starts an operator's script for a vif, and does not wait for its end. */
  | { readonly kind: 'run-script'; readonly id: VifId; readonly script: DesiredScript }
  /** Takes note of a script that somebody else has run before. */
  | { readonly kind: 'adopt-script'; readonly id: VifId; readonly script: DesiredScript }
  /** Runs the script that is in force once more, to undo what it did, and waits for that. */
  | { readonly kind: 'undo-script'; readonly id: VifId; readonly file: string };

/**
 * The changes that make the host as desired for one vif, the fewest messages that do it; nothing when it is so already.
 * Undefined means off the network, whatever it was attached to. A filter is there before the link is up or has its
 * master, and goes after the link is down.
 */
export function plan(id: VifId, desired: DesiredState | undefined, observed: ObservedState): Action[] {
  const link = observed.links.ofVif(id);
  const removals = [...undoScript(id, observed), ...planOvsRemovals(id, desired, observed)];
  if (link === undefined || desired === undefined) {
    return [
      // Closed before anything else, so that no later failure leaves it open.
      ...(link === undefined ? [] : detachLink(link, observed)),
      ...removals,
      ...takeOff(id, link, observed),
      ...optional(planNft(id, undefined, noNft, observed.nft).release),
    ];
  }
  const { name, ip } = desired;
  const { hold, release } = planNft(
    id,
    { index: link.index, name },
    { filter: desired.filter, masquerades: ip?.masquerades ?? [] },
    observed.nft,
  );
  const attach =
    hold === undefined
      ? attachLink(id, link, desired, observed)
      : attachFiltered(id, link, desired, observed, hold);
  const strays = strayAddresses(link, desired.link.addresses);
  const renamed = link.name !== name;
  const flushed = attach.some((action) => action.kind === 'set-link' && action.changes.up !== undefined);
  return [
    ...removals,
    // What has a route must not be without an address in between, what is a bridge's port never have one.
    ...(ip === undefined ? strays : []),
    ...planBeforeLink(id, renamed && ip ? { ...ip, sysctls: [] } : ip, observed),
    ...attach,
    ...(renamed ? planSysctls(ip, observed) : []),
    ...planOvsPort(id, desired, link, observed),
    ...planAfterLink(id, link, name, desired, observed, flushed),
    ...(ip === undefined ? [] : strays),
    ...optional(release),
  ];
}

/** Takes all of a vif that goes down off the host but a script, Open vSwitch's port, and the filter. */
const takeOff = (id: VifId, link: Link | undefined, observed: ObservedState): Action[] => [
  ...clearIp(id, observed),
  // IPv6 addresses go with the link, unless keep_addr_on_down is set.
  ...(link === undefined
    ? []
    : strayAddresses(link, []).filter(({ address }) => !link.up || address.family === 4)),
];

/**
 * The changes that put a vif into the hands of an operator's script: nothing when it has been run, or is running. The
 * filter is there before the script, which may well bring the link up, and follows the vif's keys while it is in force.
 * @param adopt whether the vif was found connected, so that a script nobody here knows of must have been run
 */
export function planScript(
  id: VifId,
  script: DesiredScript,
  filter: FilterSpec | undefined,
  observed: ObservedState,
  adopt: boolean,
): Action[] {
  const run = observed.scripts?.get(vifName(id));
  const link = observed.links.ofVif(id);
  const { hold, release } = planNft(id, link, { filter, masquerades: [] }, observed.nft);
  const held = [...optional(hold), ...optional(release)];
  if (runsAsWanted(run, script)) return held;
  // Known first, so that it is undone when there can be no filter.
  if (run === undefined && adopt) return [{ kind: 'adopt-script', id, script }, ...held];
  return [
    ...(link === undefined ? [] : detachLink(link, observed)),
    ...undoScript(id, observed),
    ...planOvsRemovals(id, undefined, observed),
    ...takeOff(id, link, observed),
    ...held,
    { kind: 'run-script', id, script },
  ];
}

/**
 * What keeps a vif from sending unfiltered when its filter could not be installed; nothing when the filter is there.
 * @param name what the netdev should be called
 */
export function isolate(
  id: VifId,
  filter: FilterSpec | undefined,
  observed: ObservedState,
  name = observed.links.ofVif(id)?.name,
): Action[] {
  const link = observed.links.ofVif(id);
  if (link === undefined || name === undefined || filter === undefined) return [];
  const { hold } = planNft(id, { index: link.index, name }, { filter, masquerades: [] }, observed.nft);
  return hold === undefined ? [] : detachLink(link, observed);
}

const noNft = { filter: undefined, masquerades: [] };

const optional = <T>(item: T | undefined): T[] => (item === undefined ? [] : [item]);

/** A chain is bound to the name the netdev has when it is made, so a rename, which needs the link down, comes first. */
function attachFiltered(
  id: VifId,
  link: Link,
  desired: DesiredState,
  observed: ObservedState,
  hold: NftAction,
): Action[] {
  const { name } = desired;
  if (link.name === name) return [hold, ...attachLink(id, link, desired, observed)];
  const alias = name === vifName(id) ? link.alias : vifName(id);
  return [
    ...(link.up ? [setLink(link, { up: false })] : []),
    setLink(link, { name, ...(alias === undefined || alias === link.alias ? {} : { alias }) }),
    hold,
    ...attachLink(id, { ...link, name, alias, up: false }, desired, observed),
  ];
}

function attachLink(
  id: VifId,
  link: Link,
  { name, link: want, ovsPort }: DesiredState,
  observed: ObservedState,
): Action[] {
  const { links } = observed;
  const own = vifName(id);
  const bridge = want.master === null ? undefined : links.byName(want.master);
  const keepsMaster =
    ovsPort === undefined ? link.master === bridge?.index : masterToLeave(link, observed) === undefined;
  const changes: LinkChanges = {
    ...(link.name === name ? {} : { name }),
    ...(name === own || link.alias === own ? {} : { alias: own }),
    ...(link.mac === want.mac ? {} : { mac: want.mac }),
    ...(want.mtu === undefined || link.mtu === want.mtu ? {} : { mtu: want.mtu }),
    ...(want.txqueuelen === undefined || link.txqueuelen === want.txqueuelen
      ? {}
      : { txqueuelen: want.txqueuelen }),
    ...(keepsMaster ? {} : { master: { index: bridge?.index ?? 0, name: bridge?.name } }),
    ...(link.up ? {} : { up: true }),
  };
  const joins = changes.master !== undefined;
  const port = planPort(
    link.index,
    name,
    want.port,
    joins || link.port === undefined ? newPort(bridge?.vlanDefaultPvid) : link.port,
  );
  const offload = planOffload(link, name, want.offload, observed);
  // What a port must be, it must be before its first frame: it joins while it is down.
  if (port.length > 0 && (joins || !link.up)) {
    const { up: _, ...first } = changes;
    return [
      ...(link.up ? [setLink(link, { up: false })] : []),
      ...(Object.keys(first).length > 0 ? [setLink(link, first)] : []),
      ...port,
      { kind: 'set-link', index: link.index, name, changes: { up: true } },
      ...offload,
    ];
  }
  const others = [...port, ...offload];
  if (Object.keys(changes).length === 0) return others;
  // A running interface takes neither a name (before Linux 6.2) nor, for netback, an address (eth_mac_addr: EBUSY).
  const mustGoDown = link.up && (changes.name !== undefined || changes.mac !== undefined);
  return mustGoDown
    ? [setLink(link, { up: false }), setLink(link, { ...changes, up: true }), ...others]
    : [setLink(link, changes), ...others];
}

function planOffload(
  { index }: Link,
  name: string,
  want: Offload | undefined,
  { offloads }: ObservedState,
): Action[] {
  const made = offloads?.get(index);
  const missing = Object.entries(want ?? {}).filter(([feature, on]) => made?.[feature] !== on);
  return missing.length === 0
    ? []
    : [{ kind: 'set-offload', index, name, offload: Object.fromEntries(missing) }];
}

function detachLink(link: Link, observed: ObservedState): Action[] {
  const changes: LinkChanges = {
    ...(masterToLeave(link, observed) === undefined ? {} : { master: { index: 0, name: undefined } }),
    ...(link.up ? { up: false } : {}),
  };
  return Object.keys(changes).length > 0 ? [setLink(link, changes)] : [];
}

/**
 * The master to take a netdev from. Open vSwitch's kernel datapath puts a master of its own over its ports (ovs-system),
 * which goes when the port does and can't be removed otherwise.
 */
function masterToLeave({ master }: Link, { links }: ObservedState): number | undefined {
  return master !== undefined && links.byIndex(master)?.kind === 'openvswitch' ? undefined : master;
}

function setLink({ index, name }: Link, changes: LinkChanges): Action {
  return { kind: 'set-link', index, name, changes };
}

function strayAddresses(
  link: Link,
  wanted: readonly Network[],
): (IpAction & { readonly kind: 'delete-address' })[] {
  const texts = wanted.map(formatNetwork);
  return link.addresses
    .filter((address) => !texts.includes(formatNetwork(address)))
    .map((address) => ({ kind: 'delete-address', index: link.index, name: link.name, address }));
}
