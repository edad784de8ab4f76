import {
  type FilterView,
  type InstalledFilter,
  parseChainName,
  reasonOfMark,
  routerSets,
  tableName,
} from '../vif/nft.js';
import { type NetlinkMessage, parseAttributes } from './netlink-format.js';

// Numbers of linux/netfilter/nfnetlink.h, linux/netfilter/nf_tables.h and libnftnl/udata.h. Netlink's own integers are
// in the host's byte order, nf_tables' in the network's.
const subsystem = 10 << 8;
export const nft = {
  delTable: subsystem | 2,
  newChain: subsystem | 3,
  getChain: subsystem | 4,
  delChain: subsystem | 5,
  newRule: subsystem | 6,
  getRule: subsystem | 7,
  delRule: subsystem | 8,
  delSet: subsystem | 11,
  newElements: subsystem | 12,
  getElements: subsystem | 13,
  delElements: subsystem | 14,
  getGeneration: subsystem | 16,
};
export const family = { unspec: 0, inet: 1, netdev: 5 };
/** The table's name is attribute 1 of every kind of message. */
export const attribute = { table: 1, elementsSet: 2 };
const chainAttribute = { name: 3, hook: 4 };
const hookAttribute = { device: 3, devices: 4 };
const ruleAttribute = { chain: 2, handle: 3, expressions: 4, userdata: 7 };
const setName = 2;
const elementAttribute = { key: 1, userdata: 6 };
const elementList = 3;
const expressionAttribute = { name: 1, data: 2 };
const counterPackets = 2;
const commentType = 0;
/** struct nfgenmsg. */
const header = 4;

/** A vif by its name, or all that are routed. */
export const everyRouted = '*';

interface Chain {
  readonly vif: string;
  readonly name: string;
  device: string;
  /** Comments by handle, in the order in which the rules were added. */
  readonly rules: Map<bigint, string>;
}

/** The part of nf_tables that is ours, as a sequence of its messages tells of it. */
export class FilterState implements FilterView {
  readonly #chains = new Map<string, Chain>();
  /** `<set> <index>` → the vif's name in its comment. */
  readonly #elements = new Map<string, string>();
  readonly #router = new Map<bigint, string>();

  chains(vif: string): InstalledFilter[] {
    const found: InstalledFilter[] = [];
    for (const chain of this.#chains.values()) {
      if (chain.vif !== vif) continue;
      found.push({ chain: chain.name, device: chain.device, marks: [...chain.rules.values()] });
    }
    return found;
  }

