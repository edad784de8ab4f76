import type { DesiredLink } from '../model/desired.js';
import type { Offload } from '../model/observed.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import type { VifOptions } from '../model/vif-options.js';

/** The `[[vif]]` tables that match a vif on this bridge, null for none, in order. */
const matching = (
  { mac }: VifSnapshot,
  bridge: string | null,
  tables: readonly VifOptions[],
): readonly VifOptions[] =>
  tables.filter(
    (table) =>
      (table.bridge === undefined || table.bridge === bridge) &&
      (table.mac === undefined || table.mac === mac),
  );

/** What every matching `[[vif]]` table says of a vif, key by key; the later of two tables wins. */
export const optionsOf = (
  snapshot: VifSnapshot,
  bridge: string | null,
  tables: readonly VifOptions[],
): Partial<VifOptions> => Object.assign({}, ...matching(snapshot, bridge, tables));

/** A netdev with the settings of every `[[vif]]` table that matches the vif. */
export function withOptions(
  link: DesiredLink,
  snapshot: VifSnapshot,
  tables: readonly VifOptions[],
): DesiredLink {
  const {
    bridge: _bridge,
    mac: _mac,
    antispoof: _antispoof,
    allow: _allow,
    allowMacs: _allowMacs,
    controlFrames: _controlFrames,
    uplink: _uplink,
    txqueuelen,
    offload,
    ...flags
  } = optionsOf(snapshot, link.master, tables);
  const offloads = matching(snapshot, link.master, tables)
    .map((table) => table.offload)
    .filter((one) => one !== undefined);
  return {
    ...link,
    ...(txqueuelen === undefined ? {} : { txqueuelen }),
    ...(offload === undefined ? {} : { offload: Object.assign({}, ...offloads) as Offload }),
    // These are a bridge port's; a routed vif is none.
    ...(link.master === null || Object.keys(flags).length === 0 ? {} : { port: { ...link.port, ...flags } }),
  };
}

/** The devices that are named for a vif behind NAT to leave by; undefined for none. */
export const uplinksOf = (snapshot: VifSnapshot, { nat, vifs }: VifPolicy): readonly string[] | undefined =>
  optionsOf(snapshot, null, vifs).uplink ?? nat.uplink;
