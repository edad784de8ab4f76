import { formatIpv4, formatIpv6, type Network } from '../../model/address.js';
import type { BridgePort } from '../../model/bridge-port.js';
import type { RefusedMtu } from '../../model/observed.js';
import { eachAttribute } from '../netlink/attributes.js';

// Numbers of linux/rtnetlink.h, linux/if_link.h and linux/if_addr.h for links and addresses. Integers are in the host's
// byte order, which is little-endian on all machines that Xen supports.
export const rtm = {
  newLink: 16,
  delLink: 17,
  getLink: 18,
  setLink: 19,
  newAddr: 20,
  delAddr: 21,
  getAddr: 22,
  newQdisc: 36,
  delQdisc: 37,
  getQdisc: 38,
};
export const ifla = {
  address: 1,
  ifname: 3,
  mtu: 4,
  master: 10,
  txqueuelen: 13,
  linkinfo: 18,
  ifalias: 20,
  group: 27,
  carrier: 33,
  parentDevName: 56,
};
export const ifa = { address: 1, local: 2 };
export const family = { unspec: 0, inet: 2, inet6: 10 };
export const familyOf = (network: Pick<Network, 'family'>): number =>
  network.family === 4 ? family.inet : family.inet6;
export const iffUp = 1;
export const iffNoarp = 0x80;
const info = { kind: 1, data: 2 };
/** Attributes in a bridge's IFLA_INFO_DATA. */
const br = { forwardDelay: 1, stpState: 5, vlanFiltering: 7, callIptables: 36, vlanDefaultPvid: 39 };

/** The link in a RTM_NEWLINK, but for what is told by other messages, and whether it has a carrier. */
export function decodeLink(data: Buffer) {
  const index = data.readInt32LE(4);
  const link = {
    index,
    name: '',
    alias: undefined as string | undefined,
    parent: undefined as string | undefined,
    kind: undefined as string | undefined,
    mac: '',
    mtu: 0,
    mtuRefused: undefined as RefusedMtu | undefined,
    up: (data.readUInt32LE(8) & iffUp) !== 0,
    arp: data.readUInt32LE(8) & iffNoarp ? false : undefined,
    master: undefined as number | undefined,
    addresses: [] as readonly Network[],
    port: undefined as BridgePort | undefined,
    txqueuelen: undefined as number | undefined,
    group: undefined as number | undefined,
    vlanFiltering: undefined as boolean | undefined,
    vlanDefaultPvid: undefined as number | undefined,
    ingressQdisc: undefined as string | undefined,
    forwardDelay: undefined as number | undefined,
    callsFirewall: undefined as boolean | undefined,
  };
  let carrier = false;
  let delay = 0;
  const text = (at: number, length: number): string => textAt(data, at, length);
  const readBridge = (type: number, at: number): void => {
    if (type === br.vlanFiltering) link.vlanFiltering = data[at] !== 0;
    else if (type === br.forwardDelay) delay = data.readUInt32LE(at) / 100;
    // The delay comes first (br_fill_info).
    else if (type === br.stpState && data.readUInt32LE(at) !== 0) link.forwardDelay = delay;
    else if (type === br.callIptables && data[at] !== 0) link.callsFirewall = true;
    else if (type === br.vlanDefaultPvid) link.vlanDefaultPvid = data.readUInt16LE(at);
  };
  const readInfo = (type: number, at: number, length: number): void => {
    if (type === info.kind) link.kind = text(at, length);
    // The kind comes first (rtnl_link_info_fill); the numbers depend on it.
    else if (type === info.data && link.kind === 'bridge') eachAttribute(data, at, readBridge, at + length);
  };
  eachAttribute(data, 16, (type, at, length) => {
    if (type === ifla.ifname) link.name = text(at, length);
    else if (type === ifla.address)
      link.mac = data.toString('hex', at, at + length).replace(/(..)(?=.)/g, '$1:');
    else if (type === ifla.mtu) link.mtu = data.readUInt32LE(at);
    else if (type === ifla.master) link.master = data.readUInt32LE(at) || undefined;
    else if (type === ifla.ifalias) link.alias = text(at, length);
    else if (type === ifla.parentDevName) link.parent = text(at, length);
    else if (type === ifla.carrier) carrier = data[at] !== 0;
    else if (type === ifla.group) link.group = data.readUInt32LE(at);
    else if (type === ifla.txqueuelen) link.txqueuelen = data.readUInt32LE(at);
    else if (type === ifla.linkinfo) eachAttribute(data, at, readInfo, at + length);
  });
  return { link, carrier };
}

/** The device and the address in a RTM_NEWADDR or RTM_DELADDR; undefined where it has none. */
export function decodeAddress(data: Buffer): { index: number; network: Network } | undefined {
  const isV4 = data.readUInt8(0) === family.inet;
  let bytes: Buffer | undefined;
  eachAttribute(data, 8, (type, at, length) => {
    // For a point-to-point device IFA_ADDRESS is the peer's and IFA_LOCAL its own; IPv6 has only the former.
    if (type === ifa.local || (type === ifa.address && bytes === undefined))
      bytes = data.subarray(at, at + length);
  });
  if (bytes === undefined) return undefined;
  const value = BigInt(`0x${bytes.toString('hex')}`);
  const network: Network = {
    family: isV4 ? 4 : 6,
    address: isV4 ? formatIpv4(value) : formatIpv6(value),
    prefix: data.readUInt8(1),
  };
  return { index: data.readUInt32LE(4), network };
}

/** TC_H_INGRESS, the parent of a device's one qdisc for what comes in, and TCA_KIND (linux/pkt_sched.h, linux/rtnetlink.h). */
const [ingress, tcaKind] = [0xfffffff1, 1];

/** The device and the kind of the qdisc at its ingress in a RTM_NEWQDISC or RTM_DELQDISC; undefined for any other qdisc. */
export function decodeIngressQdisc(data: Buffer): { index: number; kind: string } | undefined {
  if (data.readUInt32LE(12) !== ingress) return undefined;
  let kind = '';
  eachAttribute(data, 20, (type, at, length) => {
    if (type === tcaKind) kind = textAt(data, at, length);
  });
  return { index: data.readInt32LE(4), kind };
}

/** A string up to its first NUL. */
function textAt(data: Buffer, at: number, length: number): string {
  const end = data.indexOf(0, at);
  return data.toString('utf8', at, end < 0 || end > at + length ? at + length : end);
}
