import type { OvsPort } from '../../model/ovs-port.js';

type Status = Readonly<Record<string, string>>;

/**
 * What the spanning tree of a bridge keeps a port from, by the columns `status` and `rstp_status` of its Port; undefined where it
 * forwards, and where it is disabled, as without carrier.
 */
export function waitingOf(status: Status, rapid: Status): OvsPort['waiting'] {
  const { stp_state: state } = status;
  if (state === 'listening' || state === 'learning' || state === 'blocking') return state;
  if (rapid.rstp_port_state === 'Learning') return 'learning';
  if (rapid.rstp_port_state !== 'Discarding') return undefined;
  return ['Alternate', 'Backup'].includes(rapid.rstp_port_role ?? '') ? 'blocking' : 'listening';
}
