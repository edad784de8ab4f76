/** The fields of a packet at a hook that rules ask for. Of a match with an undefined field it is not known whether it holds. */
export interface Packet {
  readonly family: 4 | 6;
  /** The device it came in by and the one it goes out by; empty where there is none, as at input and output. */
  readonly iif: string;
  readonly oif: string;
  /** The bridge ports behind those, for rules that ask for `physdev` or of the bridge family. */
  readonly physin?: string;
  readonly physout?: string;
  readonly source: string | undefined;
  readonly destination: string | undefined;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'ipv6-icmp';
  readonly sport: number | undefined;
  readonly dport: number | undefined;
  readonly state: 'new' | 'established';
  /** What the destination is to this machine. */
  readonly to: 'local' | 'unicast' | 'multicast' | 'broadcast';
}

/** True, false, or undefined for "not known". */
export type Tri = boolean | undefined;

export const not = (value: Tri): Tri => (value === undefined ? undefined : !value);

/** True when all are, false when one is false, else not known. */
export const allOf = (values: readonly Tri[]): Tri =>
  values.includes(false) ? false : values.includes(undefined) ? undefined : true;

/** True when one is, false when all are false, else not known. */
export const anyOf = (values: readonly Tri[]): Tri =>
  values.includes(true) ? true : values.includes(undefined) ? undefined : false;
