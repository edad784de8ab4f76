import {
  type BridgePort,
  newPortFlagNames,
  newPortFlags,
  type PortFlags,
  type PortSwitches,
} from '../../model/bridge-port.js';
import { type PortVlan, vlanRanges } from '../../model/vlan.js';
import { eachAttribute } from '../netlink/attributes.js';
import { type NetlinkMessage, putU32 } from '../netlink/format.js';

// Numbers of linux/if_link.h, linux/if_bridge.h and linux/rtnetlink.h for ports of bridges; the kernel handles them in
// net/bridge/br_netlink.c.
export const familyBridge = 7;
const ifla = { master: 10, protinfo: 12, afSpec: 26, extMask: 29 };
/** IFLA_BRPORT_STATE, and its values for a port that does not forward (linux/if_bridge.h). */
const brportState = 1;
const waiting = { 0: 'disabled', 1: 'listening', 2: 'learning', 4: 'blocking' } as const;
const brportLocked = 39;
/** IFF_RUNNING. Every port without a carrier is disabled, by the kernel. */
export const iffRunning = 0x40;
const brport = {
  hairpin: 4,
  bpduGuard: 5,
  rootBlock: 6,
  fastLeave: 7,
  learning: 8,
  unicastFlood: 9,
  multicastFlood: 27,
  multicastToUnicast: 28,
  broadcastFlood: 30,
  neighborSuppress: 32,
  isolated: 33,
} as const satisfies Record<keyof PortFlags, number>;
const flush = 24;
const vlanInfo = 2;
const flag = { pvid: 2, untagged: 4, rangeBegin: 8, rangeEnd: 16 };
const filterVlanCompressed = 4;
/** NLA_F_NESTED. Without it the kernel takes IFLA_PROTINFO for a port state of one byte (br_setlink). */
const nested = 0x8000;
const infoHeader = 16;

/** The header of a dump of every port of every bridge, with its VLANs. */
export function portDump(): Buffer {
  const header = Buffer.alloc(infoHeader);
  header.writeUInt8(familyBridge, 0);
  return Buffer.concat([header, attribute(ifla.extMask, putU32(filterVlanCompressed))]);
}

/** The header of a request about one port. */
export function portHeader(index: number): Buffer {
  const header = Buffer.alloc(infoHeader);
  header.writeUInt8(familyBridge, 0);
  header.writeInt32LE(index, 4);
  return header;
}

/** Decodes an AF_BRIDGE RTM_NEWLINK; undefined for a bridge's message about itself, which has itself as master. */
export function decodePort({ data }: Pick<NetlinkMessage, 'data'>): BridgePort | undefined {
  const index = data.readInt32LE(4);
  let master: number | undefined;
  let vlans: PortVlan[] = [];
  /** The values of the attributes of one byte, by number. */
  const bytes: (number | undefined)[] = [];
  eachAttribute(data, infoHeader, (type, at, length) => {
    if (type === ifla.master) master = data.readUInt32LE(at);
    else if (type === ifla.afSpec) vlans = decodeVlans(data.subarray(at, at + length));
    // One byte is the port's state alone.
    else if (type === ifla.protinfo && length > 1) {
      const read = (number: number, place: number, size: number): void => {
        if (size === 1) bytes[number] = data[place];
      };
      eachAttribute(data, at, read, at + length);
    }
  });
  if (master === undefined || master === index) return undefined;
  const told = waiting[bytes[brportState] as keyof typeof waiting];
  const state = told === 'disabled' && (data.readUInt32LE(8) & iffRunning) === 0 ? undefined : told;
  const multicastFlood = bytes[brport.multicastFlood] !== 0;
  const broadcastFlood = bytes[brport.broadcastFlood] !== 0;
  const isDeaf = bytes[brport.learning] === 0 && bytes[brport.unicastFlood] === 0;
  const silent = !multicastFlood && !broadcastFlood && isDeaf;
  const changed = newPortFlagNames.filter((name) => {
    const value = bytes[brport[name]];
    return value !== undefined && (value !== 0) !== newPortFlags[name] && !(silent && newPortFlags[name]);
  });
  return {
    isolated: (bytes[brport.isolated] ?? 0) !== 0,
    multicastFlood,
    broadcastFlood,
    vlans,
    ...Object.fromEntries(changed.map((name) => [name, !newPortFlags[name]])),
    ...(silent && { silent }),
    ...(state !== undefined && { waiting: state }),
    ...(bytes[brportLocked] === 1 && { locked: true }),
  };
}

function decodeVlans(spec: Buffer): PortVlan[] {
  const vlans: PortVlan[] = [];
  let begin: number | undefined;
  eachAttribute(spec, 0, (type, at) => {
    if (type !== vlanInfo) return;
    const flags = spec.readUInt16LE(at);
    const last = spec.readUInt16LE(at + 2);
    if (flags & flag.rangeBegin) {
      begin = last;
      return;
    }
    const first = flags & flag.rangeEnd ? (begin ?? last) : last;
    begin = undefined;
    for (let vid = first; vid <= last; vid++) {
      vlans.push({ vid, pvid: (flags & flag.pvid) !== 0, untagged: (flags & flag.untagged) !== 0 });
    }
  });
  return vlans.sort((a, b) => a.vid - b.vid);
}

/** IFLA_PROTINFO with these flags, for an AF_BRIDGE RTM_SETLINK. */
export function encodeFlags({ silent, ...flags }: PortSwitches): Buffer {
  const flag = (number: number, on: boolean) => attribute(number, Buffer.from([on ? 1 : 0]));
  const parts = Object.entries(flags).map(([name, on]) => flag(brport[name as keyof PortFlags], on));
  if (silent !== undefined) {
    // It learns no address either, and is sent no unicast to unknown ones.
    for (const name of ['learning', 'unicastFlood'] as const)
      if (flags[name] === undefined) parts.push(flag(brport[name], !silent));
  }
  // What the bridge has learned at it would lead there for minutes.
  if (silent) parts.push(attribute(flush, Buffer.alloc(0)));
  return attribute(ifla.protinfo | nested, Buffer.concat(parts));
}

/** IFLA_AF_SPEC with these VLANs, for an AF_BRIDGE RTM_SETLINK or RTM_DELLINK. */
export function encodeVlans(vlans: readonly PortVlan[]): Buffer {
  const parts = vlanRanges(vlans).flatMap(({ first, last, pvid, untagged }) => {
    const flags = (pvid ? flag.pvid : 0) | (untagged ? flag.untagged : 0);
    return first === last
      ? [vlan(flags, first)]
      : [vlan(flags | flag.rangeBegin, first), vlan(flags | flag.rangeEnd, last)];
  });
  return attribute(ifla.afSpec, Buffer.concat(parts));
}

function vlan(flags: number, vid: number): Buffer {
  const info = Buffer.alloc(4);
  info.writeUInt16LE(flags, 0);
  info.writeUInt16LE(vid, 2);
  return attribute(vlanInfo, info);
}

/** An attribute with its padding. The library's own writer would strip NLA_F_NESTED off the type. */
function attribute(type: number, value: Buffer): Buffer {
  const padded = Buffer.alloc(4 + ((value.length + 3) & ~3));
  padded.writeUInt16LE(4 + value.length, 0);
  padded.writeUInt16LE(type, 2);
  value.copy(padded, 4);
  return padded;
}
