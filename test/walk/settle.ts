import { guestOf, has4, nameOf, shareAddress, wantedName } from './addresses.js';
import {
  type Bridge,
  isConnected,
  isRouted,
  type Model,
  serving,
  type Uplink,
  type UplinkModel,
  type VifModel,
} from './model.js';
import { plannedIp } from './planned.js';

export const usable = ({ there, up, address }: UplinkModel): boolean => there && up && address;

/** The uplink whose address a routed vif is to have; undefined while there is none. */
export function gatewayOf(vif: VifModel, model: Model): Uplink | undefined {
  const wanted = vif.keys.gatewaydev ?? model.defaultRoute ?? model.defaultRoute6;
  if (wanted === undefined) return undefined;
  const { there, address } = model.uplinks[wanted];
  return there && (address || !has4(vif)) ? wanted : undefined;
}

/** The vifs that share an address, or a name that they have or want, with this one. */
export function entangled(vif: VifModel, model: Model): VifModel[] {
  if (!vif.present) return [];
  return model.vifs.filter(
    (other) =>
      other.present &&
      other.slot !== vif.slot &&
      ((isRouted(vif) && isRouted(other) && shareAddress(vif, other)) ||
        [vif.name, wantedName(vif)].some((name) => name === other.name || name === wantedName(other))),
  );
}

/** Whether others have something that the vif needs, or it has what others need. */
export const isEntangled = (vif: VifModel, model: Model): boolean =>
  entangled(vif, model).length > 0 || Object.values(model.foreign).includes(vif.slot);

/** Of the routed vifs with one address the one whose netdev came last. */
export function holdsAddress(vif: VifModel, model: Model): boolean {
  return entangled(vif, model).every(
    (other) => !isConnected(other) || !shareAddress(other, vif) || other.netdev < vif.netdev,
  );
}

/** Whether a routed guest has IPv6: a device below an MTU of 1280 has none (RFC 8200, 5). */
export const has6 = ({ keys, mtu }: VifModel): boolean => keys.ip6 !== undefined && mtu >= 1280;

/** The devices out of which a vif behind NAT is masqueraded. */
export function waysOut({ named, uplinks, ...model }: Model, family: 4 | 6): Uplink[] {
  if (named !== undefined) return named.filter((name) => uplinks[name].there);
  const way = family === 4 ? model.defaultRoute : model.defaultRoute6;
  return way === undefined ? [] : [way];
}

/** Whether the default route of a family leads out for a vif behind NAT: by another device than those that are named nothing leaves. */
export const leadsOut = (model: Model, family: 4 | 6): boolean => {
  const way = family === 4 ? model.defaultRoute : model.defaultRoute6;
  return way !== undefined && (model.named === undefined || model.named.includes(way));
};

/** The VLANs of an Open vSwitch port; undefined where the keys cannot be had: the other topologies have none here. */
export function vlansOf({ topology, keys }: VifModel): { tag?: number; trunks: number[] } | undefined {
  const isTagged = keys.bridge === 'ovsbr0.10';
  if (topology !== 'openvswitch' || (isTagged && keys.vlan !== undefined)) return undefined;
  if (isTagged) return { tag: 10, trunks: [] };
  const none = { trunks: [] };
  const of = {
    '10': { tag: 10, trunks: [] },
    '20': { tag: 20, trunks: [] },
    '10p/20': { tag: 10, trunks: [20] },
  };
  return keys.vlan === undefined ? none : of[keys.vlan];
}

/** What the daemon makes of everything, when it can. */
export function settle(model: Model): Model {
  if (!serving(model)) return model;
  let vifs = model.vifs.map((vif) => ({
    ...vif,
    uncertain: false,
    unsure: vif.topology === 'route' && gatewayOf(vif, model) === undefined && (vif.uncertain || vif.unsure),
  }));
  // A name that one gives up is another's in the next round.
  for (let round = 0; round < 4; round++) {
    vifs = vifs.map((vif) => settled(vif, { ...model, vifs }));
  }
  return { ...model, vifs };
}

function settled(vif: VifModel, model: Model): VifModel {
  if (!vif.present) return vif;
  const name = wantedName(vif);
  const failed: VifModel = { ...vif, status: 'error', gateway: undefined, planned: undefined };
  // The name that it has may be what another waits for.
  const nameless: VifModel = { ...failed, name: nameOf(vif.slot) };
  if (model.vifs.some((other) => other.present && other.slot !== vif.slot && other.name === name))
    return nameless;
  if (name in model.foreign) return nameless;
  if (vif.keys.vlan !== undefined && vlansOf(vif) === undefined) return failed;
  const mtu = vif.keys.mtu ?? (vif.topology === 'bridge' ? 1500 : vif.mtu);
  const fine: VifModel = { ...vif, status: 'connected', name, mtu };
  // All that can be done without the switch is done; without its database nothing is, the name included.
  const waiting: VifModel = { ...(model.ovsdb ? fine : vif), status: 'pending', gateway: undefined };
  switch (vif.topology) {
    case 'bridge':
      return model.bridges[vif.keys.bridge as Bridge] ? { ...fine, gateway: undefined } : failed;
    case 'openvswitch':
      if (!vif.keys.bridge?.startsWith('ovsbr0')) return model.ovsdb ? failed : waiting;
      if (vif.status === 'connected') return { ...fine, gateway: undefined };
      return model.ovsdb && model.switching ? { ...fine, gateway: undefined } : waiting;
    case 'route': {
      const gateway = gatewayOf(vif, model);
      if (gateway !== undefined) return { ...fine, gateway };
      // What is up stays up, with what it has.
      return vif.status === 'connected' && vif.gateway !== undefined ? fine : failed;
    }
    case 'nat': {
      const had = new Set(
        model.vifs
          .filter((other) => other.slot !== vif.slot && isConnected(other) && isRouted(other) && has4(other))
          .map((other) => guestOf(other).address),
      );
      if (vif.keys.ip !== undefined) {
        const isHad = vif.status !== 'connected' && had.has(guestOf(vif).address);
        return isHad ? failed : { ...fine, gateway: undefined, planned: undefined };
      }
      const planned = plannedIp(vif, model.natNetwork, had);
      return planned === undefined ? failed : { ...fine, gateway: undefined, planned };
    }
  }
}
