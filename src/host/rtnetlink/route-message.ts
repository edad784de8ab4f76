import { hostOf, type Network } from '../../model/address.js';
import { ourProtocol, type Route } from '../../model/route.js';
import { localTable, mainTable } from '../../model/routing-rule.js';
import { formatBytes } from '../netlink/address-bytes.js';
import { eachAttribute } from '../netlink/attributes.js';
import { family } from './link-message.js';

// Numbers of linux/rtnetlink.h.
export const rtmRoute = { add: 24, delete: 25, get: 26 };
export const rta = {
  dst: 1,
  oif: 4,
  gateway: 5,
  priority: 6,
  prefsrc: 7,
  multipath: 9,
  table: 15,
  via: 18,
};
/** RTN_UNICAST and RTN_THROW; the others that are in a table refuse. */
export const unicast = 1;
export const throws = 9;

/** A route as the kernel has it, of whichever program. */
export interface KnownRoute extends Route {
  /** Distinguishes routes to one network. */
  readonly key: string;
  readonly table: number;
  /** RTN_*: whether it leads anywhere. */
  readonly type: number;
  readonly gateway: Network | undefined;
  readonly protocol: number;
}

/** Tells routes to one network from each other. */
export const routeKey = (metric: number, device: number, gateway: Network | undefined): string =>
  `${metric} ${device} ${gateway?.address ?? ''}`;

/**
 * The route in a message, one for each of its next hops, with device 0 for one that refuses (unreachable and so on); nothing for
 * one of the local table.
 */
export function decodeRoutes(data: Buffer): KnownRoute[] {
  const version = versionOf(data.readUInt8(0));
  const prefix = data.readUInt8(1);
  const protocol = data.readUInt8(5);
  const routeType = data.readUInt8(7);
  let table = data.readUInt8(4);
  // The kernel makes two of IPv6 there for each device that comes up.
  if (version === undefined || table === localTable) return [];
  let metric = 0;
  let source: string | undefined;
  let address = version === 4 ? '0.0.0.0' : '::';
  let hops: Hop[] = [];
  const single: Hop = { device: 0, gateway: undefined };
  eachAttribute(data, 12, (type, at, length) => {
    const value = (): Buffer => data.subarray(at, at + length);
    if (type === rta.table) table = data.readUInt32LE(at);
    else if (type === rta.dst) address = formatBytes(value());
    else if (type === rta.oif) single.device = data.readInt32LE(at);
    else if (type === rta.multipath) hops = decodeHops(value());
    else if (type === rta.priority) metric = data.readUInt32LE(at);
    else if (type === rta.prefsrc) source = formatBytes(value());
    else if (type === rta.gateway || type === rta.via) single.gateway = gatewayOf(type, value());
  });
  const to: Network = { family: version, address, prefix };
  if (table === localTable) return [];
  const ours = protocol === ourProtocol && routeType === unicast && table === mainTable;
  return (hops.length > 0 ? hops : [single]).map(({ device, gateway }) => ({
    key: routeKey(metric, device, gateway),
    table,
    type: routeType,
    to,
    device,
    metric,
    source,
    ours,
    gateway,
    protocol,
  }));
}

/** Where a route leads next. */
interface Hop {
  device: number;
  gateway: Network | undefined;
}

/** An array of struct rtnexthop, each with its attributes. */
function decodeHops(data: Buffer): Hop[] {
  const hops: Hop[] = [];
  for (let rest = data; rest.length >= 8; ) {
    const length = rest.readUInt16LE(0);
    if (length < 8) break;
    const hop: Hop = { device: rest.readInt32LE(4), gateway: undefined };
    const hopData = rest;
    eachAttribute(
      hopData,
      8,
      (type, at, size) => {
        if (type === rta.gateway || type === rta.via)
          hop.gateway = gatewayOf(type, hopData.subarray(at, at + size));
      },
      length,
    );
    hops.push(hop);
    rest = rest.subarray((length + 3) & ~3);
  }
  return hops;
}

/** A gateway of either family: that of IPv6 for an IPv4 route has its family in front (struct rtvia). */
function gatewayOf(type: number, value: Buffer): Network {
  const bytes = type === rta.via ? value.subarray(2) : value;
  return hostOf({ family: bytes.length === 4 ? 4 : 6, address: formatBytes(bytes) });
}

const versionOf = (number: number): 4 | 6 | undefined =>
  number === family.inet ? 4 : number === family.inet6 ? 6 : undefined;
