import { lookUp, matches } from './match.js';
import type { Packet, Tri } from './packet.js';
import { type BaseChain, type Json, legacyTable, type Rule, type Ruleset } from './ruleset.js';

/** What a base chain does with a packet. */
export interface Passage {
  readonly chain: BaseChain;
  readonly outcome: 'accept' | 'drop';
  /** False where a rule that would have decided otherwise asks for what is not known of the packet. */
  readonly isCertain: boolean;
  /** The rule that decided, and the chain it is in; undefined for the policy. */
  readonly rule: { readonly chain: string; readonly rule: Rule } | undefined;
  /** Whether its source address was translated. */
  readonly isTranslated: boolean;
}

/** The families of chains that see an IPv4 or IPv6 packet. */
const familiesOf = (packet: Packet): readonly string[] => ['inet', packet.family === 4 ? 'ip' : 'ip6'];

/**
 * Passes a packet through the base chains of a hook, in their order, to the first that certainly drops it.
 * @param families those whose chains see it; `netdev` ones only where they are at the device it comes in by
 */
export function pass(
  ruleset: Ruleset,
  hook: string,
  packet: Packet,
  families: readonly string[] = familiesOf(packet),
): Passage[] {
  const passed: Passage[] = [];
  for (const chain of ruleset.base) {
    if (chain.hook !== hook || !families.includes(chain.family)) continue;
    if (chain.type === 'nat' && packet.state !== 'new') continue;
    const device = hook === 'egress' ? packet.oif : packet.iif;
    if (chain.family === 'netdev' && !chain.devices.includes(device)) continue;
    const passage = passChain(ruleset, chain, packet);
    passed.push(passage);
    if (passage.outcome === 'drop' && passage.isCertain) break;
  }
  return passed;
}

interface End {
  readonly outcome: 'accept' | 'drop' | 'return' | 'next';
  readonly rule?: Passage['rule'];
  readonly isTranslated?: boolean;
}

/** Jumps may not be nested deeper in the kernel (NFT_JUMP_STACK_SIZE). */
const deepest = 16;

function passChain(ruleset: Ruleset, chain: BaseChain, packet: Packet): Passage {
  /** The verdicts of rules of which it is not known whether they hold; the walk goes on as if they did not. */
  const doubts = { accept: false, drop: false };
  const run = (name: string, depth: number, isDoubtful: boolean): End => {
    for (const rule of depth > deepest ? [] : ruleset.rules(chain, name)) {
      const end = runRule(rule, name, depth, isDoubtful);
      if (end.outcome !== 'next') return end;
    }
    return { outcome: 'return' };
  };
  const runRule = (rule: Rule, name: string, depth: number, isDoubtful: boolean): End => {
    let doubtful = isDoubtful;
    for (const statement of rule.statements) {
      const found = judge(statement, rule, packet, { ruleset, chain });
      if (found.holds === false) return { outcome: 'next' };
      if (found.holds === undefined) doubtful = true;
      const { verdict } = found;
      if (verdict === undefined) continue;
      if (verdict.kind === 'jump' || verdict.kind === 'goto') {
        const end = run(verdict.target, depth + 1, doubtful);
        if (end.outcome === 'accept' || end.outcome === 'drop') return end;
        return { outcome: verdict.kind === 'goto' && !doubtful ? 'return' : 'next' };
      }
      if (verdict.kind === 'return') return { outcome: doubtful ? 'next' : 'return' };
      if (doubtful) {
        doubts[verdict.kind] = true;
        return { outcome: 'next' };
      }
      return {
        outcome: verdict.kind,
        rule: { chain: name, rule },
        isTranslated: verdict.isTranslated ?? false,
      };
    }
    return { outcome: 'next' };
  };
  const end = run(chain.name, 0, false);
  const outcome = end.outcome === 'accept' || end.outcome === 'drop' ? end.outcome : chain.policy;
  return {
    chain,
    outcome,
    isCertain: !doubts[outcome === 'accept' ? 'drop' : 'accept'],
    rule: end.rule,
    isTranslated: end.isTranslated ?? false,
  };
}

type Verdict =
  | { readonly kind: 'accept' | 'drop'; readonly isTranslated?: boolean }
  | { readonly kind: 'jump'; readonly target: string }
  | { readonly kind: 'goto'; readonly target: string }
  | { readonly kind: 'return' };

interface Judgement {
  /** Whether the packet goes on to the rule's next statement. */
  readonly holds: Tri;
  readonly verdict?: Verdict | undefined;
}

const holds: Judgement = { holds: true };
const unknown: Judgement = { holds: undefined };

