import type { Network } from './address.js';
import type { DesiredPort } from './bridge-port.js';
import type { FilterSpec } from './filter.js';
import { keptFromBy } from './group.js';
import type { DesiredIp } from './ip.js';
import type { DesiredSets } from './named-set.js';
import type { Offload } from './observed.js';
import type { DesiredOvsPort } from './ovs-port.js';

/** How a vif's netdev should be. Undefined fields are left as they are found. */
export interface DesiredLink {
  readonly mac: string;
  readonly mtu: number | undefined;
  /** The bridge's name, null for none. */
  readonly master: string | null;
  /** All addresses it has, but for the link-local ones the kernel makes. */
  readonly addresses: readonly Network[];
  /** It stays down; absent for up. */
  readonly down?: boolean;
  readonly port?: DesiredPort;
  readonly txqueuelen?: number;
  readonly group?: number;
  readonly offload?: Offload;
}

/**
 * A vif that is on the network, and so keeps what it can when the gateway or the database goes. The addresses are those
 * its link was given; none are known where another daemon gave them.
 */
export interface Attached {
  readonly addresses: readonly Network[];
  /** It was found connected, by another daemon's word; absent for no. */
  readonly isFound?: boolean;
}

/** What should be on the host for one vif. */
export interface DesiredState {
  /** The netdev's name: the vif's own, or the one dom0 chose. */
  readonly name: string;
  readonly link: DesiredLink;
  /** What it may send; undefined means anything. */
  readonly filter?: FilterSpec | undefined;
  /** No frame passes, in either direction. */
  readonly blocked?: boolean;
  /** What else a routed or NAT vif needs. */
  readonly ip?: DesiredIp;
  /** Its port in Open vSwitch; absent for none. */
  readonly ovsPort?: DesiredOvsPort;
  /** The administrator's sets that it is to be in; absent for none. */
  readonly sets?: DesiredSets;
  /** The other vifs of its card, by one of which the traffic goes now; absent where it goes by this one. For people. */
  readonly standbyFor?: readonly string[];
}

/** The bridge it is on, of whichever kind; undefined for none. */
export const bridgeOf = ({ link, ovsPort }: Pick<DesiredState, 'link' | 'ovsPort'>): string | undefined =>
  link.master ?? ovsPort?.bridge;

/** What it is kept from besides, for people. */
export const keptFrom = ({ link, ovsPort, ip, filter }: DesiredState): string[] => [
  ...(link.port?.isolated || ovsPort?.isolated || ip?.forwards?.isolated ? ['other isolated vifs'] : []),
  ...(ip?.forwards?.lan === false ? ['private networks'] : []),
  ...[filter?.group && keptFromBy(filter.group)].filter((one) => one !== undefined),
];
