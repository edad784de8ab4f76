import type { RoutingRule } from '../../model/routing-rule.js';
import { decodeRule, rtmRule } from './rule-message.js';

/** The rules that choose a routing table, built from a sequence of rtnetlink messages. */
export class RuleState {
  readonly #rules: { readonly key: string; readonly rule: RoutingRule }[] = [];

  /** Those of a family, in the order in which the kernel asks them: of one `pref`, the older first. */
  of(family: 4 | 6): readonly RoutingRule[] {
    return this.#rules
      .map(({ rule }) => rule)
      .filter((rule) => rule.family === family)
      .sort((a, b) => a.pref - b.pref);
  }

  /** Applies a message about a rule. @returns whether it is one of IP */
  apply(type: number, data: Buffer): boolean {
    const rule = decodeRule(data);
    if (rule === undefined) return false;
    const key = keyOf(data);
    if (type === rtmRule.add) this.#rules.push({ key, rule });
    else {
      const place = this.#rules.findIndex((one) => one.key === key);
      if (place >= 0) this.#rules.splice(place, 1);
    }
    return true;
  }
}

/** The message without the flags that say whether its devices and its target exist, which come and go without a message. */
const keyOf = (data: Buffer): string =>
  `${data.readUInt32LE(8) & 0x02} ${data.toString('hex', 0, 8)} ${data.toString('hex', 12)}`;
