import { topologyName } from '../../decide/topology/registry.js';
import { type Link, type ObservedState, vifOfLink } from '../../model/observed.js';
import type { OvsPort } from '../../model/ovs-port.js';
import type { VifPolicy } from '../../model/policy.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { vlanRanges } from '../../model/vlan.js';

/** Two connected nodes; `from` is the one nearer to the outside. */
export interface Edge {
  readonly from: Node;
  readonly to: Node;
  /** The VLANs of the port that joins them, as `ovs-vsctl` or `bridge vlan` prints them; absent for none. */
  readonly vlans?: string;
}

/** An interface, bridge, domain or guest of the graph. */
export interface Node {
  readonly kind: 'uplink' | 'bridge' | 'host' | 'vif' | 'guest';
  readonly name: string;
}

/** How scripts name topologies; by default by the names of the stock scripts. */
type Scripts = Pick<VifPolicy, 'scripts'>;

const stock: Scripts = { scripts: { map: new Map(), directories: [] } };

type Observed = Pick<ObservedState, 'links' | 'openvswitch' | 'ip'>;

const thisDomain: Node = { kind: 'host', name: 'this domain' };

/**
 * The edges between uplinks, bridges, vifs and guests, by the state of the kernel and of Open vSwitch's database. A vif
 * that is up and on no bridge is routed: it is joined to the domain itself, and so are the devices of its default routes.
 */
export function graph(vifs: readonly VifSnapshot[], observed: Observed, scripts: Scripts = stock): Edge[] {
  const attached = vifs.flatMap((vif) => edgesOf(vif, observed, scripts));
  const routes = attached.some(({ from }) => from.kind === 'host');
  return [
    ...uplinks(observed),
    ...openvswitchUplinks(observed),
    ...(routes ? defaultRoutes(observed) : []),
    ...attached,
  ];
}

/** Edges of bridge ports that are not vifs. Ports of Open vSwitch's datapath are left to its database, if that is known. */
function uplinks({ links, openvswitch }: Observed): Edge[] {
  return [...links.all()].flatMap((link): Edge[] => {
    if (link.master === undefined || vifOfLink(link) !== undefined) return [];
    const master = links.byIndex(link.master);
    if (master?.kind === 'openvswitch' && openvswitch?.state === 'known') return [];
    const to = master ? nodeOf(master) : ({ kind: 'bridge', name: `interface ${link.master}` } as const);
    return [{ from: { kind: 'uplink', name: link.name }, to, ...bridgeVlans(link, master) }];
  });
}

/** Edges of Open vSwitch's ports that are neither vifs nor internal ports of bridges. */
function openvswitchUplinks({ links, openvswitch }: Observed): Edge[] {
  return [...(openvswitch?.ports() ?? [])].flatMap((port): Edge[] => {
    const { name, bridge, owner } = port;
    const link = links.byName(name);
    const ofVif = owner !== undefined || vifOfLink(link ?? { name, alias: undefined, parent: undefined });
    if (ofVif || openvswitch?.bridge(name) !== undefined) return [];
    return [{ from: { kind: 'uplink', name }, to: { kind: 'bridge', name: bridge }, ...portVlans(port) }];
  });
}

/** Edges of the devices of default routes. */
function defaultRoutes({ links, openvswitch, ip }: Observed): Edge[] {
  const indexes = new Set(([4, 6] as const).flatMap((version) => ip?.routes.waysOut(version) ?? []));
  return [...indexes].flatMap((index): Edge[] => {
    const link = links.byIndex(index);
    if (link === undefined) return [];
    const isBridge = openvswitch?.bridge(link.name) !== undefined;
    return [{ from: isBridge ? { kind: 'bridge', name: link.name } : nodeOf(link), to: thisDomain }];
  });
}

/** The edges of a vif: to its guest, and from the bridge or domain that it is on. */
function edgesOf(keys: VifSnapshot, { links, openvswitch }: Observed, scripts: Scripts): Edge[] {
  const { id } = keys;
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
  // A port of Open vSwitch's userspace datapath has no master in the kernel: without the database its bridge is unknown.
  const unknown = topologyName(keys, scripts) === 'openvswitch';
  return link?.up === true && !unknown ? [{ from: thisDomain, to: vif }, toGuest] : [toGuest];
}

/** The node of a device that has ports; one that is not a bridge, such as a bond, is an uplink. */
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
