import { grantedBy, type Network } from '../model/address.js';
import { type FilterSpec, type HostServices, hostServices } from '../model/filter.js';
import { limitsOf } from '../model/limits.js';
import { type OperationError, problem } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { type TopologyName, traitsOf } from '../model/topology-name.js';
import { vifName } from '../model/vif-id.js';
import { groupOf } from './groups.js';
import { type Matched, optionsOf } from './vif-options.js';

/** What a topology knows of a vif beyond its keys. */
export interface FilterOptions {
  /** Undefined for an operator's own script. On a switch it keeps control frames back; `[[vif]]` tables ask for it. */
  readonly topology: TopologyName | undefined;
  /** The bridge it is on, for the `[[vif]]` tables. */
  readonly bridge?: string | null;
  /** Instead of the `ip` key: the addresses which the topology itself chose. */
  readonly networks?: readonly Network[];
  readonly tagged?: boolean;
  readonly reverse?: boolean;
  readonly protectHost?: HostServices;
}

/** What a section of the configuration opens and closes of this machine to vifs on bridges. */
export const protectedBy = ({ protectHost, services }: VifPolicy['bridge' | 'openvswitch']) =>
  protectHost ? { protectHost: hostServices('bridge', services) } : {};

/**
 * The filter a vif gets. With mode `auto` it is held to its addresses when there are any, `allow` of a `[[vif]]` table left out: that
 * adds to what a vif is held to, and a table for one address more of all guests must not take the others from those without `ip`. With
 * `strict` it is always held, with `off` never, unless a `[[vif]]` table says otherwise. On a bridge one that is not held is kept from control frames. A guest that
 * is routed needs an address to speak from, so without one no packet of its passes.
 * @returns the filter, undefined for none, or why there can be none
 */
export function filterFor(
  snapshot: VifSnapshot,
  { antispoof, vifs, groups }: Pick<VifPolicy, 'antispoof' | 'vifs' | 'groups'>,
  options: FilterOptions,
): { readonly filter: FilterSpec | undefined } | { readonly problem: OperationError } {
  const own = ownOptions(snapshot, vifs, options);
  const mode = own.antispoof ?? antispoof.mode;
  const ofVif = options.networks ?? snapshot.ip.map(grantedBy);
  const networks = [...ofVif, ...(own.allow ?? [])];
  const routed = options.reverse ?? false;
  const group = groupOf(groups, matchedAt(snapshot, options));
  const common = {
    ...(group && { group }),
    controlFrames: own.controlFrames ?? antispoof.controlFrames,
    reverse: routed,
    protectHost: options.protectHost,
    ...(own.limit === undefined || Object.keys(own.limit).length === 0
      ? {}
      : { limits: limitsOf(own.limit) }),
  };
  if (mode === 'off' || (mode === 'auto' && ofVif.length === 0 && !routed)) {
    // On a bridge the domain's services are closed by a key of their own, and a switch behind it would hear control frames.
    const isClosed = options.protectHost?.by === 'bridge';
    const isSwitched = traitsOf(options.topology)?.isSwitched ?? false;
    const isOpen = !isClosed && (!isSwitched || common.controlFrames);
    if (isOpen && common.limits === undefined && group === undefined) return { filter: undefined };
    const held = { hold: 'nothing', macs: [], networks: [], tagged: false, ...common } as const;
    if (!isOpen) return { filter: held };
    return { filter: { ...held, controlFrames: true, reverse: false, protectHost: undefined } };
  }
  const operation = `hold ${vifName(snapshot.id)} to`;
  if ((mode === 'strict' || mode === 'addresses') && networks.length === 0) {
    const asked = mode === 'strict' ? '[antispoof] mode = "strict"' : '[[vif]] antispoof = "addresses"';
    const reason = `the ip key is empty, and ${asked} takes no vif without; give it ip=…, or allow in a [[vif]] table`;
    return { problem: problem('addresses-missing', operation, 'its addresses', reason) };
  }
  if (snapshot.mac === undefined) {
    return { problem: problem('key-missing', operation, 'its MAC address', 'the mac key is missing') };
  }
  const isMac = mode === 'mac';
  return {
    filter: {
      hold: isMac ? 'mac' : 'addresses',
      macs: [...new Set([snapshot.mac, ...(own.allowMacs ?? [])])],
      networks: isMac ? [] : networks,
      tagged: options.tagged ?? false,
      ...common,
    },
  };
}

/** Where a vif is, as far as the `[[vif]]` tables ask for it. */
interface VifPlace {
  readonly bridge?: string | null | undefined;
  readonly topology?: TopologyName | undefined;
  readonly networks?: readonly Network[] | undefined;
}

/** Whether the configuration says that a vif is not to be held: mode `off`, or a `[[vif]]` table that matches it. */
export const isOff = (
  snapshot: VifSnapshot,
  { antispoof, vifs }: Pick<VifPolicy, 'antispoof' | 'vifs'>,
  options: VifPlace,
): boolean => (ownOptions(snapshot, vifs, options).antispoof ?? antispoof.mode) === 'off';

/** What the `[[vif]]` tables say of a vif. */
const ownOptions = (
  snapshot: VifSnapshot,
  vifs: VifPolicy['vifs'],
  place: VifPlace,
): ReturnType<typeof optionsOf> => optionsOf(matchedAt(snapshot, place), vifs);

/** A vif as tables match it there. */
const matchedAt = ({ id, mac, ip }: VifSnapshot, { bridge, topology, networks = [] }: VifPlace): Matched => ({
  domid: id.domid,
  mac,
  addresses: [...ip.map(grantedBy), ...networks],
  topology,
  bridges: bridge == null ? [] : [bridge],
});
