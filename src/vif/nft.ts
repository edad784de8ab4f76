import type { FilterSpec } from './filter.js';
import { ingressRules, type Rule } from './filter-rules.js';
import { type VifId, vifName } from './id.js';

/** The name of our tables; one of family netdev, one of family inet for routed vifs. */
export const tableName = 'vifd';
export const netdevTable = `netdev ${tableName}`;
export const routerTable = `inet ${tableName}`;

/** The sets of the inet table, of interface indexes: what {@link FilterSpec} asks for beyond the netdev's ingress. */
export const routerSets = ['reverse', 'protected', 'dhcp', 'dns'] as const;
export type RouterSet = (typeof routerSets)[number];

/**
 * Before the flowtables and filters others may have at the same hook (`filter` is 0), whose verdict might be that the
 * packet never gets here.
 */
const ingressPriority = -300;

/** A vif's filter as it is to be, or as it is found in the kernel. */
export interface InstalledFilter {
  /** Named after the vif and its netdev's index: a netdev that netback made anew has a chain of its own. */
  readonly chain: string;
  /** The name of the netdev it is bound to. */
  readonly device: string;
  /** The comments of its rules in order, see {@link marks}. */
  readonly marks: readonly string[];
}

/** What is in the kernel under {@link tableName}. */
export interface FilterView {
  /** The chains of a vif: none, one, or left-overs besides. */
  chains(vif: string): readonly InstalledFilter[];
  /** The elements of a vif in the inet table: `<set> <interface index>`. */
  elements(vif: string): readonly string[];
  /** The comments of the inet table's rules, with their chain: `<chain> <comment>`. */
  readonly router: readonly string[];
}

/** What a vif's filter consists of in the kernel. */
export interface RenderedFilter extends InstalledFilter {
  readonly commands: readonly string[];
  readonly elements: readonly string[];
}

/** `vif5.0_12`: its vif and index; undefined for a chain of somebody else's in our table. */
export function parseChainName(chain: string): { vif: string; index: number } | undefined {
  const match = /^(vif\d+\.\d+)_(\d+)$/.exec(chain);
  return match ? { vif: match[1] as string, index: Number(match[2]) } : undefined;
}

export function renderFilter(
  id: VifId,
  link: { readonly index: number; readonly name: string },
  spec: FilterSpec,
): RenderedFilter {
  const chain = `${vifName(id)}_${link.index}`;
  const rules = ingressRules(spec);
  const comments = marks(rules, link.name);
  const path = `${netdevTable} ${chain}`;
  return {
    chain,
    device: link.name,
    marks: comments,
    commands: [
      `add table ${netdevTable}`,
      `add chain ${path} { type filter hook ingress device "${link.name}" priority ${ingressPriority}; policy drop; }`,
      // The chain stays, so that no packet passes unseen or is lost while the rules change.
      `flush chain ${path}`,
      // Not `add rule`: before that libnftables reads a list of what all tables hold.
      `add chain ${path} {\n${rules.map((rule, i) => printRule(rule, comments[i] as string)).join('\n')}\n}`,
    ],
    elements: [
      ...(spec.reverse ? ['reverse'] : []),
      ...(spec.protectHost === undefined ? [] : ['protected']),
      ...(spec.protectHost?.dhcp ? ['dhcp'] : []),
      ...(spec.protectHost?.dns ? ['dns'] : []),
    ].map((set) => `${set} ${link.index}`),
  };
}

/**
 * The rules' comments: the reason, and the same digest of the whole filter in each. A rule that was replaced, removed
 * or added shows in the sequence, and so does a filter that was made for other addresses or by another release. The
 * rules themselves do not compare: nft lists them in other words than it was given, and in others again in the next release.
 */
function marks(rules: readonly Rule[], salt: string): string[] {
  const mark = digest(`${salt} ${rules.map(({ match, verdict }) => `${match} ${verdict}`).join('\n')}`);
  return rules.map(({ reason }) => `${reason} #${mark}`);
}

/** The reason in a rule's comment; undefined when it is none of ours. */
export const reasonOfMark = (comment: string): string | undefined => /^(.*) #[0-9a-f]+$/.exec(comment)?.[1];

function printRule({ match, verdict }: Rule, comment: string): string {
  const counted = verdict === 'drop' ? 'counter drop' : verdict;
  return `${match === '' ? '' : `${match} `}${counted} comment "${comment}"`;
}

/** How many rules a command adds. */
export const rulesIn = (command: string): number =>
  command.startsWith('add rule ') ? 1 : Math.max(0, command.split('\n').length - 2);

const routerRules: readonly (Rule & { readonly chain: 'prerouting' | 'input' })[] = [
  {
    chain: 'prerouting',
    // The route to the sender leads to a vif of ours, and not to where the packet came from.
    match: 'fib saddr . iif oif 0 fib saddr oif @reverse',
    verdict: 'drop',
    reason: 'address of a guest',
  },
  { chain: 'input', match: 'ct state established,related', verdict: 'accept', reason: 'answer' },
  { chain: 'input', match: 'icmp type echo-request', verdict: 'accept', reason: 'echo' },
  {
    chain: 'input',
    match: 'icmpv6 type { echo-request, nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }',
    verdict: 'accept',
    reason: 'echo and neighbour discovery',
  },
  { chain: 'input', match: 'meta nfproto ipv4 udp dport 67 iif @dhcp', verdict: 'accept', reason: 'DHCP' },
  { chain: 'input', match: 'meta nfproto ipv6 udp dport 547 iif @dhcp', verdict: 'accept', reason: 'DHCP' },
  {
    chain: 'input',
    match: 'meta l4proto { tcp, udp } th dport 53 iif @dns',
    verdict: 'accept',
    reason: 'DNS',
  },
  // The elements count, so that each vif's drops are its own.
  { chain: 'input', match: 'iif @protected', verdict: 'drop', reason: 'the driver domain itself' },
];
const routerMarks = marks(routerRules, '');

/** {@link FilterView.router} as it should be once a routed vif needs it. */
export const routerState: readonly string[] = routerRules.map((rule, i) => `${rule.chain} ${routerMarks[i]}`);

/** The inet table without any vif's elements. Sets keep theirs. */
export function routerCommands(): string[] {
  const path = routerTable;
  return [
    `add table ${path}`,
    ...routerSets.map(
      (set) =>
        `add set ${path} ${set} { type iface_index; ${set === 'reverse' || set === 'protected' ? 'counter; ' : ''}}`,
    ),
    `add chain ${path} prerouting { type filter hook prerouting priority raw; policy accept; }`,
    `add chain ${path} input { type filter hook input priority filter; policy accept; }`,
    `flush chain ${path} prerouting`,
    `flush chain ${path} input`,
    ...routerRules.map(
      (rule, i) => `add rule ${path} ${rule.chain} ${printRule(rule, routerMarks[i] as string)}`,
    ),
  ];
}

/** 53 bits of a string, in hex (cyrb53): tells versions apart, and is no defence against anybody. */
function digest(text: string): string {
  let h1 = 0xdeadbeef;
  let h2 = 0x41c6ce57;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    h1 = Math.imul(h1 ^ code, 2654435761);
    h2 = Math.imul(h2 ^ code, 1597334677);
  }
  h1 = Math.imul(h1 ^ (h1 >>> 16), 2246822507) ^ Math.imul(h2 ^ (h2 >>> 13), 3266489909);
  h2 = Math.imul(h2 ^ (h2 >>> 16), 2246822507) ^ Math.imul(h1 ^ (h1 >>> 13), 3266489909);
  return (4294967296 * (2097151 & h2) + (h1 >>> 0)).toString(16);
}
