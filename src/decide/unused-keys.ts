import { type OperationError, problem } from '../model/operation-error.js';
import type { VifSnapshot } from '../model/snapshot.js';
import type { TopologyName } from '../model/topology-name.js';
import { backendPath } from '../model/vif-id.js';

/** Why a key makes a vif impossible on a topology; undefined where none does. */
export function impossibleKey(snapshot: VifSnapshot, topology: TopologyName): OperationError | undefined {
  if (snapshot.vlans === undefined || topology === 'bridge' || topology === 'openvswitch') return undefined;
  // Without its VLAN the guest would be in a network that it was to be kept from.
  const reason = `a vif with vif-${topology} is the port of no bridge and has no VLANs; take vlan out, or use vif-bridge or vif-openvswitch`;
  return problem('vlan-unusable', 'read', `${backendPath(snapshot.id)}/vlan`, reason);
}

/** The keys that a topology has no use for, each with the reason; the vif works without them. */
export function unusedKeys(snapshot: VifSnapshot, topology: TopologyName): readonly OperationError[] {
  const { id, gatewaydev, unused = [] } = snapshot;
  if (gatewaydev === undefined || topology === 'route') return unused;
  const instead =
    topology === 'nat'
      ? 'vif-nat leaves by the default route, or by [nat] uplink'
      : `a vif with vif-${topology} has no gateway here`;
  const reason = `${gatewaydev} is not used: ${instead}`;
  return [...unused, problem('key-unused', 'read', `${backendPath(id)}/gatewaydev`, reason)];
}
