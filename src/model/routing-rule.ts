import { contains, type Network } from './address.js';

/**
 * A rule by which the kernel chooses a routing table, as `ip rule` lists it; rules are asked in the order of their `pref`.
 * What is not given is not asked for.
 */
export interface RoutingRule {
  readonly family: 4 | 6;
  readonly pref: number;
  readonly does: RuleAction;
  /** Whether it holds for all that the rest of it does not name (`not`). */
  readonly inverted: boolean;
  /** The device a packet comes in by; `lo` for what this domain itself sends. */
  readonly iif: string | undefined;
  readonly from: Network | undefined;
  readonly to: Network | undefined;
  readonly mark: { readonly value: number; readonly mask: number } | undefined;
  /** Whether it asks for more, such as a port, a user or a VRF. */
  readonly asksMore: boolean;
}

export type RuleAction =
  | {
      readonly kind: 'look-up';
      readonly table: number;
      /** A route that is found counts only when its prefix is longer than this (`suppress_prefixlength`); -1 for any. */
      readonly longerThan: number;
    }
  | { readonly kind: 'goto'; readonly pref: number }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'nothing' };

/** What a route of a table does with a packet; `throws` is to go on with the next rule. */
export interface TableRoute {
  readonly to: Network;
  readonly does: 'leads' | 'refuses' | 'throws';
  /** The index of the device it leads to. */
  readonly device: number;
}

/** The numbers of the tables of this domain's own addresses, and of `ip route` without a table. */
export const localTable = 255;
export const mainTable = 254;

/**
 * Whether a rule is for an unmarked packet to this network that comes in by a device, from whichever source; undefined where that
 * depends on more.
 * @param iif undefined for a packet of this domain itself
 */
export function isFor(rule: RoutingRule, to: Network, iif: string | undefined): boolean | undefined {
  const parts = [
    rule.iif === undefined || rule.iif === (iif ?? 'lo'),
    rule.from === undefined || rule.from.prefix === 0 ? true : undefined,
    rule.to === undefined || contains(rule.to, to) ? true : contains(to, rule.to) ? undefined : false,
    rule.mark === undefined || (rule.mark.value & rule.mark.mask) === 0,
    rule.asksMore ? undefined : true,
  ];
  const holds = parts.includes(false) ? false : parts.includes(undefined) ? undefined : true;
  return holds === undefined ? undefined : holds !== rule.inverted;
}
