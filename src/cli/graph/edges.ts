import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import type { OvsPort } from '../../model/ovs-port.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { vlanRanges } from '../../model/vlan.js';

/** Two things that are joined, from the outside in, each named and shaped by what it is. */
export interface Edge {
  readonly from: Node;
  readonly to: Node;
  /** The VLANs of the port that joins them, as `ovs-vsctl` or `bridge vlan` would say it; absent for none. */
  readonly vlans?: string;
}

export interface Node {
  readonly kind: 'uplink' | 'bridge' | 'host' | 'vif' | 'guest';
  readonly name: string;
}

type Observed = Pick<ObservedState, 'links' | 'openvswitch' | 'ip'>;

const thisDomain: Node = { kind: 'host', name: 'this domain' };

/**
 * What is joined to what, as the kernel and Open vSwitch's database have it. A vif that is on no bridge is joined to the
 * domain itself, which routes for it, and so is the way out it routes to.
 */
export function graph(vifs: readonly VifSnapshot[], observed: Observed): Edge[] {
  const attached = vifs.flatMap((vif) => edgesOf(vif, observed));
  const routes = attached.some(({ from }) => from.kind === 'host');
  return [
    ...uplinks(observed),
    ...openvswitchUplinks(observed),
    ...(routes ? waysOut(observed) : []),
    ...attached,
  ];
}

/** Ports that are no vifs. Those of Open vSwitch's datapath are in its database, with their bridges. */
function uplinks({ links, openvswitch }: Observed): Edge[] {
  return [...links.all()].flatMap((link): Edge[] => {
    if (link.master === undefined || vifOfLink(link) !== undefined) return [];
    const master = links.byIndex(link.master);
    if (master?.kind === 'openvswitch' && openvswitch?.state === 'known') return [];
    const to = master ? nodeOf(master) : ({ kind: 'bridge', name: `interface ${link.master}` } as const);
    return [{ from: { kind: 'uplink', name: link.name }, to, ...bridgeVlans(link, master) }];
  });
}

/** The same of Open vSwitch: every port but vifs and the bridges' own. */
function openvswitchUplinks({ links, openvswitch }: Observed): Edge[] {
  return [...(openvswitch?.ports() ?? [])].flatMap((port): Edge[] => {
    const { name, bridge, owner } = port;
    const link = links.byName(name);
    const ofVif = owner !== undefined || vifOfLink(link ?? { name, alias: undefined, parent: undefined });
    if (ofVif || openvswitch?.bridge(name) !== undefined) return [];
    return [{ from: { kind: 'uplink', name }, to: { kind: 'bridge', name: bridge }, ...portVlans(port) }];
  });
}

/** The devices that default routes lead through. */
function waysOut({ links, openvswitch, ip }: Observed): Edge[] {
  const indexes = new Set(([4, 6] as const).map((version) => ip?.routes.defaultDevice(version)));
  return [...indexes].flatMap((index): Edge[] => {
    const link = index === undefined ? undefined : links.byIndex(index);
    if (link === undefined) return [];
    const isBridge = openvswitch?.bridge(link.name) !== undefined;
    return [{ from: isBridge ? { kind: 'bridge', name: link.name } : nodeOf(link), to: thisDomain }];
  });
}

/** A vif, its guest, and what it is on. */
function edgesOf({ id, script }: VifSnapshot, { links, openvswitch }: Observed): Edge[] {
  const vif: Node = { kind: 'vif', name: vifName(id) };
  const toGuest: Edge = { from: vif, to: { kind: 'guest', name: `domain ${id.domid}` } };
  const link = links.ofVif(id);
  const port = openvswitch?.port(link?.name ?? vif.name);
  if (port !== undefined) {
    return [{ from: { kind: 'bridge', name: port.bridge }, to: vif, ...portVlans(port) }, toGuest];
  }
  const master = links.byIndex(link?.master ?? 0);
  if (link !== undefined && master !== undefined) {
    return [{ from: nodeOf(master), to: vif, ...bridgeVlans(link, master) }, toGuest];
  }
  // Its userspace datapath leaves no trace in the kernel: without the database nothing is known.
  const unknown = script?.endsWith('/vif-openvswitch') === true;
  return link?.up === true && !unknown ? [{ from: thisDomain, to: vif }, toGuest] : [toGuest];
}

/** A device that others are ports of: a bond, say, is on the way out itself. */
const nodeOf = ({ name, kind }: Link): Node => ({
  kind: kind === 'bridge' || kind === 'openvswitch' ? 'bridge' : 'uplink',
  name,
});

function bridgeVlans({ port }: Link, master: Link | undefined): Pick<Edge, 'vlans'> {
  if (master?.vlanFiltering !== true || port === undefined) return {};
  const words = vlanRanges(port.vlans).map(({ first, last, pvid, untagged }) =>
    [first === last ? first : `${first}-${last}`, pvid ? 'PVID' : '', untagged ? 'untagged' : '']
      .filter(Boolean)
      .join(' '),
  );
  return { vlans: words.length === 0 ? 'no VLAN' : `VLAN ${words.join(', ')}` };
}

function portVlans({ tag, trunks }: OvsPort): Pick<Edge, 'vlans'> {
  const words = [
    ...(tag === undefined ? [] : [`tag=${tag}`]),
    ...(trunks.length === 0 ? [] : [`trunks=${trunks.join(',')}`]),
  ];
  return words.length === 0 ? {} : { vlans: words.join(' ') };
}
