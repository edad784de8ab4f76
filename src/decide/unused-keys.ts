import { type OperationError, problem } from '../model/operation-error.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { type TopologyName, topologyNames, traitsOf } from '../model/topology-name.js';
import { backendPath } from '../model/vif-id.js';

/** Why a key makes a vif impossible on a topology; undefined where none does. */
export function impossibleKey(snapshot: VifSnapshot, topology: TopologyName): OperationError | undefined {
  if (snapshot.vlans === undefined || traitsOf(topology).hasVlans) return undefined;
  // Without its VLAN the guest would be in a network that it was to be kept from.
  const others = topologyNames.filter((name) => traitsOf(name).hasVlans).map((name) => `vif-${name}`);
  const reason = `a vif with vif-${topology} is the port of no bridge and has no VLANs; take vlan out, or use ${others.join(' or ')}`;
  return problem('vlan-unusable', 'read', `${backendPath(snapshot.id)}/vlan`, reason);
}

/** The keys that a topology has no use for, each with the reason; the vif works without them. */
export function unusedKeys(snapshot: VifSnapshot, topology: TopologyName): readonly OperationError[] {
  const { id, gatewaydev, ifaceId } = snapshot;
  const { hasGatewayDevice, isNat, partedBy } = traitsOf(topology);
  const unused = [
    ...(snapshot.unused ?? []),
    ...(ifaceId === undefined || partedBy === 'switch'
      ? []
      : [
          problem(
            'key-unused',
            'read',
            `${backendPath(id)}/iface-id`,
            `${ifaceId} is not used: vif-${topology} has no port of Open vSwitch`,
          ),
        ]),
  ];
  if (gatewaydev === undefined || hasGatewayDevice) return unused;
  const instead = isNat
    ? `vif-${topology} leaves by the default route, or by [nat] uplink`
    : `a vif with vif-${topology} has no gateway here`;
  const reason = `${gatewaydev} is not used: ${instead}`;
  return [...unused, problem('key-unused', 'read', `${backendPath(id)}/gatewaydev`, reason)];
}
