import type { Action } from '../model/action.js';
import {
  type BridgePort,
  type DesiredPort,
  newPortFlagNames,
  newPortFlags,
  type PortFlags,
  type PortSwitches,
} from '../model/bridge-port.js';

/** What a port is when it has just joined a bridge (new_nbp and nbp_vlan_init in Linux's net/bridge). */
export function newPort(defaultPvid: number | undefined): BridgePort {
  return {
    isolated: false,
    multicastFlood: true,
    broadcastFlood: true,
    vlans: defaultPvid ? [{ vid: defaultPvid, pvid: true, untagged: true }] : [],
  };
}

/** The switches that silence a port (no learning, no flooding to it), or end that; empty when it is as desired. */
function planSilence(want: DesiredPort, { silent = false }: BridgePort): PortSwitches {
  if (want.silent === undefined || want.silent === silent) return {};
  const { learning, unicastFlood, multicastFlood, broadcastFlood } = want;
  // One that is configured so is no other than one that is silent.
  if (silent && [learning, unicastFlood, multicastFlood, broadcastFlood].every((on) => on === false))
    return {};
  return want.silent
    ? { silent: true, multicastFlood: false, broadcastFlood: false }
    : {
        silent: false,
        multicastFlood: multicastFlood ?? true,
        broadcastFlood: broadcastFlood ?? true,
        ...(learning === false && { learning }),
        ...(unicastFlood === false && { unicastFlood }),
      };
}

/** The others of a port's switches that are not as desired; those that silence it are not asked for meanwhile. */
function planFlags(want: DesiredPort, port: BridgePort): PortFlags {
  const changed = newPortFlagNames.filter((name) => {
    const isHeard = newPortFlags[name];
    if (want[name] === undefined || (isHeard && (want.silent === true || port.silent === true))) return false;
    return want[name] !== (port[name] ?? newPortFlags[name]);
  });
  return Object.fromEntries(changed.map((name) => [name, want[name]]));
}

/** The changes that make a port as desired. VLANs are deleted before others are added, so that no frame passes by both. */
export function planPort(
  index: number,
  name: string,
  want: DesiredPort | undefined,
  port: BridgePort,
): Action[] {
  if (want === undefined) return [];
  const actions: Action[] = [];
  const flags: PortSwitches = {
    ...planFlags(want, port),
    ...planSilence(want, port),
    ...(want.isolated === undefined || want.isolated === port.isolated ? {} : { isolated: want.isolated }),
    ...(want.silent || want.multicastFlood === undefined || want.multicastFlood === port.multicastFlood
      ? {}
      : { multicastFlood: want.multicastFlood }),
    ...(want.silent || want.broadcastFlood === undefined || want.broadcastFlood === port.broadcastFlood
      ? {}
      : { broadcastFlood: want.broadcastFlood }),
  };
  if (Object.keys(flags).length > 0) actions.push({ kind: 'set-port', index, name, flags });
  if (want.vlans === undefined) return actions;
  const wanted = new Map(want.vlans.map((vlan) => [vlan.vid, vlan]));
  const there = new Map(port.vlans.map((vlan) => [vlan.vid, vlan]));
  const stray = port.vlans.filter(({ vid }) => !wanted.has(vid));
  const missing = want.vlans.filter(({ vid, pvid, untagged }) => {
    const found = there.get(vid);
    return found === undefined || found.pvid !== pvid || found.untagged !== untagged;
  });
  if (stray.length > 0) actions.push({ kind: 'delete-vlans', index, name, vlans: stray });
  if (missing.length > 0) actions.push({ kind: 'add-vlans', index, name, vlans: missing });
  return actions;
}
