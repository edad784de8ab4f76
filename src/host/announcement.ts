import type { Packet } from 'node-netlink';
import type { Network } from '../model/address.js';
import { addressBytes } from './netlink/address-bytes.js';

/** Tells all neighbours that a MAC address has an address of either family. */
export const announcement = (address: Network, mac: string): Packet => {
  const hardware = Buffer.from(mac.replaceAll(':', ''), 'hex');
  return address.family === 4 ? gratuitousArp(address, hardware) : unsolicitedNa(address, hardware);
};

/** The announcement of RFC 5227: a request for the address by itself, which each host that has an entry takes in. */
const gratuitousArp = (address: Network, mac: Buffer): Packet => {
  const ip = addressBytes(address);
  // Ethernet, IPv4, their lengths, a request; sender and target.
  const head = Buffer.from([0, 1, 8, 0, 6, 4, 0, 1]);
  return {
    protocol: 0x0806,
    to: Buffer.alloc(6, 0xff),
    data: Buffer.concat([head, mac, ip, Buffer.alloc(6), ip]),
  };
};

const allNodes = Buffer.from('ff020000000000000000000000000001', 'hex');
const icmpv6 = 58;
const neighbourAdvertisement = 136;
/** "Router", as the kernel's own answers for a proxy entry have it where it forwards, and "override". */
const flags = 0xa0;
const targetLinkLayerAddress = 2;

/** The unsolicited advertisement of RFC 4861, 7.2.6, from the address itself as its guest would send it. */
function unsolicitedNa(address: Network, mac: Buffer): Packet {
  const ip = addressBytes(address);
  const option = Buffer.concat([Buffer.from([targetLinkLayerAddress, 1]), mac]);
  const message = Buffer.concat([Buffer.from([neighbourAdvertisement, 0, 0, 0, flags, 0, 0, 0]), ip, option]);
  const length = Buffer.from([0, 0, 0, message.length]);
  const pseudo = Buffer.concat([ip, allNodes, length, Buffer.from([0, 0, 0, icmpv6])]);
  message.writeUInt16BE(checksum(Buffer.concat([pseudo, message])), 2);
  const header = Buffer.from([0x60, 0, 0, 0, 0, message.length, icmpv6, 255]);
  return {
    protocol: 0x86dd,
    to: Buffer.from('333300000001', 'hex'),
    data: Buffer.concat([header, ip, allNodes, message]),
  };
}

/** The Internet checksum of an even number of bytes. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
