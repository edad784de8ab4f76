/** A number a second, and how many at once: of bytes beside those of one second, which nf_tables lets pass at once in any case. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** How much may pass a vif, by what is counted; absent for any number. */
export interface Limits {
  /** Bytes. */
  readonly fromGuest?: Rate;
  readonly toGuest?: Rate;
  /** Frames from the guest, and those of them to a broadcast or multicast address. */
  readonly packets?: Rate;
  readonly broadcast?: Rate;
}

/** `limit` of `[[vif]]` as it is written: bytes a second, frames a second, and bytes at once. */
export interface LimitOptions {
  readonly fromGuest?: number;
  readonly toGuest?: number;
  readonly burst?: number;
  readonly packets?: number;
  readonly broadcast?: number;
}

/** The least bytes at once: the largest packet of a guest is 64 KiB, since it leaves the segmentation to others (GSO). */
export const leastBurst = 65_536;

/** The limits that are asked for. Without `burst` there is room for two of the largest packets, also where the rate is small. */
export function limitsOf({ fromGuest, toGuest, burst, packets, broadcast }: LimitOptions): Limits {
  const bytes = (perSecond: number): Rate => ({ perSecond, burst: burst ?? 2 * leastBurst });
  const frames = (perSecond: number): Rate => ({
    perSecond,
    burst: Math.max(10, Math.ceil(perSecond / 10)),
  });
  return {
    ...(fromGuest === undefined ? {} : { fromGuest: bytes(fromGuest) }),
    ...(toGuest === undefined ? {} : { toGuest: bytes(toGuest) }),
    ...(packets === undefined ? {} : { packets: frames(packets) }),
    ...(broadcast === undefined ? {} : { broadcast: frames(broadcast) }),
  };
}

/** Limits in the words of the configuration, for people: `100mbit from the guest`. */
export function printLimits({ fromGuest, toGuest, packets, broadcast }: Limits): string[] {
  const of = (rate: Rate | undefined, print: (perSecond: number) => string, what: string): string[] =>
    rate === undefined ? [] : [`${print(rate.perSecond)} ${what}`];
  return [
    ...of(fromGuest, printBits, 'from the guest'),
    ...of(toGuest, printBits, 'to the guest'),
    ...of(packets, printPackets, 'from the guest'),
    ...of(broadcast, printPackets, 'of broadcast and multicast'),
  ];
}

function printBits(bytes: number): string {
  const bits = bytes * 8;
  const [unit, size] =
    bits % 1e9 === 0 ? ['gbit', 1e9] : bits % 1e6 === 0 ? ['mbit', 1e6] : (['kbit', 1e3] as const);
  return `${bits / Number(size)}${unit}`;
}

const printPackets = (packets: number): string =>
  packets % 1000 === 0 ? `${packets / 1000}kpps` : `${packets}pps`;
