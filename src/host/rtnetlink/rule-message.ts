import type { Network } from '../../model/address.js';
import type { RoutingRule, RuleAction } from '../../model/routing-rule.js';
import { formatBytes } from '../netlink/address-bytes.js';
import { eachAttribute } from '../netlink/attributes.js';
import { family } from './link-message.js';

// Numbers of linux/fib_rules.h and linux/rtnetlink.h.
export const rtmRule = { add: 32, delete: 33, get: 34 };
const fra = {
  dst: 1,
  src: 2,
  iif: 3,
  goto: 4,
  priority: 6,
  mark: 10,
  suppressPrefix: 14,
  table: 15,
  mask: 16,
  protocol: 21,
};
/** FRA_UNUSED*, FRA_FLOW (a realm), FRA_PAD, FRA_PROTOCOL and what is read besides: they ask nothing of a packet, or what is understood. */
const understood: ReadonlySet<number> = new Set([0, 5, 7, 8, 9, 11, 18, ...Object.values(fra)]);
const inverted = 0x02;
const header = 12;

/** The rule in a message; undefined for one of another family, such as multicast routing's. */
export function decodeRule(data: Buffer): RoutingRule | undefined {
  const [number, toLength, fromLength, tos] = data.subarray(0, 4) as unknown as [
    number,
    number,
    number,
    number,
  ];
  const version = number === family.inet ? 4 : number === family.inet6 ? 6 : undefined;
  if (version === undefined) return undefined;
  const any = version === 4 ? '0.0.0.0' : '::';
  const lookup = { table: data.readUInt8(4), longerThan: -1 };
  let [from, to] = [any, any];
  let [pref, target, mark, mask] = [0, 0, 0, 0];
  let iif: string | undefined;
  let asksMore = tos !== 0;
  eachAttribute(data, header, (type, at, length) => {
    const value = (): Buffer => data.subarray(at, at + length);
    if (type === fra.dst) to = formatBytes(value());
    else if (type === fra.src) from = formatBytes(value());
    else if (type === fra.iif) iif = value().toString().replace(/\0.*$/, '');
    else if (type === fra.goto) target = data.readUInt32LE(at);
    else if (type === fra.priority) pref = data.readUInt32LE(at);
    else if (type === fra.mark) mark = data.readUInt32LE(at);
    else if (type === fra.mask) mask = data.readUInt32LE(at);
    else if (type === fra.suppressPrefix) lookup.longerThan = data.readInt32LE(at);
    else if (type === fra.table) lookup.table = data.readUInt32LE(at);
    else if (!understood.has(type)) asksMore = true;
  });
  const networkOf = (address: string, prefix: number): Network | undefined =>
    prefix === 0 ? undefined : { family: version, address, prefix };
  return {
    family: version,
    pref,
    does: actionOf(data.readUInt8(7), lookup, target),
    inverted: (data.readUInt32LE(8) & inverted) !== 0,
    iif,
    from: networkOf(from, fromLength),
    to: networkOf(to, toLength),
    mark: mask === 0 ? undefined : { value: mark, mask },
    asksMore,
  };
}

/** FR_ACT_*: those that are not of these, the kernel refuses. */
function actionOf(
  action: number,
  lookup: { readonly table: number; readonly longerThan: number },
  target: number,
): RuleAction {
  if (action === 1) return { kind: 'look-up', ...lookup };
  if (action === 2) return { kind: 'goto', pref: target };
  return { kind: action === 3 ? 'nothing' : 'refuse' };
}
