import type { Action } from '../model/action.js';
import type { DesiredState } from '../model/desired.js';
import { type FilterSpec, holds } from '../model/filter.js';
import type { Link, ObservedState } from '../model/observed.js';
import type { DesiredScript } from '../model/script.js';
import { type VifId, vifName } from '../model/vif-id.js';
import { strayAddresses } from './address.js';
import { misdirected } from './conntrack.js';
import { clearIp, planAfterLink, planBeforeLink } from './ip.js';
import { attachFiltered, attachLink, detachLink } from './link.js';
import { planNamedSets } from './named-sets.js';
import { planNft } from './nft.js';
import { pinOvsMtu, planOvsPort, planOvsRemovals } from './ovs-port.js';
import { runsAsWanted, undoScript } from './script.js';
import { closedFamilies, closeForwarding, opensForwarding, planNoRouter, planSysctls } from './sysctl.js';

/**
 * The changes that make the host as desired for one vif, in order and as few as do it; empty when it is so already. A desired
 * state of undefined means off the network. A filter is there before the link is up or has its
 * master, and goes after the link is down.
 */
export function plan(id: VifId, desired: DesiredState | undefined, observed: ObservedState): Action[] {
  const link = observed.links.ofVif(id);
  const removals = [...undoScript(id, observed), ...planOvsRemovals(id, desired, observed)];
  if (link === undefined || desired === undefined) {
    return [
      // The link goes down first, so that no later failure leaves the vif on the network.
      ...(link === undefined ? [] : detachLink(link, observed)),
      ...removals,
      ...takeOff(id, link, observed),
      ...optional(
        planNft(id, undefined, { ...noNft, closes: () => closeForwarding(observed) }, observed.nft).release,
      ),
      ...misdirected(id, [], observed),
    ];
  }
  const { name, ip } = desired;
  const opens = opensForwarding(ip, observed);
  const { wake, hold, release } = planNft(
    id,
    { index: link.index, name },
    {
      filter: desired.filter,
      blocked: desired.blocked,
      masquerades: ip?.masquerades ?? [],
      forwards: ip?.forwards,
      ports: ip?.ports,
      served: ip?.served,
      opens,
      closed: ip === undefined ? [] : closedFamilies(observed, opens),
      closes: () => closeForwarding(observed),
    },
    observed.nft,
  );
  const renamed = link.name !== name;
  // The rules for a routed vif are there before any device is made to forward.
  const holdsFirst = ip !== undefined && !renamed;
  const attach =
    hold.length === 0 || holdsFirst
      ? attachLink(id, link, desired, observed)
      : attachFiltered(id, link, desired, observed, hold);
  const strays = strayAddresses(link, ip === undefined ? link.name : name, desired.link.addresses);
  const { join, leave } = planNamedSets(id, desired.sets, name, observed);
  const asksAnew = attach.some((action) => action.kind === 'set-link' && action.changes.arp);
  const flushed = attach.some((action) => action.kind === 'set-link' && action.changes.up !== undefined);
  return [
    ...optional(wake),
    ...removals,
    // A bridge's port must have no address; a routed vif loses an old one only when it has its new one.
    ...(ip === undefined ? [...strays, ...planNoRouter(link, observed)] : []),
    ...(holdsFirst ? hold : []),
    ...planBeforeLink(id, renamed && ip ? { ...ip, sysctls: [] } : ip, observed),
    // Before the link: a port of Open vSwitch that exists already lowers the bridge's MTU with its own.
    ...pinOvsMtu(desired, link, observed),
    // The administrator's rules know it by its first frame.
    ...join,
    ...attach,
    // A device's sysctls are found by its new name only after the rename.
    ...(renamed ? planSysctls(ip, observed, { from: link.name, to: name }) : []),
    ...planOvsPort(id, desired, link, observed),
    ...planAfterLink(id, link, name, desired, observed, flushed, asksAnew),
    // IPv6 addresses have gone with the link, unless keep_addr_on_down is set.
    ...(ip === undefined ? [] : strays.filter(({ address }) => !flushed || address.family === 4)),
    ...leave,
    ...optional(release),
    ...misdirected(id, ip?.ports, observed),
  ];
}

/** What stands at a vif's netdev, whatever it is attached to. */
export interface HeldTo {
  /** What it may send; undefined means anything. */
  readonly filter: FilterSpec | undefined;
  /** No frame passes, in either direction. */
  readonly blocked?: boolean;
}

/** Deletes what a vif that goes down has on the host, except what its script did, its port of Open vSwitch and its filter. */
const takeOff = (id: VifId, link: Link | undefined, observed: ObservedState): Action[] => [
  ...clearIp(id, observed),
  ...planNamedSets(id, undefined, undefined, observed).leave,
  // IPv6 addresses go with the link, unless keep_addr_on_down is set.
  ...(link === undefined
    ? []
    : strayAddresses(link, link.name, []).filter(({ address }) => !link.up || address.family === 4)),
];

/**
 * The changes that put a vif into the hands of an operator's script: nothing when it has been run, or is running. The
 * filter is there before the script, which may bring the link up, and follows the vif's keys while it is in force.
 * @param adopt whether the vif was found connected, so that another agent must have run the script
 */
export function planScript(
  id: VifId,
  script: DesiredScript,
  { filter, blocked }: HeldTo,
  observed: ObservedState,
  adopt: boolean,
): Action[] {
  const run = observed.scripts?.get(vifName(id));
  const link = observed.links.ofVif(id);
  const closes = () => closeForwarding(observed);
  const { wake, hold, release } = planNft(
    id,
    link,
    { filter, blocked, masquerades: [], closes },
    observed.nft,
  );
  const held = [...optional(wake), ...hold, ...optional(release)];
  if (runsAsWanted(run, script)) return held;
  // The script is remembered first, so that it is undone where the filter fails.
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
 * Takes a vif off the network whose filter could not be installed, or what blocks it; nothing when that is there.
 * @param name the desired name of the netdev
 */
export function isolate(
  id: VifId,
  filter: FilterSpec | undefined,
  observed: ObservedState,
  name = observed.links.ofVif(id)?.name,
  blocked = false,
): Action[] {
  const link = observed.links.ofVif(id);
  if (link === undefined || name === undefined || !(blocked || holds(filter))) return [];
  const { wake, hold } = planNft(
    id,
    { index: link.index, name },
    { filter, blocked, masquerades: [] },
    observed.nft,
  );
  return wake === undefined && hold.length === 0 ? [] : detachLink(link, observed);
}

const noNft = { filter: undefined, masquerades: [] };

const optional = <T>(item: T | undefined): T[] => (item === undefined ? [] : [item]);
