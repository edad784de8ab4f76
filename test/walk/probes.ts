import {
  bridgePeer,
  guestOf,
  internet,
  management,
  nameOf,
  otherPeer,
  ovsPeer,
  ownIp,
  spoofed,
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
import { gatewayOf, holdsAddress, usable, vlansOf } from './settle.js';

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
  const next = (fits: (other: VifModel) => boolean): Probe[] => {
    const after = [...model.vifs, ...model.vifs].slice(model.vifs.indexOf(vif) + 1);
    const other = after.find((one) => one.slot !== vif.slot && isConnected(one) && !isOpen(one) && fits(one));
    return other === undefined
      ? []
      : [echo(guestOf(other).address, true, `the guest of ${nameOf(other.slot)} (${other.topology})`)];
  };
  const connected = isConnected(vif);
  switch (vif.topology) {
    case 'bridge': {
      const on = vif.keys.bridge as Bridge;
      const other: Bridge = on === 'xenbr0' ? 'xenbr1' : 'xenbr0';
      const allowed = ({ keys, slot }: VifModel) =>
        keys.ip === undefined || keys.ip === ownIp('bridge', slot);
      const there = connected && model.bridges[on];
      return [
        echo(bridgePeer[other], false, `the peer on ${other}`),
        ...(on in bridgePeer
          ? [
              echo(bridgePeer[on], there && allowed(vif), `the peer on ${on}`),
              echo(
                otherPeer[on],
                there && [undefined, spoofed(vif.slot)].includes(vif.keys.ip),
                `the peer on ${on}`,
                spoofed(vif.slot),
              ),
            ]
          : []),
        ...(there && allowed(vif)
          ? next((one) => one.topology === 'bridge' && one.keys.bridge === on && allowed(one))
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
      const way = model.defaultRoute !== undefined && usable(model.uplinks[model.defaultRoute]);
      return [
        ...(connected ? [echo(router as string, true, 'its router')] : []),
        echo(internet, connected && way, `the internet by ${model.defaultRoute}`),
        echo(management.peer, false, 'the management network'),
        ...(connected ? next((one) => isRouted(one) && holdsAddress(one, model)) : []),
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
      const way = model.defaultRoute !== undefined && usable(model.uplinks[model.defaultRoute]);
      const { gateway } = vif;
      const same = connected && way && gateway === model.defaultRoute;
      const reached =
        gateway !== undefined && usable(model.uplinks[gateway]) && gatewayOf(vif, model) === gateway;
      return [
        ...(connected ? [echo(router as string, true, 'its router')] : []),
        ...(same || !connected || !way
          ? [echo(internet, same, `the internet by ${model.defaultRoute}`)]
          : []),
        echo(management.peer, false, 'the management network'),
        ...(connected ? next((one) => isRouted(one) && holdsAddress(one, model)) : []),
        ...(connected && reached
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
      ];
    }
  }
}

/** Whether a vif must say in its status that something is missing; undefined where that is left open. */
export function missesSomething(vif: VifModel, model: Model): boolean | undefined {
  if (!isConnected(vif)) return undefined;
  if (vif.topology === 'route') return gatewayOf(vif, model) === undefined;
  if (vif.topology === 'bridge') return false;
  if (vif.topology === 'openvswitch') return model.ovsdb && model.switching ? false : undefined;
  return model.defaultRoute === undefined ? undefined : false;
}
