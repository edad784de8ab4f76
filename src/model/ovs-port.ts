import { type VifId, vifName } from './vif-id.js';

/** The database that ovs-vsctl asks where it is told no other. */
export const usualOvsDatabase = 'unix:/var/run/openvswitch/db.sock';

/**
 * The external_ids of a Port which say that it is ours and whose, `vifd=vif5.0`, and which netdev it was made for: the
 * next of that name has another index, and ovs-vswitchd's userspace datapath would go on reading from the old one. The
 * third says that its VLANs are those that dom0 asked for; without it they are an operator's or a controller's. The fourth keeps
 * those while the port is on standby.
 */
export const markKeys = {
  owner: 'vifd',
  ifindex: 'vifd-ifindex',
  vlan: 'vifd-vlan',
  kept: 'vifd-vlan-kept',
} as const;

/**
 * The key of a Bridge's external_ids that keeps the VLANs which others have set at a vif's port, from when that port is deleted
 * until it is made anew: its netdev's index, the guest's MAC, and what {@link markKeys.kept} says.
 */
export const noteKey = (vif: string): string => `${notePrefix}${vif}`;
export const notePrefix = 'vifd-vlan-kept-';

/** A bridge as `ovs-vsctl` understands the name: a real one, or a "fake" one, which is a VLAN of a real one. */
export interface OvsBridge {
  readonly name: string;
  /** The real bridge: `name` itself unless it is a fake one. */
  readonly parent: string;
  /** The VLAN of a fake bridge. */
  readonly vlan: number | undefined;
  /** The parent's; empty means `system`, `netdev` is the userspace datapath. */
  readonly datapathType: string;
  /** Whether `other_config:hw-offload` is on, with which flows are in tc at the ports' ingress, before netdev ingress. */
  readonly offloads?: boolean;
  /** Whether it is off, and flows still are: ovs-vswitchd looks at it until it is on, and not again. Absent for no. */
  readonly stillOffloads?: boolean;
  /** What is noted of ports that are being made anew, by the vif's name, see {@link noteKey}; absent for nothing. */
  readonly notes?: Readonly<Record<string, string>>;
}

/** A port with its one interface; the fields `ovs-vsctl list port` and `list interface` print. */
export interface OvsPort {
  readonly uuid: string;
  readonly name: string;
  readonly bridge: string;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly vlanMode: string | undefined;
  /** Whose it is and which netdev's, by its {@link markKeys}; undefined for a port that others made. */
  readonly owner: string | undefined;
  readonly madeFor: string | undefined;
  /** Whether vifd has set its VLANs; absent for no. */
  readonly hasOurVlans?: boolean;
  /** The VLANs that others had set before it went on standby, as its mark has them; absent for none. */
  readonly kept?: string;
  /** Frames go between this port and those without it only (`protected`); absent for no. */
  readonly isolated?: boolean;
  /** What the spanning tree of its bridge lets it do, where that is not to forward. */
  readonly waiting?: 'listening' | 'learning' | 'blocking';
  /** The Interface row; undefined for a bond. */
  readonly interface: OvsInterface | undefined;
}

export interface OvsInterface {
  readonly uuid: string;
  readonly externalIds: Readonly<Record<string, string>>;
  /** The OpenFlow port number; undefined until ovs-vswitchd has looked, -1 when it could not take the device. */
  readonly ofport: number | undefined;
  readonly error: string | undefined;
  /** Whether ovs-vswitchd makes the device, which then follows the smallest MTU of the bridge's ports; absent for no. */
  readonly isInternal?: boolean;
  /** The MTU it is given by `mtu_request`, and follows no port then. */
  readonly mtuRequest?: number;
}

/** How a vif's port should be. */
export interface DesiredOvsPort {
  readonly bridge: string;
  /** dom0 asks for no VLAN: those that others have set stay. */
  readonly vlansStay?: boolean;
  /** The same while it is on standby: they are kept for when the traffic goes by this port again. */
  readonly vlansKept?: boolean;
  /** The guest's traffic goes by a twin's port, and nothing by this one. */
  readonly onStandby?: boolean;
  /** The vif is connected only when OVN has the flows for it (`ovn-installed`); absent for at once. */
  readonly awaitsOvn?: boolean;
  /** Undefined leaves it as it is. */
  readonly isolated?: boolean;
  readonly tag: number | undefined;
  readonly trunks: readonly number[];
  readonly vlanMode: string | undefined;
  /** Of the Interface; others that are there stay. */
  readonly externalIds: Readonly<Record<string, string>>;
}

/**
 * What Open vSwitch's database says. `unknown` until it was asked for the first time; while it is not `known` the
 * look-ups find nothing, and nothing follows from that.
 */
export interface OvsView {
  readonly state: 'unknown' | 'unreachable' | 'known';
  /** Whether ovs-vswitchd runs; true until it is known not to. */
  readonly switchRuns: boolean;
  /** Whether it is seen to follow the database now; it may run and not have found a database that was started anew. */
  readonly switchFollows: boolean;
  /** As configured: `unix:/var/run/openvswitch/db.sock`. */
  readonly database: string;
  bridge(name: string): OvsBridge | undefined;
  port(name: string): OvsPort | undefined;
  ports(): Iterable<OvsPort>;
  bridges(): Iterable<OvsBridge>;
}

/**
 * Whether a port may be treated as this vif's: it carries our mark, or the stock script made it for this very vif (same
 * bridge, same MAC), so that switching over from `xl devd` drops no packet. Any other is left alone.
 */
export function isOwnPort(id: VifId, port: OvsPort, { bridge, externalIds }: DesiredOvsPort): boolean {
  if (port.owner !== undefined) return port.owner === vifName(id);
  return port.bridge === bridge && isSameMac(port.interface?.externalIds['attached-mac'], externalIds);
}

/** Whether the port's interface was made for the guest's MAC that is wanted now. */
export const isSameMac = (mac: string | undefined, wanted: Readonly<Record<string, string>>): boolean =>
  mac !== undefined && mac.toLowerCase() === wanted['attached-mac'];
