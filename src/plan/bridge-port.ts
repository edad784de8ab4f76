import type { Action } from '../model/action.js';
import type { BridgePort, DesiredPort, PortSwitches } from '../model/bridge-port.js';

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
  return want.silent
    ? { silent: true, multicastFlood: false, broadcastFlood: false }
    : {
        silent: false,
        multicastFlood: want.multicastFlood ?? true,
        broadcastFlood: want.broadcastFlood ?? true,
      };
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
