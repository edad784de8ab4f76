import {
  bridgePeer,
  bridgePeer6,
  guest6Of,
  guestOf,
  has4,
  internet,
  internet6,
  management,
  nameOf,
  otherPeer,
  ovsPeer,
  ownIp,
  spoofed,
  uplinkPeer6,
} from './addresses.js';
import {
  type Bridge,
  isConnected,
  isRouted,
  type Model,
  serving,
  type Uplink,
  type VifModel,
} from './model.js';
import { gatewayOf, has6, holdsAddress, leadsOut, usable, vlansOf, waysOut } from './settle.js';

/** An echo request, or a DHCP discover, and whether it must be answered, or must not. */
export interface Probe {
  readonly kind: 'echo' | 'dhcp';
  /** A guest's slot, or another namespace. */
  readonly in: number | Uplink;
  readonly from?: string;
  readonly to: string;
  readonly must: boolean;
  /** A sentence for people. */
  readonly what: string;
}

/** Whether more than one way for it to be is right. */
const isOpen = ({ uncertain, unsure }: VifModel): boolean => uncertain || unsure;

/** What guests must reach, and must not. Nothing is said of what is being changed while no daemon answers. */
export function probes(model: Model): Probe[] {
  return model.vifs.flatMap((vif) => (vif.present && !isOpen(vif) ? probesOf(vif, model) : []));
}

/** The other connected vifs, beginning behind this one. */
function othersAfter(vif: VifModel, { vifs }: Model): VifModel[] {
  const at = vifs.indexOf(vif);
  return [...vifs.slice(at + 1), ...vifs.slice(0, at)].filter((one) => isConnected(one) && !isOpen(one));
}

