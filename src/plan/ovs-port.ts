import type { Marks, OvsAction } from '../model/action.js';
import type { DesiredState } from '../model/desired.js';
import { type Link, mtuToBe, type ObservedState } from '../model/observed.js';
import { type DesiredOvsPort, isOwnPort, isSameMac, markKeys, type OvsPort } from '../model/ovs-port.js';
import { type VifId, vifName } from '../model/vif-id.js';
import { keptVlans, noted, withVlansOfOthers } from './ovs-vlans.js';

/** Deletes the ports of a vif except the one that can stay; all of them when nothing is desired. */
export function planOvsRemovals(
  id: VifId,
  desired: DesiredState | undefined,
  observed: ObservedState,
): OvsAction[] {
  const { links, openvswitch } = observed;
  const link = links.ofVif(id);
  const deletions = [...(openvswitch?.ports() ?? [])]
    .filter((port) => port.owner === vifName(id) && !(desired && link && canStay(port, desired, link)))
    .map((port): OvsAction => {
      const note = desired && link && noteOf(port, desired, link);
      return {
        kind: 'ovs-delete-port',
        port,
        release: link !== undefined,
        ...(note === undefined ? {} : { note }),
      };
    });
  return [...planNoteRemovals(id, desired, observed), ...deletions];
}

/** What is noted of a port that is to be made anew on its bridge: a daemon that ends in between would lose the VLANs of others. */
function noteOf(port: OvsPort, desired: DesiredState, link: Link): string | undefined {
  const { ovsPort } = desired;
  if (ovsPort === undefined || !isOfSame(port, desired, link)) return undefined;
  const kept = keptVlans(ovsPort, port);
  return kept === undefined ? undefined : `${link.index} ${ovsPort.externalIds['attached-mac']} ${kept}`;
}

/** What is noted of the port that is to be made; undefined for nothing, and where it is of another netdev or guest. */
function notedOf(
  id: VifId,
  { ovsPort }: DesiredState,
  link: Link,
  bridges: ObservedState['openvswitch'],
): string | undefined {
  const note = ovsPort && bridges?.bridge(ovsPort.bridge)?.notes?.[vifName(id)];
  const [index, mac, ...kept] = note?.split(' ') ?? [];
  const isOfThis = index === `${link.index}` && isSameMac(mac, ovsPort?.externalIds ?? {});
  return isOfThis ? kept.join(' ') : undefined;
}

/** Deletes notes of ports that are there, or are not made anew; with a port that is made its own goes. */
function planNoteRemovals(
  id: VifId,
  desired: DesiredState | undefined,
  { links, openvswitch }: ObservedState,
): OvsAction[] {
  const vif = vifName(id);
  const link = links.ofVif(id);
  return [...(openvswitch?.bridges() ?? [])]
    .filter(({ notes }) => notes?.[vif] !== undefined)
    .filter(
      ({ name }) =>
        desired?.ovsPort?.bridge !== name ||
        link === undefined ||
        openvswitch?.port(desired.name) !== undefined ||
        notedOf(id, desired, link, openvswitch) === undefined,
    )
    .map(({ name }) => ({ kind: 'ovs-delete-note', bridge: name, vif }));
}

/**
 * Keeps the MTU of a bridge's own device, and of its other internal ports, where a vif's is smaller: ovs-vswitchd gives those without
 * `mtu_request` the smallest of the ports (update_mtu_ofproto in ofproto.c), and with it the domain's own network and guests to come.
 */
export function pinOvsMtu(
  { link: want, ovsPort }: DesiredState,
  link: Link,
  observed: ObservedState,
): OvsAction[] {
  const { links, openvswitch } = observed;
  if (ovsPort === undefined || openvswitch?.state !== 'known') return [];
  const mtu = mtuToBe(link, want.mtu) ?? link.mtu;
  return [...openvswitch.ports()].flatMap(({ name, bridge, interface: own }): OvsAction[] => {
    const has = links.byName(name)?.mtu;
    const follows = own?.isInternal === true && own.mtuRequest === undefined;
    if (bridge !== ovsPort.bridge || !follows || has === undefined || has <= mtu) return [];
    return [{ kind: 'ovs-pin-mtu', name, uuid: own.uuid, mtu: has }];
  });
}

/** Makes a vif's port, or changes it to what is wanted; nothing while the database cannot be seen. */
export function planOvsPort(
  id: VifId,
  desired: DesiredState,
  link: Link,
  { openvswitch }: ObservedState,
): OvsAction[] {
  const { name, ovsPort } = desired;
  if (ovsPort === undefined || openvswitch?.state !== 'known') return [];
  const there = openvswitch.port(name);
  const note = there === undefined ? notedOf(id, desired, link, openvswitch) : undefined;
  const isSame = there !== undefined && isOwnPort(id, there, ovsPort) && isOfSame(there, desired, link);
  const before = isSame ? there : note === undefined ? undefined : noted(note);
  const kept = before && keptVlans(ovsPort, before);
  const marks: Marks = {
    [markKeys.owner]: vifName(id),
    [markKeys.ifindex]: `${link.index}`,
    ...(ovsPort.vlansStay ? {} : { [markKeys.vlan]: 'asked' }),
    ...(kept === undefined ? {} : { [markKeys.kept]: kept }),
  };
  if (!isSame || !canStay(there, desired, link)) {
    const port = note === undefined ? ovsPort : withVlansOfOthers(ovsPort, noted(note));
    const forgets = note !== undefined || kept !== undefined ? ({ forgets: true } as const) : {};
    return [{ kind: 'ovs-add-port', name, marks, port, ...forgets }];
  }
  const port = withVlansOfOthers(ovsPort, there);
  return isAsWanted(there, port, kept) ? [] : [{ kind: 'ovs-set-port', name, marks, port, before: there }];
}

/**
 * Whether a port can be changed in place. One that was made for another bridge, netdev or guest is made anew, since it may have
 * settings that vifd does not know, and domids are used again. So is one that goes on standby: ovs-vswitchd would learn the
 * guest's MAC there again from the counters of its flows (XC_NORMAL in ofproto-dpif-xlate-cache.c).
 */
const canStay = (before: OvsPort, desired: DesiredState, link: Link): boolean =>
  isOfSame(before, desired, link) &&
  !(desired.ovsPort?.onStandby && before.interface?.externalIds['iface-id'] !== undefined);

/** Whether a port was made for the bridge, the netdev and the guest that are wanted. */
function isOfSame(before: OvsPort, { name, ovsPort }: DesiredState, link: Link): boolean {
  return (
    ovsPort !== undefined &&
    before.name === name &&
    before.bridge === ovsPort.bridge &&
    (before.owner === undefined || before.madeFor === `${link.index}`) &&
    isSameMac(before.interface?.externalIds['attached-mac'], ovsPort.externalIds)
  );
}

function isAsWanted(before: OvsPort, port: DesiredOvsPort, kept: string | undefined): boolean {
  const { tag, trunks, vlanMode, externalIds, vlansStay = false } = port;
  return (
    before.owner !== undefined &&
    before.kept === kept &&
    (before.hasOurVlans ?? false) !== vlansStay &&
    (port.isolated === undefined || (before.isolated ?? false) === port.isolated) &&
    before.tag === tag &&
    before.vlanMode === vlanMode &&
    before.trunks.join() === trunks.join() &&
    (before.interface?.externalIds['iface-id'] === undefined || externalIds['iface-id'] !== undefined) &&
    Object.entries(externalIds).every(([key, value]) => before.interface?.externalIds[key] === value)
  );
}
