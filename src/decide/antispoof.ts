import { grantedBy, type Network } from '../model/address.js';
import type { FilterSpec, HostServices } from '../model/filter.js';
import { type OperationError, problem } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { vifName } from '../model/vif-id.js';

/** What a topology knows of a vif beyond its keys. */
export interface FilterOptions {
  /** Instead of the `ip` key: the addresses which the topology itself chose. */
  readonly networks?: readonly Network[];
  readonly tagged?: boolean;
  readonly reverse?: boolean;
  readonly protectHost?: HostServices;
}

/**
 * The filter a vif gets: with mode `auto` when there are addresses to hold it to, with `strict` always, with `off` never.
 * @returns the filter, undefined for none, or why it cannot be had
 */
export function filterFor(
  snapshot: VifSnapshot,
  mode: VifPolicy['antispoof']['mode'],
  options: FilterOptions = {},
): { readonly filter: FilterSpec | undefined } | { readonly problem: OperationError } {
  const networks = options.networks ?? snapshot.ip.map(grantedBy);
  if (mode === 'off' || (mode === 'auto' && networks.length === 0)) return { filter: undefined };
  const operation = `hold ${vifName(snapshot.id)} to`;
  if (networks.length === 0) {
    const reason = 'the ip key is empty, and [antispoof] mode = "strict" takes no vif without; give it ip=…';
    return { problem: problem('addresses-missing', operation, 'its addresses', reason) };
  }
  if (snapshot.mac === undefined) {
    return { problem: problem('key-missing', operation, 'its MAC address', 'the mac key is missing') };
  }
  return {
    filter: {
      mac: snapshot.mac,
      networks,
      tagged: options.tagged ?? false,
      reverse: options.reverse ?? false,
      protectHost: options.protectHost,
    },
  };
}