function probesOf(vif: VifModel, model: Model): Probe[] {
  const { address, router } = guestOf(vif);
  const echo = (to: string, must: boolean, whom: string, from = address): Probe => ({
    kind: 'echo',
    in: vif.slot,
    from,
    to,
    must,
    what: `the guest of ${nameOf(vif.slot)} (${vif.topology}, ${from}) and ${whom} (${to})`,
  });
  const address6 = guest6Of(vif);
  const echo6 = (to: string, must: boolean, whom: string): Probe[] =>
    address6 === undefined ? [] : [echo(to, must, whom, address6)];
  const next = (fits: (other: VifModel) => boolean): Probe[] => {
    const other = othersAfter(vif, model).find(fits);
    return other === undefined
      ? []
      : [echo(guestOf(other).address, true, `the guest of ${nameOf(other.slot)} (${other.topology})`)];
  };
  const next6 = (fits: (other: VifModel) => boolean): Probe[] => {
    const other = othersAfter(vif, model).find((one) => guest6Of(one) !== undefined && fits(one));
    return other === undefined
      ? []
      : echo6(guest6Of(other) as string, true, `the guest of ${nameOf(other.slot)} (${other.topology})`);
  };
  const connected = isConnected(vif);
  const served6 = connected && has6(vif);
  const way6 = model.defaultRoute6 !== undefined;
  switch (vif.topology) {
    case 'bridge': {
      const on = vif.keys.bridge as Bridge;
      const other: Bridge = on === 'xenbr0' ? 'xenbr1' : 'xenbr0';
      const free = ({ keys }: VifModel) => keys.ip === undefined && keys.ip6 === undefined;
      const allowed = (one: VifModel) => free(one) || one.keys.ip === ownIp('bridge', one.slot);
      const allowed6 = (one: VifModel) => free(one) || one.keys.ip6 !== undefined;
      const there = connected && model.bridges[on];
      return [
        echo(bridgePeer[other], false, `the peer on ${other}`),
        ...(on in bridgePeer
          ? [
              echo(bridgePeer[on], there && allowed(vif), `the peer on ${on}`),
              ...echo6(bridgePeer6[on], there && allowed6(vif), `the peer on ${on}`),
              echo(
                otherPeer[on],
                there && (free(vif) || vif.keys.ip === spoofed(vif.slot)),
                `the peer on ${on}`,
                spoofed(vif.slot),
              ),
            ]
          : []),
        ...(there && allowed(vif)
          ? next((one) => one.topology === 'bridge' && one.keys.bridge === on && allowed(one))
          : []),
        ...(there && allowed6(vif)
          ? next6((one) => one.topology === 'bridge' && one.keys.bridge === on && allowed6(one))
          : []),
      ];
    }
    case 'openvswitch': {
      // Without its database ovs-vswitchd does not run the userspace datapath (bridge_run in its bridge.c).
      if (!model.switching || !model.ovsdb) return [];
      const tag = vlansOf(vif)?.tag;
      // What waits for the switch may begin to work a moment before that is told.
      if (vif.status === 'pending') return [];
      return [
        echo(ovsPeer.plain, connected && tag === undefined, 'the peer on ovsbr0'),
        echo(ovsPeer.tagged, connected && tag === 10, 'the peer in VLAN 10'),
        ...(connected ? next((one) => one.topology === 'openvswitch' && vlansOf(one)?.tag === tag) : []),
      ];
    }
    case 'nat': {
      const way = leadsOut(model, 4) && usable(model.uplinks[model.defaultRoute as Uplink]);
      return [
        ...(connected ? [echo(router as string, true, 'its router')] : []),
        echo(internet, connected && way, `the internet by ${model.defaultRoute}`),
        ...echo6(internet6, served6 && leadsOut(model, 6), `the internet by ${model.defaultRoute6}`),
        ...(served6 ? next6((one) => isRouted(one) && has6(one)) : []),
        echo(management.peer, false, 'the management network'),
        ...(connected ? next((one) => isRouted(one) && has4(one) && holdsAddress(one, model)) : []),
        ...(connected && serving(model)
          ? [
              {
                kind: 'dhcp' as const,
                in: vif.slot,
                to: `${address} ${router}`,
                must: true,
                what: `a lease for ${nameOf(vif.slot)}`,
              },
            ]
          : []),
      ];
    }
    case 'route': {
      if (!holdsAddress(vif, model)) return [];
      const four = has4(vif);
      const way = model.defaultRoute !== undefined && usable(model.uplinks[model.defaultRoute]);
      const { gateway } = vif;
      const same = connected && way && gateway === model.defaultRoute;
      const reached =
        gateway !== undefined &&
        model.uplinks[gateway].up &&
        (!four || usable(model.uplinks[gateway])) &&
        gatewayOf(vif, model) === gateway;
      return [
        ...(connected && four ? [echo(router as string, true, 'its router')] : []),
        ...(four && (same || !connected || !way)
          ? [echo(internet, same, `the internet by ${model.defaultRoute}`)]
          : []),
        ...(!served6 || !way6 ? echo6(internet6, false, 'the internet') : []),
        ...(served6 && reached && gateway === model.defaultRoute6
          ? echo6(internet6, true, `the internet by ${gateway}`)
          : []),
        ...(served6 ? next6((one) => isRouted(one) && has6(one)) : []),
        ...(four ? [echo(management.peer, false, 'the management network')] : []),
        ...(connected && four ? next((one) => isRouted(one) && has4(one) && holdsAddress(one, model)) : []),
        ...(connected && reached && four
          ? [
              {
                kind: 'echo' as const,
                in: gateway,
                to: address,
                must: true,
                what: `the network at ${gateway} and the guest of ${nameOf(vif.slot)} (${address})`,
              },
            ]
          : []),
        ...(served6 && reached && address6 !== undefined
          ? [
              {
                kind: 'echo' as const,
                in: gateway,
                from: uplinkPeer6[gateway],
                to: address6,
                must: true,
                what: `the network at ${gateway} and the guest of ${nameOf(vif.slot)} (${address6})`,
              },
            ]
          : []),
      ];
    }
  }
}

/** Whether a vif must say in its status that something is missing; undefined where that is left open. */
export function missesSomething(vif: VifModel, model: Model): boolean | undefined {
  if (!isConnected(vif)) return undefined;
  if (isRouted(vif) && vif.keys.ip6 !== undefined && !has6(vif)) return true;
  if (vif.topology === 'route') return gatewayOf(vif, model) === undefined;
  if (vif.topology === 'bridge') return false;
  if (vif.topology === 'openvswitch') return model.ovsdb && model.switching ? false : undefined;
  if (vif.topology === 'nat' && model.named !== undefined) return waysOut(model, 4).length === 0;
  const leads = model.defaultRoute !== undefined && (!has6(vif) || model.defaultRoute6 !== undefined);
  return leads ? false : undefined;
}
