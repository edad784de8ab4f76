import { type MemberType, memberTypes, type NamedSet, type SetElement } from '../model/named-set.js';

/** What is read of libnftables-json(5). */
interface JsonSet {
  readonly type?: unknown;
  readonly flags?: string | readonly string[];
  readonly timeout?: number;
  readonly 'auto-merge'?: boolean;
  readonly elem?: readonly JsonElement[];
}
type JsonValue =
  | string
  | { readonly prefix: { readonly addr: string; readonly len: number } }
  | { readonly range: readonly [string, string] };
type JsonElement = JsonValue | { readonly elem: { readonly val: JsonValue; readonly comment?: string } };

/** The set in what `nft -j list set` prints, or why vifs cannot be elements of it. */
export function parseNamedSet(json: string): NamedSet | { readonly reason: string } {
  const { nftables } = JSON.parse(json) as { nftables: readonly { readonly set?: JsonSet }[] };
  const set = nftables.find((one) => one.set !== undefined)?.set;
  if (set === undefined) return { reason: 'no such set' };
  const flags = [set.flags ?? []].flat();
  const type = memberTypes.find((one) => one === typeOf(set.type));
  const unfit =
    type === undefined
      ? `its elements are of another type than ${memberTypes.join(', ')}`
      : set.timeout !== undefined
        ? 'its elements end by a timeout'
        : set['auto-merge']
          ? 'it has auto-merge, by which elements are lost in others'
          : flags.includes('constant')
            ? 'it is constant'
            : undefined;
  if (type === undefined || unfit !== undefined) return { reason: `${unfit}; make another set for vifs` };
  return { type, intervals: flags.includes('interval'), elements: (set.elem ?? []).map(elementOf) };
}

/** A type by its name, or since nft 1.1.3 by the expression of `typeof`. */
function typeOf(type: unknown): unknown {
  const { typeof: of } = (type ?? {}) as {
    typeof?: { meta?: { key?: string }; payload?: { protocol?: string; field?: string } };
  };
  if (of?.meta?.key === 'iifname' || of?.meta?.key === 'oifname') return 'ifname' satisfies MemberType;
  if (of?.payload?.field !== 'saddr' && of?.payload?.field !== 'daddr') return type;
  return { ether: 'ether_addr', ip: 'ipv4_addr', ip6: 'ipv6_addr' }[of.payload.protocol ?? ''];
}

function elementOf(element: JsonElement): SetElement {
  if (typeof element === 'string' || !('elem' in element)) return { value: printValue(element) };
  const { val, comment } = element.elem;
  const owner = /^vifd (vif\d+\.\d+)$/.exec(comment ?? '')?.[1];
  return { value: printValue(val), ...(owner === undefined ? {} : { owner }) };
}

function printValue(value: JsonValue): string {
  if (typeof value === 'string') return value;
  if ('prefix' in value) return `${value.prefix.addr}/${value.prefix.len}`;
  return 'range' in value ? value.range.join('-') : JSON.stringify(value);
}
