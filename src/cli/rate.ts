import type { Traffic } from '../model/observed.js';

/** What passes a vif, in bits a second. */
export interface TrafficRate {
  readonly fromGuest: number;
  readonly toGuest: number;
}

/** The rate between two readings of a netdev's counters; undefined where they began anew meanwhile, with another netdev. */
export function rateBetween(
  before: Traffic | null | undefined,
  after: Traffic | null | undefined,
  seconds: number,
): TrafficRate | undefined {
  if (!before || !after || seconds <= 0) return undefined;
  const [from, to] = [after.rxBytes - before.rxBytes, after.txBytes - before.txBytes];
  if (from < 0 || to < 0) return undefined;
  return { fromGuest: (8 * from) / seconds, toGuest: (8 * to) / seconds };
}

/** A rate in the largest unit that it fills: `350 bit/s`, `12.3 kbit/s`, `4.5 Gbit/s`. */
export function bits(perSecond: number): string {
  const units = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(perSecond || 1) / 3)));
  return `${(perSecond / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** What has been counted, look after look. */
export class Rates {
  #before: ReadonlyMap<string, Traffic | null> = new Map();
  #at = 0;

  /** The rates since the look before by the vifs' names; none of those that were not counted then. @param at in ms */
  since(
    vifs: readonly { readonly vif: string; readonly traffic: Traffic | null }[],
    at: number,
  ): ReadonlyMap<string, TrafficRate> {
    const seconds = (at - this.#at) / 1000;
    const rates = vifs.flatMap(({ vif, traffic }): [string, TrafficRate][] => {
      const rate = rateBetween(this.#before.get(vif), traffic, seconds);
      return rate === undefined ? [] : [[vif, rate]];
    });
    this.#before = new Map(vifs.map(({ vif, traffic }) => [vif, traffic]));
    this.#at = at;
    return new Map(rates);
  }
}