/** Statements that change or note a packet and let it go on. */
const harmless = new Set([
  'counter',
  'log',
  'mangle',
  'notrack',
  'quota',
  'ct helper',
  'ct timeout',
  'flow',
  'dup',
]);
const translating = new Set(['masquerade', 'snat', 'dnat', 'redirect']);

function judge(
  statement: { readonly [key: string]: Json },
  rule: Rule,
  packet: Packet,
  place: { readonly ruleset: Ruleset; readonly chain: BaseChain },
): Judgement {
  const [[kind = '', value = null] = []] = Object.entries(statement);
  const fields = (value ?? {}) as { readonly [key: string]: Json };
  if (harmless.has(kind)) return holds;
  if (translating.has(kind))
    return { holds: true, verdict: { kind: 'accept', isTranslated: kind !== 'dnat' } };
  switch (kind) {
    case 'match':
      return { holds: matches(fields, packet, place) };
    case 'vmap': {
      const found = lookUp(fields, packet, place);
      if (found === 'unknown') return unknown;
      return found === undefined ? { holds: false } : judge(found, rule, packet, place);
    }
    case 'accept':
    case 'drop':
    case 'return':
      return { holds: true, verdict: { kind } };
    case 'reject':
      return { holds: true, verdict: { kind: 'drop' } };
    case 'set':
    case 'meter':
      return counts(fields.stmt) ? unknown : holds;
    case 'continue':
      return { holds: true };
    case 'jump':
    case 'goto':
      return { holds: true, verdict: { kind, target: fields.target as string } as Verdict };
    case 'xt':
      return fields.type === 'target'
        ? target(fields.name as string)
        : { holds: ofIptables(fields.name as string, rule.text, packet, place) };
    default:
      // Among them limit and connection counts, which hold sometimes, and queue, whose program decides.
      return unknown;
  }
}

/** Whether the element that a packet is entered as has a limit, or counts connections: the rule goes on for what is beyond. */
const counts = (statements: Json | undefined): boolean =>
  [statements ?? []]
    .flat()
    .some((one) => one !== null && ['limit', 'ct count'].some((kind) => kind in (one as object)));

function target(name: string): Judgement {
  if (name === 'REJECT') return { holds: true, verdict: { kind: 'drop' } };
  if (['MASQUERADE', 'SNAT', 'NETMAP'].includes(name))
    return { holds: true, verdict: { kind: 'accept', isTranslated: true } };
  if (['DNAT', 'REDIRECT'].includes(name)) return { holds: true, verdict: { kind: 'accept' } };
  if (['NFQUEUE', 'QUEUE', 'SYNPROXY', 'TPROXY'].includes(name))
    return { holds: undefined, verdict: { kind: 'drop' } };
  return holds;
}

/** Whether a match of iptables holds, by the words with which nft(8) translates it; JSON has its name alone. */
function ofIptables(
  name: string,
  text: string,
  packet: Packet,
  place: { readonly ruleset: Ruleset; readonly chain: BaseChain },
): Tri {
  if (name === 'comment') return true;
  const patterns: { readonly [name: string]: [RegExp, Json] } = {
    conntrack: [/\bct state (! |!= )?([\w,]+)/, { ct: { key: 'state' } }],
    state: [/\bct state (! |!= )?([\w,]+)/, { ct: { key: 'state' } }],
    addrtype: [/\bfib daddr type (!= )?(\w+)/, { fib: { result: 'type', flags: ['daddr'] } }],
    icmp: [/\bicmp type (!= )?([\w-]+)/, { payload: { protocol: 'icmp', field: 'type' } }],
    icmp6: [/\bicmpv6 type (!= )?([\w-]+)/, { payload: { protocol: 'icmpv6', field: 'type' } }],
  };
  const [pattern, left] = patterns[name] ?? [];
  const [, negated, values] = pattern?.exec(text) ?? [];
  if (left === undefined || values === undefined) return undefined;
  const right = values.split(',');
  return matches({ op: negated === undefined ? '==' : '!=', left, right }, packet, place);
}

/** A base chain as an administrator would call it. */
export const nameChain = ({ family, table, name }: BaseChain): string =>
  table === legacyTable
    ? `${family === 'ip' ? 'iptables' : 'ip6tables'}-legacy ${name}`
    : `${family} ${table} ${name}`;

/** What decided, in words: `drops it by its policy`, or the rule. */
export function explain({ chain, outcome, rule }: Passage): string {
  const does = outcome === 'drop' ? 'drops' : 'accepts';
  if (rule === undefined) return `${does} it by its policy`;
  const where = rule.chain === chain.name ? '' : ` of its chain ${rule.chain}`;
  return `${does} it by the rule${where} "${rule.rule.text || `handle ${rule.rule.handle}`}"`;
}
