import type { Network } from './address.js';

/**
 * What a vif may send. `undefined` in its place means anything at all.
 *
 * `decide()` gives every attachment the filter of its keys, so a topology has nothing to do. One that knows more (the
 * address of a NAT guest, that the vif is routed) calls {@link filterFor} with what it knows and puts the outcome into
 * its `desired.filter`. One whose datapath passes nft by must refuse when the outcome {@link holds} the vif.
 */
export interface FilterSpec {
  /** What its frames are held to. Even with `nothing` a switch's control frames do not pass. */
  readonly hold: 'nothing' | 'mac' | 'addresses';
  /** The addresses its frames may come from; none with `nothing`. */
  readonly macs: readonly string[];
  /** The addresses it may speak from; those with a shorter prefix are networks. Without any, no packet passes. */
  readonly networks: readonly Network[];
  /** It may send VLAN-tagged frames; what is inside is held to the same rules. */
  readonly tagged: boolean;
  /** It may send the frames by which switches speak, as a switch in a guest does. */
  readonly controlFrames: boolean;
  /** For a routed vif: packets from its addresses (by the routes to them) are taken from this vif and no other. */
  readonly reverse: boolean;
  /**
   * For a vif whose guest has the driver domain as its router: the guest reaches nothing on the driver domain itself
   * but echo, neighbour discovery, answers to what the driver domain began, and the services named here.
   */
  readonly protectHost: HostServices | undefined;
}

/** What the driver domain serves its guests on the usual ports. */
export interface HostServices {
  readonly dhcp: boolean;
  readonly dns: boolean;
}

/** Whether a filter holds a vif to more than what every vif is held to. */
export const holds = (filter: FilterSpec | undefined): filter is FilterSpec =>
  filter !== undefined && (filter.hold !== 'nothing' || filter.protectHost !== undefined);
