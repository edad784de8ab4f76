import type { Network } from './address.js';
import type { VifGroup } from './group.js';
import type { Limits } from './limits.js';

/**
 * What a vif may send. `undefined` in its place means anything at all.
 *
 * A topology calls `filterFor` with what it knows of the vif beyond its keys (the address of a NAT guest, that the vif is
 * routed) and puts the outcome into its `desired.filter`. One whose datapath passes nft by must refuse when the outcome
 * {@link holds} the vif.
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
   * The guest reaches nothing on the driver domain itself but echo, neighbour discovery, answers to what the driver domain
   * began, and the services named here. Undefined where it is open: on a bridge, unless the configuration closes it.
   */
  readonly protectHost: HostServices | undefined;
  /** How much may pass, in either direction; absent for any. */
  readonly limits?: Limits;
  /** Which other guests it reaches; absent where no group parts any. */
  readonly group?: VifGroup;
}

/** What of the driver domain a guest reaches. */
export interface HostServices {
  /** How it comes there: by its vif, or by the bridge that the vif is a port of. */
  readonly by: 'vif' | 'bridge';
  /** UDP port 67 by IPv4. */
  readonly dhcp: boolean;
  /** By IPv4 and IPv6; none twice. */
  readonly ports: readonly ServedPort[];
}

/** A port of a protocol. */
export interface ServedPort {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
}

/** What an entry of `services` in the configuration names. */
export type Service = 'dhcp' | 'dns' | ServedPort;

/** What a list of services opens. */
export function hostServices(by: HostServices['by'], services: readonly Service[]): HostServices {
  const ports = services.flatMap((service): readonly ServedPort[] =>
    service === 'dhcp' ? [] : service === 'dns' ? dnsPorts : [service],
  );
  return {
    by,
    dhcp: services.includes('dhcp'),
    ports: ports.filter(
      ({ protocol, port }, i) =>
        i === ports.findIndex((other) => other.protocol === protocol && other.port === port),
    ),
  };
}

const dnsPorts: readonly ServedPort[] = [
  { protocol: 'udp', port: 53 },
  { protocol: 'tcp', port: 53 },
];

/** Whether packets of a family pass a filter, if only from some addresses. */
export const passesFamily = (filter: FilterSpec | undefined, family: 4 | 6): boolean =>
  filter?.hold !== 'addresses' || filter.networks.some((network) => network.family === family);

/** Whether a filter holds a vif to more than what every vif is held to. */
export const holds = (filter: FilterSpec | undefined): filter is FilterSpec =>
  filter !== undefined &&
  (filter.hold !== 'nothing' ||
    filter.protectHost !== undefined ||
    filter.limits !== undefined ||
    filter.group !== undefined);
