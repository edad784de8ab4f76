import type { Network } from './address.js';
import type { DesiredState } from './desired.js';
import { type VifId, vifName } from './id.js';
import type { Link, ObservedState } from './observed.js';
import { type OvsAction, planOvsPort, planOvsRemovals } from './plan-ovs.js';

/** Changes of one netdev that go out as one RTM_SETLINK. */
export interface LinkChanges {
  readonly name?: string;
  readonly alias?: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** The master's index, 0 for none, as IFLA_MASTER has it; and its name, for people. */
  readonly master?: { readonly index: number; readonly name: string | undefined };
  readonly up?: boolean;
}

/** One change of the host. A plan is performed in order and stops at the first error. */
export type Action =
  | OvsAction
  | {
      readonly kind: 'set-link';
      readonly index: number;
      readonly name: string;
      readonly changes: LinkChanges;
    }
  | {
      readonly kind: 'delete-address';
      readonly index: number;
      readonly name: string;
      readonly address: Network;
    };

/**
 * The changes that make the host as desired for one vif, the fewest messages that do it; nothing when it is so already.
 * Undefined means off the network, whatever it was attached to.
 */
export function plan(id: VifId, desired: DesiredState | undefined, observed: ObservedState): Action[] {
  const link = observed.links.ofVif(id);
  const removals = planOvsRemovals(id, desired, observed);
  if (link === undefined) return removals;
  if (desired === undefined) return [...removals, ...detachLink(link, observed)];
  return [
    ...removals,
    ...strayAddresses(link, desired),
    ...attachLink(id, link, desired, observed),
    ...planOvsPort(id, desired, link, observed),
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
    ...(keepsMaster ? {} : { master: { index: bridge?.index ?? 0, name: bridge?.name } }),
    ...(link.up ? {} : { up: true }),
  };
  if (Object.keys(changes).length === 0) return [];
  // A running interface takes neither a name (before Linux 6.2) nor, for netback, an address (eth_mac_addr: EBUSY).
  const mustGoDown = link.up && (changes.name !== undefined || changes.mac !== undefined);
  return mustGoDown
    ? [setLink(link, { up: false }), setLink(link, { ...changes, up: true })]
    : [setLink(link, changes)];
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

function strayAddresses(link: Link, desired: DesiredState): Action[] {
  return link.addresses
    .filter(({ address }) => !desired.link.addresses.includes(address))
    .map((address) => ({ kind: 'delete-address', index: link.index, name: link.name, address }));
}
