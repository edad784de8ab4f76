import type { Attachment } from '../vif/desired.js';
import { vifName } from '../vif/id.js';
import type { Link, LinkView, ObservedState } from '../vif/observed.js';
import { problem } from '../vif/problem.js';
import type { VifSnapshot } from '../vif/snapshot.js';
import type { Topology } from './topology.js';

/**
 * The numerically largest unicast address. A bridge takes the smallest address of its ports for its own, so this one
 * never becomes the bridge's and then vanishes with a guest.
 */
export const vifMac = 'fe:ff:ff:ff:ff:ff';

/** `vif-bridge`: the vif is a port of a Linux bridge. */
export const bridge: Topology = {
  name: 'bridge',
  attach(snapshot: VifSnapshot, _config, observed: ObservedState): Attachment {
    const { links } = observed;
    const own = vifName(snapshot.id);
    const dependsOn = bridgesLookedAt(snapshot.bridge);
    const master = findBridge(snapshot.bridge, links);
    if (typeof master === 'string') {
      const operation = snapshot.bridge === undefined ? `attach ${own} to` : `attach ${own} to bridge`;
      return { problem: problem(operation, snapshot.bridge ?? 'the first bridge', master), dependsOn };
    }
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: snapshot.mtu ?? inheritedMtu(links.ofVif(snapshot.id), master),
          master: master.name,
          addresses: [],
        },
      },
      dependsOn: [...dependsOn, master.name],
    };
  },
};

/**
 * The bridge the key means, or why there is none. As the stock script has it: an empty key means the first bridge, and
 * a missing `xenbrX` means `ethX` where that is a bridge (the naming of Xen 3 hosts).
 */
function findBridge(key: string | undefined, links: LinkView): Link | string {
  if (key === undefined) {
    const bridges = [...links.all()].filter((link) => link.kind === 'bridge');
    const [first] = bridges.sort((a, b) => a.index - b.index);
    return first ?? 'the bridge key is empty and there is no bridge';
  }
  const named = links.byName(key);
  if (named?.kind === 'bridge') return named;
  if (named !== undefined) return `${key} is not a bridge`;
  const ethernet = key.startsWith('xenbr') ? links.byName(`eth${key.slice('xenbr'.length)}`) : undefined;
  return ethernet?.kind === 'bridge' ? ethernet : 'no such bridge';
}

function bridgesLookedAt(key: string | undefined): string[] {
  if (key === undefined) return ['*'];
  return key.startsWith('xenbr') ? [key, `eth${key.slice('xenbr'.length)}`] : [key];
}

/**
 * Without an `mtu` key a vif takes the bridge's MTU when it joins, and keeps it: a bridge follows the smallest MTU of
 * its ports, so ports that followed the bridge would go down together and never come up again.
 */
function inheritedMtu(netdev: Link | undefined, master: Link): number | undefined {
  return netdev?.master === master.index ? undefined : master.mtu;
}
