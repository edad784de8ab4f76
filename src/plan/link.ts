import type { Action, LinkChanges } from '../model/action.js';
import type { DesiredState } from '../model/desired.js';
import type { NftAction } from '../model/nft.js';
import { type Link, mtuToBe, type ObservedState } from '../model/observed.js';
import { type VifId, vifName } from '../model/vif-id.js';
import { newPort, planPort } from './bridge-port.js';
import { planOffload } from './offload.js';

/**
 * Installs a link's filter and makes the link as desired. A rename comes before the filter, because a chain is bound to the
 * name that the netdev has when the chain is made; it needs the link down.
 */
export function attachFiltered(
  id: VifId,
  link: Link,
  desired: DesiredState,
  observed: ObservedState,
  hold: readonly NftAction[],
): Action[] {
  const { name } = desired;
  if (link.name === name) return [...hold, ...attachLink(id, link, desired, observed)];
  const alias = name === vifName(id) ? link.alias : vifName(id);
  return [
    ...(link.up ? [setLink(link, { up: false })] : []),
    setLink(link, { name, ...(alias === undefined || alias === link.alias ? {} : { alias }) }),
    ...hold,
    ...attachLink(id, { ...link, name, alias, up: false }, desired, observed),
  ];
}

/** Makes a link as desired: name, address, MTU, queue length, master, bridge port, offloads, and up. */
export function attachLink(
  id: VifId,
  link: Link,
  { name, link: want, ovsPort, ip }: DesiredState,
  observed: ObservedState,
): Action[] {
  const { links } = observed;
  const own = vifName(id);
  const up = want.down !== true;
  const mtu = mtuToBe(link, want.mtu);
  const bridge = want.master === null ? undefined : links.byName(want.master);
  const keepsMaster =
    ovsPort === undefined ? link.master === bridge?.index : masterToLeave(link, observed) === undefined;
  const changes: LinkChanges = {
    ...(link.name === name ? {} : { name }),
    ...(name === own || link.alias === own ? {} : { alias: own }),
    ...(link.mac === want.mac ? {} : { mac: want.mac }),
    ...(mtu === undefined || link.mtu === mtu ? {} : { mtu }),
    ...(want.txqueuelen === undefined || link.txqueuelen === want.txqueuelen
      ? {}
      : { txqueuelen: want.txqueuelen }),
    ...(want.group === undefined || (link.group ?? 0) === want.group ? {} : { group: want.group }),
    ...(keepsMaster ? {} : { master: { index: bridge?.index ?? 0, name: bridge?.name } }),
    // A bridge's port needs none, and old hotplug scripts switched it off.
    ...(ip === undefined || link.arp !== false ? {} : { arp: true }),
    ...(link.up === up ? {} : { up }),
  };
  const joins = changes.master !== undefined;
  const port = planPort(
    link.index,
    name,
    want.port,
    joins || link.port === undefined ? newPort(bridge?.vlanDefaultPvid) : link.port,
  );
  const offload = planOffload(link, name, want.offload, observed);
  const pinned = bridge === undefined ? [] : pinMtu(bridge, mtu, observed);
  // A port gets its VLANs and flags before its first frame: it joins while it is down.
  if (up && port.length > 0 && (joins || !link.up)) {
    const { up: _, ...first } = changes;
    return [
      ...pinned,
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
    ? [...pinned, setLink(link, { up: false }), setLink(link, { ...changes, up }), ...others]
    : [...pinned, setLink(link, changes), ...others];
}

/**
 * Keeps a bridge's MTU that a port with a smaller one would lower (br_mtu_auto_adjust), and with it the domain's own. A bridge
 * that has such a port already keeps its MTU, because it was set before by hand or by this.
 */
function pinMtu({ index, name, mtu }: Link, wanted: number | undefined, { links }: ObservedState): Action[] {
  if (wanted === undefined || wanted >= mtu) return [];
  const isPinned = [...links.all()].some((port) => port.master === index && port.mtu < mtu);
  return isPinned ? [] : [{ kind: 'pin-mtu', index, name, mtu }];
}

/** Takes a link off its master, and down. */
export function detachLink(link: Link, observed: ObservedState): Action[] {
  const changes: LinkChanges = {
    ...(masterToLeave(link, observed) === undefined ? {} : { master: { index: 0, name: undefined } }),
    ...(link.up ? { up: false } : {}),
  };
  return Object.keys(changes).length > 0 ? [setLink(link, changes)] : [];
}

/**
 * Gives a netdev that is off the network the name back that netback made it with, while that is free: another vif may wait for the
 * name it has, and of two that wait for each other's neither would ever have its own.
 */
export function giveUpName(id: VifId, { links }: ObservedState): Action[] {
  const link = links.ofVif(id);
  const name = vifName(id);
  return link === undefined || links.byName(name) !== undefined ? [] : [setLink(link, { name })];
}

/**
 * The master to take a netdev from; undefined for none. Open vSwitch's kernel datapath puts a master of its own over its ports (ovs-system),
 * which goes when the port does and can't be removed otherwise.
 */
function masterToLeave({ master }: Link, { links }: ObservedState): number | undefined {
  return master !== undefined && links.byIndex(master)?.kind === 'openvswitch' ? undefined : master;
}

function setLink({ index, name }: Link, changes: LinkChanges): Action {
  return { kind: 'set-link', index, name, changes };
}
