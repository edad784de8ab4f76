import type { DesiredLink } from '../model/desired.js';
import type { Offload } from '../model/observed.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import type { VifOptions } from '../model/vif-options.js';

/** A netdev with the settings of every `[[vif]]` table that matches the vif; the later of two tables wins. */
export function withOptions(
  link: DesiredLink,
  { mac }: VifSnapshot,
  tables: readonly VifOptions[],
): DesiredLink {
  const matching = matchingTables(tables, { bridge: link.master, mac });
  if (matching.length === 0) return link;
  const {
    bridge: _bridge,
    mac: _mac,
    uplink: _uplink,
    txqueuelen,
    offload,
    ...flags
  } = Object.assign({}, ...matching) as VifOptions;
  const offloads = matching.map((table) => table.offload).filter((one) => one !== undefined);
  return {
    ...link,
    ...(txqueuelen === undefined ? {} : { txqueuelen }),
    ...(offload === undefined ? {} : { offload: Object.assign({}, ...offloads) as Offload }),
    // These are a bridge port's; a routed vif is none.
    ...(link.master === null || Object.keys(flags).length === 0 ? {} : { port: { ...link.port, ...flags } }),
  };
}

/** The tables that match a vif. @param vif.bridge the name of the bridge that it is on, null for none */
const matchingTables = (
  tables: readonly VifOptions[],
  vif: { readonly bridge: string | null; readonly mac: string | undefined },
): VifOptions[] =>
  tables.filter(
    ({ bridge, mac }) =>
      (bridge === undefined || bridge === vif.bridge) && (mac === undefined || mac === vif.mac),
  );

/** The devices that are named for a vif behind NAT to leave by; undefined for none. */
export const uplinksOf = ({ mac }: VifSnapshot, { nat, vifs }: VifPolicy): readonly string[] | undefined =>
  matchingTables(vifs, { bridge: null, mac }).findLast(({ uplink }) => uplink !== undefined)?.uplink ??
  nat.uplink;
