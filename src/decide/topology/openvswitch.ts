import { type Dependency, netdev } from '../../model/dependency.js';
import type { Attached } from '../../model/desired.js';
import type { ErrorCode } from '../../model/error-codes.js';
import { type FilterSpec, holds } from '../../model/filter.js';
import { isParted } from '../../model/group.js';
import { ifaceIdOf } from '../../model/iface-id.js';
import { noIp } from '../../model/ip.js';
import type { Link, ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import { type DesiredOvsPort, isOwnPort, type OvsBridge } from '../../model/ovs-port.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { type VifId, vifName } from '../../model/vif-id.js';
import type { PortVlan } from '../../model/vlan.js';
import { filterFor, protectedBy } from '../antispoof.js';
import { isPreferred, standby, twinsOf } from '../twins.js';
import { bridgesThere, vifMac } from './bridge.js';
import type { Attachment, Topology } from './topology.js';

/** What the `bridge` key asks of Open vSwitch. */
export interface OvsBridgeKey {
  readonly bridge: string;
  readonly tag: number | undefined;
  /** Ascending, without duplicates. */
  readonly trunks: readonly number[];
}

/** `vif-openvswitch`: the vif is a port of an Open vSwitch bridge. */
export const openvswitch: Topology = {
  name: 'openvswitch',
  wantsGuest: true,
  attach(snapshot: VifSnapshot, config, observed: ObservedState, attached: Attached | undefined): Attachment {
    const { id } = snapshot;
    const own = vifName(id);
    const name = snapshot.vifname ?? own;
    const operation = `attach ${own} to Open vSwitch bridge`;
    const key = parseOvsBridge(snapshot.bridge ?? '');
    if (typeof key === 'string') {
      return {
        problem: problem('key-malformed', operation, snapshot.bridge ?? '""', key),
        dependsOn: [{ kind: 'openvswitch' }],
      };
    }
    const dependsOn: Dependency[] = [{ kind: 'openvswitch' }, netdev(key.bridge)];
    const asked = snapshot.vlans === undefined ? key : withVlans(key, snapshot.vlans);
    if (typeof asked === 'string') {
      return { problem: problem('vlan-unusable', operation, snapshot.bridge ?? '', asked), dependsOn };
    }
    const refuse = (code: ErrorCode, reason: string): Attachment => ({
      problem: problem(code, operation, key.bridge, reason),
      dependsOn,
    });
    if (snapshot.mac === undefined) return refuse('key-missing', 'the mac key is missing');

    const known = ifaceIdOf(config.openvswitch.ifaceId, snapshot);
    if ('lacks' in known)
      return refuse(
        'key-missing',
        `the ${known.lacks} key is missing, of which [openvswitch] iface_id makes its iface-id`,
      );

    const view = observed.openvswitch;
    // Without its port the link is of no use, so it is not brought up for nothing.
    if (
      view?.state === 'unreachable' &&
      (attached === undefined || (attached.isFound && isOnNoSwitch(id, observed)))
    ) {
      return refuse('openvswitch-unreachable', `database ${view.database} not reachable`);
    }
    const row = view?.state === 'known' ? view.bridge(key.bridge) : undefined;
    const found = row && { ...row, stillOffloads: stillOffloads(row, observed) };
    // A fake bridge is what its parent is.
    if (found !== undefined) dependsOn.push(netdev(found.parent));
    // The qdisc of any port may be the last one.
    if (found?.stillOffloads) dependsOn.push({ kind: 'any-netdev' });
    if (view?.state === 'known' && found === undefined) {
      return refuse('bridge-missing', `no such bridge${bridgesThere(observed)}`);
    }
    if (snapshot.vlans !== undefined && found?.vlan !== undefined) {
      const reason = `the bridge is VLAN ${found.vlan} of ${found.parent}, and the vlan key asks for others; keep one of them`;
      return refuse('vlan-unusable', reason);
    }
    const filtered = filterFor(snapshot, config, {
      topology: 'openvswitch',
      bridge: key.bridge,
      tagged: asked.trunks.length > 0,
      ...protectedBy(config.openvswitch),
    });
    if ('problem' in filtered) return { problem: filtered.problem, dependsOn };
    const bypassed = filtered.filter && found && unfilterable(id, filtered.filter, found);
    if (bypassed !== undefined && holds(withoutOpenGroup(filtered.filter)))
      return { problem: bypassed, dependsOn };
    // While the database is away what kind of bridge it is is not known: a filter for control frames alone stays as it is.
    const isUndecided = found === undefined && !holds(filtered.filter) && !hasFilter(observed, own);
    const filter = bypassed === undefined && !isUndecided ? filtered.filter : undefined;
    // No chain blocks it on such a bridge; the switch keeps its port, and the kernel takes and sends nothing by a device that is down.
    const isDown = snapshot.blocked !== undefined && found !== undefined && bypasses(found);
    const wanted: DesiredOvsPort = {
      ...vlans(asked, found),
      ...(config.openvswitch.waitForOvn ? { awaitsOvn: true } : {}),
      externalIds: {
        ...externalIds(snapshot, snapshot.mac, known.id),
        ...(config.openvswitch.ifaceStatus ? { 'iface-status': 'active' } : {}),
      },
    };
    const twins = twinsOf(snapshot, observed.links);
    dependsOn.push(...twins.dependsOn);
    const isKnown = ({ name }: Link): boolean =>
      view?.port(name)?.interface?.externalIds['iface-id'] !== undefined;
    const port = isPreferred(observed.links.ofVif(id), twins, isKnown)
      ? twins.links.some(isKnown)
        ? withoutIfaceId(wanted)
        : wanted
      : onStandby(wanted);
    const there = view?.port(name);
    if (there !== undefined && !isOwnPort(id, there, port)) {
      const holder =
        there.owner === undefined ? 'which vifd did not make' : `which belongs to ${there.owner}`;
      const remedy = `if nothing needs it: ovs-vsctl del-port ${there.bridge} ${name}`;
      const reason = `bridge ${there.bridge} has a port ${name}, ${holder}; ${remedy}`;
      return refuse('openvswitch-port-foreign', reason);
    }
    return {
      desired: {
        link: {
          mac: vifMac,
          mtu: snapshot.mtu,
          master: null,
          addresses: [],
          ...(isDown && { down: true }),
        },
        ovsPort: port,
        filter,
        ...standby(snapshot, port.onStandby === true),
      },
      dependsOn,
    };
  },
};

/**
 * Parses `name[.tag][:trunk[:trunk…]]` exactly as the stock script does, so a bridge's name holds no dot here. VLAN
 * numbers are what the database's schema takes, 0 to 4095; 0 stands for untagged frames.
 * @returns the parts, or why there are none
 */
export function parseOvsBridge(text: string): OvsBridgeKey | string {
  if (text === '') return 'the key is empty; it takes name[.tag][:trunk[:trunk...]]';
  const [, bridge, tagText, trunkText] = /^([^.:]+)(?:\.(\d+))?(?::(\d+(?::\d+)*))?$/.exec(text) ?? [];
  if (bridge === undefined) return 'it does not read name[.tag][:trunk[:trunk...]]';
  const tag = tagText === undefined ? undefined : Number(tagText);
  const trunks = (trunkText?.split(':') ?? []).map(Number);
  const unusable = [...(tag === undefined ? [] : [tag]), ...trunks].find((vlan) => vlan > 4095);
  if (unusable !== undefined) return `VLAN ${unusable} is not between 0 and 4095`;
  return { bridge, tag, trunks: [...new Set(trunks)].sort((a, b) => a - b) };
}

/**
 * What the `bridge` key asks with the VLANs of the `vlan` key, which mean what they mean on a Linux bridge: the PVID is the
 * tag, the others are trunks.
 * @returns the key, or why the two cannot be combined
 */
function withVlans(key: OvsBridgeKey, wanted: readonly PortVlan[]): OvsBridgeKey | string {
  if (key.tag !== undefined || key.trunks.length > 0) {
    return 'it names VLANs, and the vlan key does so too; keep one of them';
  }
  const bare = wanted.find(({ pvid, untagged }) => untagged && !pvid);
  if (bare !== undefined) {
    return `VLAN ${bare.vid} is to leave without a tag (u), which Open vSwitch does for the PVID alone; leave out the u`;
  }
  return {
    bridge: key.bridge,
    tag: wanted.find(({ pvid }) => pvid)?.vid,
    trunks: wanted.filter(({ pvid }) => !pvid).map(({ vid }) => vid),
  };
}

/**
 * Whether a vif that was found connected is on no switch: it is down, has routes of vifd's, or is a port of a Linux bridge, since its `script` key
 * has named another topology until a while ago. The database cannot tell now that it has no port.
 */
function isOnNoSwitch(id: VifId, { links, ip = noIp }: ObservedState): boolean {
  const own = links.ofVif(id);
  if (own === undefined) return false;
  const master = own.master === undefined ? undefined : links.byIndex(own.master);
  return !own.up || master?.kind === 'bridge' || ip.routes.onDevice(own.index).length > 0;
}

/** Whether a vif has a filter for control frames alone. */
const hasFilter = ({ nft }: ObservedState, vif: string): boolean =>
  nft?.elements(vif).some(({ set }) => set === 'unheld') ?? false;

/** A filter without what tells a vif in no group from the outside: that asks nothing of the vif itself. */
function withoutOpenGroup(filter: FilterSpec | undefined): FilterSpec | undefined {
  if (filter?.group === undefined || isParted(filter.group)) return filter;
  const { group: _, ...others } = filter;
  return others;
}

/** Whether frames go through this bridge past nf_tables. */
const bypasses = ({ datapathType, offloads = false, stillOffloads: still = false }: OvsBridge): boolean =>
  datapathType === 'netdev' || offloads || still;

/**
 * Whether an ovs-vswitchd goes on to put flows into tc after `hw-offload` was taken away. It then has a qdisc at the bridge's own device, for
 * what that sends (`clsact`), and at the ingress of the other ports. One that is started anew removes these and leaves that; so a bridge without other
 * ports is taken for what its own device says.
 */
function stillOffloads({ parent }: OvsBridge, { links, openvswitch: view }: ObservedState): boolean {
  if (links.byName(parent)?.ingressQdisc !== 'clsact') return false;
  const others = [...(view?.ports() ?? [])]
    .filter((port) => port.bridge === parent && port.interface?.isInternal !== true)
    .flatMap(({ name }) => links.byName(name) ?? []);
  return others.length === 0 || others.some(({ ingressQdisc }) => ingressQdisc !== undefined);
}

/**
 * Why a vif's filter cannot be on this bridge; undefined when it can. Open vSwitch's userspace datapath reads frames from
 * a packet socket, before nftables' netdev ingress sees them: a filter there would stop nothing.
 */
export function unfilterable(
  id: VifId,
  { hold, protectHost, limits, group }: FilterSpec,
  bridge: OvsBridge,
): OperationError | undefined {
  const { name, datapathType } = bridge;
  const isHeld = hold !== 'nothing';
  const refused = (by: string, instead: string): OperationError => {
    const keys = [
      ...(isHeld ? ['[antispoof] mode = "off"'] : []),
      ...(protectHost ? ['[openvswitch] protect_host = false'] : []),
      ...(limits ? ['no limit in [[vif]]'] : []),
      ...(group && isParted(group) ? ['no [[group]] that parts it'] : []),
    ];
    const what = isHeld
      ? 'anti-spoofing'
      : protectHost
        ? 'protect_host'
        : limits
          ? 'limit of [[vif]]'
          : '[[group]]';
    const reason = `${what} does not work with ${by}; ${instead}, or turn it off: ${keys.join(' and ')}`;
    return problem('filter-bypassed', `attach ${vifName(id)} to Open vSwitch bridge`, name, reason);
  };
  if (!bypasses(bridge)) return undefined;
  if (datapathType === 'netdev') {
    return refused('its datapath_type=netdev', 'use a bridge with datapath_type=system');
  }
  // Flows are then tc's (netdev-offload-tc), which the kernel asks before netdev ingress (sch_handle_ingress).
  if (bridge.offloads) {
    return refused(
      'other_config:hw-offload=true',
      'run: ovs-vsctl remove Open_vSwitch . other_config hw-offload, and restart ovs-vswitchd',
    );
  }
  return refused(
    'the hw-offload that ovs-vswitchd still has on',
    `restart ovs-vswitchd, then run: tc qdisc del dev ${bridge.parent} clsact`,
  );
}

/**
 * The port of a vif while the guest's traffic goes by its twin's: a trunk of VLAN 4095 alone, which 802.1Q reserves, so that nothing
 * comes in or goes out.
 */
const onStandby = ({ vlansStay, ...port }: DesiredOvsPort): DesiredOvsPort => ({
  ...withoutIfaceId(port),
  ...(vlansStay ? { vlansKept: true } : {}),
  onStandby: true,
  tag: undefined,
  trunks: [4095],
  vlanMode: 'trunk',
});

/** A port that a controller does not know by the guest's name: only one at a time may have it. */
function withoutIfaceId({ externalIds, awaitsOvn: _, ...port }: DesiredOvsPort): DesiredOvsPort {
  const { 'iface-id': __, 'iface-status': ___, ...others } = externalIds;
  return { ...port, externalIds: others };
}

/**
 * A tag alone is an access port, trunks alone a trunk port: what Open vSwitch makes of an empty vlan_mode. With both it
 * would ignore the trunks and warn in its own log; here the tag is the native VLAN.
 */
function vlans(
  { bridge, tag, trunks }: OvsBridgeKey,
  found: OvsBridge | undefined,
): Omit<DesiredOvsPort, 'externalIds'> {
  const native = tag ?? found?.vlan;
  return {
    bridge: found?.parent ?? bridge,
    ...(native === undefined && trunks.length === 0 ? { vlansStay: true } : {}),
    tag: native,
    trunks,
    vlanMode: native !== undefined && trunks.length > 0 ? 'native-untagged' : undefined,
  };
}

/**
 * `iface-id` is what OVN knows a port by (the name of its Logical_Switch_Port). By default it is the MAC: the one thing in a guest's
 * configuration that outlives its domid. The guest's name and uuid can be read in dom0 only.
 */
function externalIds({ guest }: VifSnapshot, mac: string, ifaceId: string): DesiredOvsPort['externalIds'] {
  return {
    'attached-mac': mac,
    'iface-id': ifaceId,
    ...(guest?.name === undefined ? {} : { 'xen-vm-name': guest.name }),
    ...(guest?.uuid === undefined ? {} : { 'xen-vm-uuid': guest.uuid }),
  };
}
