import type { BridgePort } from '../model/bridge-port.js';
import type { DesiredState } from '../model/desired.js';
import { addresses6Of, asksRouter, leases4 } from '../model/dhcp-entry.js';
import type { ErrorCode } from '../model/error-codes.js';
import { passesFamily } from '../model/filter.js';
import type { Blocked } from '../model/firewall.js';
import { noIp } from '../model/ip.js';
import type { Link, ObservedState } from '../model/observed.js';
import { type OperationError, problem } from '../model/operation-error.js';
import { type VifId, vifName } from '../model/vif-id.js';

/**
 * What stands in the way of an attached vif's packets and is others' to change: a filter that drops them, a spanning tree
 * that waits. It keeps no vif from being connected.
 */
export function obstacles(id: VifId, desired: DesiredState, observed: ObservedState): OperationError[] {
  return [
    ...closedPort(id, desired, observed),
    ...waitingSwitch(id, desired, observed),
    ...filtersInTheWay(desired, observed).map((one) => filtered(id, one)),
  ];
}

const obstacle = (code: ErrorCode, id: VifId, operation: string, target: string, reason: string) =>
  problem(code, `${operation} ${vifName(id)}`, target, reason);

/** A filter of another program in a vif's way: `forward vif5.0 by eth0`, and what drops there. */
export interface InTheWay {
  readonly operation: 'bridge' | 'forward' | 'serve';
  readonly target: string;
  readonly blocked: Blocked;
}

/** The filters of other programs that drop what an attached vif needs. */
export const filtersInTheWay = (desired: DesiredState, observed: ObservedState): InTheWay[] =>
  desired.ip === undefined ? bridged(desired, observed) : routed(desired, observed);

const filtered = (id: VifId, { operation, target, blocked: { chain, does, remedy } }: InTheWay) =>
  obstacle(
    'firewall-drops',
    id,
    operation,
    target,
    `the chain ${chain} ${does}; to let it through: ${remedy}`,
  );

/** A port of a bridge that passes nothing, or not all: its spanning tree waits, or somebody has set it so. */
function closedPort(id: VifId, { link }: DesiredState, { links }: ObservedState): OperationError[] {
  const own = links.ofVif(id);
  const bridge = own?.master === undefined ? undefined : links.byIndex(own.master);
  if (link.master === null || own?.port === undefined || bridge === undefined) return [];
  const { waiting, locked = false } = own.port;
  const about = (code: ErrorCode, reason: string) =>
    obstacle(code, id, 'attach', `to bridge ${bridge.name}`, reason);
  // Its ports are disabled then.
  if (!bridge.up) return [about('bridge-down', `it is down; run: ip link set dev ${bridge.name} up`)];
  const set = `bridge link set dev ${own.name}`;
  return [
    ...(waiting === undefined ? [] : [about(...whyWaiting(waiting, bridge, own.name, set))]),
    ...(locked
      ? [
          about(
            'port-closed',
            `its port is locked, and passes only MAC addresses that are entered; to unlock it: ${set} locked off`,
          ),
        ]
      : []),
  ];
}

function whyWaiting(
  waiting: NonNullable<BridgePort['waiting']>,
  { name, forwardDelay }: Link,
  port: string,
  set: string,
): [ErrorCode, string] {
  if (forwardDelay === undefined)
    return ['port-closed', `something has set its port to ${waiting}; to have it forward: ${set} state 3`];
  if (waiting === 'disabled') {
    const reason = `a spanning tree's BPDU came from the guest, and bpdu_guard has disabled the port; to enable it: ip link set dev ${port} down`;
    return ['port-closed', reason];
  }
  const reason =
    waiting === 'blocking'
      ? 'its spanning tree blocks the port, since the same network is reached by another; does the guest bridge its interfaces?'
      : `its spanning tree lets nothing through for ${2 * forwardDelay} s after each attach; if it needs none: ip link set dev ${name} type bridge stp_state 0`;
  return ['bridge-waits', reason];
}

/** The same of Open vSwitch, which does not tell how long its tree waits. */
function waitingSwitch(
  id: VifId,
  { name, ovsPort }: DesiredState,
  { openvswitch }: ObservedState,
): OperationError[] {
  const waiting = ovsPort && openvswitch?.port(name)?.waiting;
  if (ovsPort === undefined || waiting === undefined) return [];
  const reason =
    waiting === 'blocking'
      ? 'its spanning tree blocks the port, since the same network is reached by another; does the guest bridge its interfaces?'
      : `its spanning tree lets nothing through yet, as after each attach; if it needs none: ${switchTreeOff(ovsPort.bridge)}`;
  return [obstacle('bridge-waits', id, 'attach', `to Open vSwitch bridge ${ovsPort.bridge}`, reason)];
}

/** The command that takes a bridge of Open vSwitch its spanning tree, of either kind. */
export const switchTreeOff = (bridge: string): string =>
  `ovs-vsctl set bridge ${bridge} stp_enable=false rstp_enable=false`;

/** Filters of IP, where br_netfilter passes the frames between a bridge's ports to them. */
function bridged({ link, name, filter }: DesiredState, observed: ObservedState): InTheWay[] {
  const { links, firewall, ip = noIp } = observed;
  const bridge = link.master === null ? undefined : links.byName(link.master);
  if (bridge === undefined || firewall === undefined) return [];
  const families = ([4, 6] as const).filter(
    (family) =>
      passesFamily(filter, family) &&
      (bridge.callsFirewall === true ||
        ip.sysctl(`net/bridge/bridge-nf-call-${family === 4 ? 'ip' : 'ip6'}tables`) === '1'),
  );
  for (const family of families) {
    const blocked = firewall.bridged({ vif: name, bridge: bridge.name, family });
    if (blocked !== undefined) return [{ operation: 'bridge', target: `on ${bridge.name}`, blocked }];
  }
  return [];
}

function routed(desired: DesiredState, observed: ObservedState): InTheWay[] {
  const { firewall } = observed;
  if (firewall === undefined || desired.ip === undefined) return [];
  const { name } = desired;
  const found: InTheWay[] = [];
  for (const family of [4, 6] as const) {
    const to = desired.ip.routes.find((route) => route.to.family === family)?.to;
    if (to === undefined) continue;
    for (const out of waysOut(desired.ip, observed, family)) {
      const blocked = firewall.forwarded({ vif: name, out, family, guest: to.address });
      if (blocked !== undefined) found.push({ operation: 'forward', target: `by ${out}`, blocked });
    }
  }
  const { dhcp } = desired.ip;
  if (dhcp === undefined) return found;
  const served = [
    ['dhcp', 'by DHCP', leases4(dhcp)],
    ['dhcp6', 'by DHCPv6', addresses6Of(dhcp).length > 0],
    ['dns', 'as its resolver', asksRouter(dhcp)],
  ] as const;
  for (const [service, target, isServed] of served) {
    const blocked = isServed ? firewall.served(name, service) : undefined;
    if (blocked !== undefined) found.push({ operation: 'serve', target, blocked });
  }
  return found;
}

/** The devices by which a guest's packets of a family leave, without those that lead out in the other one alone. */
function waysOut(
  { forwards }: NonNullable<DesiredState['ip']>,
  { links, ip = noIp }: ObservedState,
  family: 4 | 6,
): string[] {
  const out = (forwards?.out ?? []).filter((name) => links.byName(name) !== undefined);
  const leads = (name: string, by: 4 | 6): boolean =>
    ip.routes.waysOut(by).some((index) => links.byIndex(index)?.name === name);
  return out.filter((name) => leads(name, family) || !leads(name, family === 4 ? 6 : 4));
}