  elements(vif: string): string[] {
    return [...this.#elements].filter(([, owner]) => owner === vif).map(([element]) => element);
  }

  get router(): string[] {
    return [...this.#router.values()];
  }

  get hasChains(): boolean {
    return this.#chains.size > 0;
  }

  get hasRouter(): boolean {
    return this.#router.size > 0;
  }

  get hasElements(): boolean {
    return this.#elements.size > 0;
  }

  /** The names of the vifs that have something here. */
  owners(): Set<string> {
    return new Set([...[...this.#chains.values()].map(({ vif }) => vif), ...this.#elements.values()]);
  }

  /** Takes one message in and returns the names of the vifs it is about, or {@link everyRouted}. */
  apply(message: NetlinkMessage): string[] {
    if (!isOurs(message)) return [];
    const inet = message.data.readUInt8(0) === family.inet;
    switch (message.type) {
      case nft.delTable:
        return inet ? this.clearRouter() : this.#clearChains();
      case nft.newChain:
      case nft.delChain:
        return inet ? [] : this.#applyChain(message);
      case nft.newRule:
      case nft.delRule:
        return this.#applyRule(message, inet);
      case nft.delSet:
        return inet ? this.#clearSet(attributes(message).get(setName)) : [];
      case nft.newElements:
      case nft.delElements:
        return this.#applyElements(message);
      default:
        return [];
    }
  }

  /** The inet table is gone. */
  clearRouter(): string[] {
    this.#router.clear();
    this.#elements.clear();
    return [everyRouted];
  }

  #applyChain(message: NetlinkMessage): string[] {
    const of = attributes(message);
    const name = text(of.get(chainAttribute.name));
    const owner = parseChainName(name);
    if (owner === undefined) return [];
    if (message.type === nft.delChain) this.#chains.delete(name);
    else {
      const known = this.#chains.get(name);
      const device = deviceOf(of.get(chainAttribute.hook));
      // An update names only the devices that it adds (Linux 6.4 and later).
      if (known) known.device = device || known.device;
      else this.#chains.set(name, { vif: owner.vif, name, device, rules: new Map() });
    }
    return [owner.vif];
  }

  #applyRule(message: NetlinkMessage, inet: boolean): string[] {
    const rule = decodeRule(message);
    const chain = this.#chains.get(rule.chain);
    const rules = inet ? this.#router : chain?.rules;
    if (message.type === nft.newRule)
      rules?.set(rule.handle, inet ? `${rule.chain} ${rule.comment}` : rule.comment);
    else rules?.delete(rule.handle);
    return inet ? [everyRouted] : chain ? [chain.vif] : [];
  }

  #applyElements(message: NetlinkMessage): string[] {
    const of = attributes(message);
    const set = text(of.get(setName));
    // Every rule with a list of its own has a set for it, without a name that means anything.
    if (!(routerSets as readonly string[]).includes(set)) return [];
    const owners = new Set<string>();
    each(of.get(elementList), (element) => {
      const parts = collect(element);
      const index = collect(parts.get(elementAttribute.key) ?? empty)
        .get(1)
        ?.readUInt32LE(0);
      const name = `${set} ${index}`;
      const owner = this.#elements.get(name) ?? comment(parts.get(elementAttribute.userdata));
      if (message.type === nft.newElements) this.#elements.set(name, owner);
      else this.#elements.delete(name);
      owners.add(owner);
    });
    return [...owners];
  }

  #clearSet(name: Buffer | undefined): string[] {
    for (const element of this.#elements.keys()) {
      if (element.startsWith(`${text(name)} `)) this.#elements.delete(element);
    }
    return [everyRouted];
  }

  #clearChains(): string[] {
    const vifs = [...this.#chains.values()].map(({ vif }) => vif);
    this.#chains.clear();
    return vifs;
  }
}

/** What a vif's chain dropped by one rule; undefined for a rule that drops nothing or is none of ours. */
export function decodeDrops(
  message: NetlinkMessage,
): { vif: string; reason: string; packets: bigint } | undefined {
  if (message.type !== nft.newRule || !isOurs(message) || message.data.readUInt8(0) !== family.netdev) return;
  const { chain, comment: mark, expressions } = decodeRule(message);
  const vif = parseChainName(chain)?.vif;
  const reason = reasonOfMark(mark);
  const packets = countedPackets(expressions);
  return vif === undefined || reason === undefined || packets === undefined
    ? undefined
    : { vif, reason, packets };
}

/** The same for a vif's elements in the sets that count: reason by set. */
export function decodeElementDrops(message: NetlinkMessage): { vif: string; set: string; packets: bigint }[] {
  if (message.type !== nft.newElements || !isOurs(message)) return [];
  const of = attributes(message);
  const set = text(of.get(setName));
  const drops: { vif: string; set: string; packets: bigint }[] = [];
  each(of.get(elementList), (element) => {
    const parts = collect(element);
    const packets = countedPackets(parts.get(elementExpression), true);
    if (packets !== undefined)
      drops.push({ vif: comment(parts.get(elementAttribute.userdata)), set, packets });
  });
  return drops;
}
const elementExpression = 7;

function countedPackets(expressions: Buffer | undefined, single = false): bigint | undefined {
  let packets: bigint | undefined;
  const look = (expression: Buffer): void => {
    const parts = collect(expression);
    if (text(parts.get(expressionAttribute.name)) !== 'counter') return;
    packets = collect(parts.get(expressionAttribute.data) ?? empty)
      .get(counterPackets)
      ?.readBigUInt64BE(0);
  };
  if (single && expressions) look(expressions);
  else each(expressions, look);
  return packets;
}

function decodeRule(message: NetlinkMessage): {
  chain: string;
  handle: bigint;
  comment: string;
  expressions: Buffer | undefined;
} {
  const of = attributes(message);
  return {
    chain: text(of.get(ruleAttribute.chain)),
    handle: of.get(ruleAttribute.handle)?.readBigUInt64BE(0) ?? 0n,
    comment: comment(of.get(ruleAttribute.userdata)),
    expressions: of.get(ruleAttribute.expressions),
  };
}

/** `<family> <name>` of the table of ours that a message is about; another's name is of no use. */
export const tableOf = (message: NetlinkMessage): string =>
  `${message.data.readUInt8(0) === family.inet ? 'inet' : 'netdev'} ${text(attributes(message).get(attribute.table))}`;

const isOurs = (message: NetlinkMessage): boolean =>
  message.type >> 8 === subsystem >> 8 &&
  [family.inet, family.netdev].includes(message.data.readUInt8(0)) &&
  text(attributes(message).get(attribute.table)) === tableName;

function deviceOf(hook: Buffer | undefined): string {
  const of = collect(hook ?? empty);
  let device = text(of.get(hookAttribute.device));
  each(of.get(hookAttribute.devices), (name) => {
    device ||= text(name);
  });
  return device;
}

/** The comment in what nft(8) keeps with a rule or an element: type, length and value, a byte each of the former. */
function comment(userdata: Buffer | undefined): string {
  for (let rest = userdata ?? empty; rest.length >= 2; rest = rest.subarray(2 + rest.readUInt8(1))) {
    if (rest.readUInt8(0) === commentType) return text(rest.subarray(2, 2 + rest.readUInt8(1)));
  }
  return '';
}

const attributes = (message: NetlinkMessage): Map<number, Buffer> => collect(message.data.subarray(header));

function collect(data: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  parseAttributes(data, ({ type, data: value }) => found.set(type, value));
  return found;
}

function each(list: Buffer | undefined, visit: (item: Buffer) => void): void {
  if (list) parseAttributes(list, ({ data }) => visit(data));
}

const empty = Buffer.alloc(0);
const text = (value: Buffer | undefined): string => (value ?? empty).toString('utf8').replace(/\0.*$/s, '');
