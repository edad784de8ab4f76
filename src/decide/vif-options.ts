import type { DesiredLink } from '../model/desired.js';
import type { Offload } from '../model/observed.js';
import type { VifSnapshot } from '../model/snapshot.js';
import type { VifOptions } from '../model/vif-options.js';

/** A netdev with the settings of every `[[vif]]` table that matches the vif; the later of two tables wins. */
export function withOptions(
  link: DesiredLink,
  { mac }: VifSnapshot,
  tables: readonly VifOptions[],
): DesiredLink {
  const matching = tables.filter(
    (table) =>
      (table.bridge === undefined || table.bridge === link.master) &&
      (table.mac === undefined || table.mac === mac),
  );
  if (matching.length === 0) return link;
  const {
    bridge: _bridge,
    mac: _mac,
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
