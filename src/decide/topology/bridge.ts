import { newPortFlagNames, type PortFlags } from '../../model/bridge-port.js';
import { type Dependency, netdev } from '../../model/dependency.js';
import { type Link, type LinkView, type ObservedState, vifOfLink } from '../../model/observed.js';
import { problem } from '../../model/operation-error.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { filterFor, protectedBy } from '../antispoof.js';
import { isPreferred, standby, twinsOf } from '../twins.js';
import type { Attachment, Topology } from './topology.js';

/**
 * The numerically largest unicast address. A bridge takes the smallest address of its ports for its own, so this one
 * never becomes the bridge's and then vanishes with a guest.
 */
export const vifMac = 'fe:ff:ff:ff:ff:ff';

/** `vif-bridge`: the vif is a port of a Linux bridge. */
export const bridge: Topology = {
  name: 'bridge',
  attach(snapshot: VifSnapshot, config, observed: ObservedState): Attachment {
    const { links } = observed;
    const own = vifName(snapshot.id);
    const dependsOn = bridgesLookedAt(snapshot.bridge);
    const master = findBridge(snapshot.bridge, observed);
    if ('reason' in master) {
      const operation = snapshot.bridge === undefined ? `attach ${own} to` : `attach ${own} to bridge`;
      return {
        problem: problem(master.code, operation, snapshot.bridge ?? 'the first bridge', master.reason),
        dependsOn,
      };
    }
    dependsOn.push(netdev(master.name));
    const { vlans } = snapshot;
    if (vlans !== undefined && master.vlanFiltering !== true) {
      // Never untagged instead: the guest would see, and be seen by, all guests on the bridge.
      const reason = `it does not filter VLANs, and the vif has the vlan key; run: ip link set dev ${master.name} type bridge vlan_filtering 1`;
      return { problem: problem('bridge-unfit', `attach ${own} to bridge`, master.name, reason), dependsOn };
    }
    const link = links.ofVif(snapshot.id);
    const twins = twinsOf(snapshot, links);
    const silent = !isPreferred(link, twins, ({ port }) => port?.silent !== true);
    dependsOn.push(...twins.dependsOn);
    const mtu = snapshot.mtu ?? (config.bridge.mtu === 'uplink' ? uplinkMtu(master, links) : undefined);
    if (config.bridge.mtu === 'uplink') dependsOn.push({ kind: 'ports-of', bridge: master.name });
    const filtered = filterFor(snapshot, config, {
      topology: 'bridge',
      bridge: master.name,
      tagged: vlans?.some(({ untagged }) => !untagged) ?? false,
      ...protectedBy(config.bridge),
    });
    if ('problem' in filtered) return { ...filtered, dependsOn };
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: mtu ?? inheritedMtu(link, master),
          master: master.name,
          addresses: [],
          port: { silent, ...flagsOf(config.bridge), ...(vlans === undefined ? {} : { vlans }) },
        },
        ...filtered,
        ...standby(snapshot, silent),
      },
      dependsOn,
    };
  },
};

/** The switches that `[bridge]` gives to each port. */
const flagsOf = (bridge: VifPolicy['bridge']): PortFlags =>
  Object.fromEntries(
    newPortFlagNames.flatMap((name) => (bridge[name] === undefined ? [] : [[name, bridge[name]]])),
  );

/**
 * The bridge the key means, or why there is none. An empty key means the oldest bridge, where the stock script takes
 * whichever is listed first; a missing `xenbrX` means `ethX` where that is a bridge (the naming of Xen 3 hosts), as there.
 */
function findBridge(
  key: string | undefined,
  observed: ObservedState,
): Link | { readonly code: 'bridge-missing' | 'bridge-unfit'; readonly reason: string } {
  const { links } = observed;
  if (key === undefined) {
    const bridges = [...links.all()].filter((link) => link.kind === 'bridge');
    const [first] = bridges.sort((a, b) => a.index - b.index);
    return first ?? { code: 'bridge-missing', reason: 'the bridge key is empty and there is no bridge' };
  }
  const named = links.byName(key);
  if (named?.kind === 'bridge') return named;
  if (named !== undefined)
    return { code: 'bridge-unfit', reason: `${key} is not a bridge${bridgesThere(observed)}` };
  const ethernet = key.startsWith('xenbr') ? links.byName(`eth${key.slice('xenbr'.length)}`) : undefined;
  if (ethernet?.kind === 'bridge') return ethernet;
  return { code: 'bridge-missing', reason: `no such bridge${bridgesThere(observed)}` };
}

/** The bridges of both kinds that there are, to follow an error about one that there is not; empty where there are none. */
export function bridgesThere({ links, openvswitch }: ObservedState): string {
  const linux = [...links.all()].filter(({ kind }) => kind === 'bridge').map(({ name }) => name);
  const ovs = openvswitch?.state === 'known' ? [...openvswitch.bridges()].map(({ name }) => name) : [];
  const named = [
    ...(linux.length > 0 ? [`; the bridges here are ${linux.sort().join(', ')}`] : []),
    ...(ovs.length > 0 ? [`; those of Open vSwitch are ${ovs.sort().join(', ')} (vif-openvswitch)`] : []),
  ];
  return named.join('');
}

/** The devices that {@link findBridge} looks at. */
function bridgesLookedAt(key: string | undefined): Dependency[] {
  if (key === undefined) return [{ kind: 'any-netdev' }];
  return [netdev(key), ...(key.startsWith('xenbr') ? [netdev(`eth${key.slice('xenbr'.length)}`)] : [])];
}

/**
 * Without an `mtu` key a vif takes the bridge's MTU when it joins, and keeps it: a bridge follows the smallest MTU of
 * its ports, so ports that followed the bridge would go down together and never come up again. One below the bridge's
 * is raised to it, as after its key was removed: a bridge with such a port follows none.
 */
function inheritedMtu(netdev: Link | undefined, master: Link): number | undefined {
  if (netdev?.master !== master.index || netdev.mtuRefused?.mtu === master.mtu) return master.mtu;
  return netdev.mtu < master.mtu ? master.mtu : undefined;
}

/** The MTU of the bridge's way out: of its ports that are no vifs the one that was there first. */
function uplinkMtu(master: Link, links: LinkView): number | undefined {
  const ports = [...links.all()].filter((link) => link.master === master.index && !vifOfLink(link));
  return ports.sort((a, b) => a.index - b.index)[0]?.mtu;
}
