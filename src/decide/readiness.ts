import type { DesiredState } from '../model/desired.js';
import type { ErrorCode } from '../model/error-codes.js';
import type { ObservedState } from '../model/observed.js';
import { type OperationError, problem } from '../model/operation-error.js';
import { type VifId, vifName } from '../model/vif-id.js';

/**
 * Something that others have still to do before a vif works, when nothing is left for us to do. The problem is
 * reported at once, or, `patient`, when it has not come right within the time a netdev is given.
 */
export interface Pending {
  readonly problem: OperationError;
  readonly patient: boolean;
  /** A vif that was on the network goes on forwarding meanwhile. */
  readonly forwards: boolean;
}

/**
 * What others have still to do for a vif whose plan is empty; undefined when nothing is left.
 * @param timeoutMs the time given to what is patient, for its text
 */
export function pending(
  id: VifId,
  desired: DesiredState,
  observed: ObservedState,
  timeoutMs: number,
): Pending | undefined {
  if (desired.ovsPort === undefined) return undefined;
  const { openvswitch: view } = observed;
  const because = (
    code: ErrorCode,
    { patient, forwards }: Omit<Pending, 'problem'>,
    reason: string,
  ): Pending => ({ patient, forwards, problem: ofPort(code, id, desired, reason) });
  if (view?.state !== 'known') {
    // Open vSwitch goes on forwarding without its database, and without its daemon.
    return because(
      'openvswitch-unreachable',
      { patient: view?.state !== 'unreachable', forwards: true },
      `database ${view?.database} not reachable`,
    );
  }
  const row = view.port(desired.name);
  const port = row?.owner === vifName(id) ? row.interface : undefined;
  if (port?.error !== undefined || port?.ofport === -1) {
    return because(
      'openvswitch-port-refused',
      { patient: false, forwards: false },
      port.error ?? 'ovs-vswitchd could not take the port',
    );
  }
  if ((port?.ofport ?? 0) > 0) {
    if (!desired.ovsPort.awaitsOvn || port?.externalIds['ovn-installed'] === 'true') return undefined;
    const ifaceId = desired.ovsPort.externalIds['iface-id'] ?? '';
    const late = `ovn-controller did not say ovn-installed of its port within ${timeoutMs / 1000} s; does it run, and has OVN a port ${ifaceId}?`;
    return because('ovn-late', { patient: true, forwards: true }, late);
  }
  return portLate(id, desired, timeoutMs);
}

/**
 * What a vif that is not on the network yet waits for though its port is in the database as it should be: that was taken by an
 * ovs-vswitchd which has ended since, or which has yet to find its database. Undefined while one follows it.
 */
export function awaitsSwitch(
  id: VifId,
  desired: DesiredState,
  { openvswitch }: ObservedState,
  timeoutMs: number,
): Pending | undefined {
  if (desired.ovsPort === undefined || openvswitch?.state !== 'known' || openvswitch.switchFollows)
    return undefined;
  return portLate(id, desired, timeoutMs);
}

const portLate = (id: VifId, desired: DesiredState, timeoutMs: number): Pending => ({
  patient: true,
  forwards: true,
  problem: ofPort(
    'openvswitch-port-late',
    id,
    desired,
    `ovs-vswitchd did not take the port within ${timeoutMs / 1000} s; does it run?`,
  ),
});

/**
 * What a vif lacks whose port was taken by an ovs-vswitchd that has ended since; undefined while it runs. It does not keep
 * a vif from being connected: only a switch that runs can take a port.
 */
export function switchDown(
  id: VifId,
  desired: DesiredState,
  { openvswitch }: ObservedState,
): OperationError | undefined {
  if (desired.ovsPort === undefined || openvswitch?.state !== 'known' || openvswitch.switchRuns)
    return undefined;
  return ofPort('openvswitch-switch-down', id, desired, 'ovs-vswitchd does not run');
}

/** That a netdev does not have the MTU which it is to have, since its driver refuses it. It is on the network with its own. */
export function mtuLacking(
  id: VifId,
  { link: want }: DesiredState,
  { links }: ObservedState,
): OperationError | undefined {
  const link = links.ofVif(id);
  if (link === undefined || want.mtu === undefined || link.mtu === want.mtu) return undefined;
  const reason =
    `its network device refuses it and keeps ${link.mtu}; netback takes more than 1500 only while the guest's frontend has ` +
    'scatter/gather (feature-sg in its xenstore directory)';
  return problem('mtu-refused', `give ${vifName(id)} the MTU`, String(want.mtu), reason);
}

const ofPort = (code: ErrorCode, id: VifId, { ovsPort }: DesiredState, reason: string): OperationError =>
  problem(code, `attach ${vifName(id)} to Open vSwitch bridge`, ovsPort?.bridge ?? '', reason);

/** What is wrong when netback has made no netdev in the time it is given. */
export const netdevMissing = (id: VifId, timeoutMs: number): OperationError =>
  problem(
    'netdev-late',
    'wait for netdev',
    vifName(id),
    `it did not appear within ${timeoutMs / 1000} s; is xen-netback loaded?`,
  );

/**
 * What is wrong when netback fails at a device before it has made the netdev: it goes to state 5 on its own
 * (xenbus_switch_fatal in Linux's xenbus_client.c), writes why into the kernel's log, and `xl` takes the device away.
 */
export const netbackGaveUp = (id: VifId): OperationError =>
  problem(
    'netback-failed',
    'wait for netdev',
    vifName(id),
    `netback has given it up; "journalctl -k -g vif-${id.domid}-${id.devid}" says why, where 22 or 28 is xenstore's quota for this domain`,
  );
