import { ethernet, etherTypes, vlanTag } from './frames.js';

/** Bytes of an LLC header and what follows, to the length of the shortest frame. @param head its beginning, in hex */
export const llc = (head: string): Buffer => Buffer.from(head.padEnd(76, '0'), 'hex');

/** Spanning tree, LLDP in and without a tag, LACP, CDP and PVST+, from this MAC. */
export function controlFrames(from: string): Buffer[] {
  const lldp = llc('0207040016');
  return [
    ethernet('01:80:c2:00:00:00', from, 38, llc('424203')),
    ethernet('01:80:c2:00:00:0e', from, 0x88cc, lldp),
    ethernet('01:80:c2:00:00:03', from, 0x88cc, lldp),
    ethernet('01:80:c2:00:00:0e', from, etherTypes.vlan, vlanTag(5, 0x88cc, lldp)),
    ethernet('01:80:c2:00:00:0f', from, 0x8809, lldp),
    ethernet('01:00:0c:cc:cc:cc', from, 38, llc('aaaa0300000c2000')),
    ethernet('01:00:0c:cc:cc:cd', from, 38, llc('aaaa0300000c010b')),
  ];
}

/** A broadcast frame of no control protocol, which passes after these. */
export const harmlessFrame = (from: string): Buffer =>
  ethernet('ff:ff:ff:ff:ff:ff', from, 0x88b5, Buffer.alloc(46));
