import { noIp } from '../../model/ip.js';
import type { ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { deviceName } from './routed-link.js';
import { hasIpv6 } from './router-sysctls.js';

// What a routed vif goes without, and why.

/** The least MTU at which a device has IPv6 (RFC 8200, 5); below it the kernel takes it away, sysctls and all. */
const leastIpv6Mtu = 1280;

/** Why there can be no IPv6 on a vif; undefined when there can. */
export function whyNoIpv6(
  snapshot: VifSnapshot,
  { links, ip = noIp }: ObservedState,
): OperationError | undefined {
  const { id } = snapshot;
  const netdev = links.ofVif(id);
  const name = netdev?.name ?? deviceName(snapshot);
  const mtu = snapshot.mtu ?? netdev?.mtu ?? leastIpv6Mtu;
  const lacking = (reason: string): OperationError =>
    problem('ipv6-unavailable', `give ${vifName(id)} IPv6 on`, name, reason);
  if (mtu < leastIpv6Mtu)
    return lacking(`its MTU ${mtu} is below ${leastIpv6Mtu}, the least for IPv6; raise the mtu key`);
  if (!hasIpv6(ip)) return lacking('this kernel has no IPv6, or it is switched off');
  const disabled = `net/ipv6/conf/${name}/disable_ipv6`;
  if (ip.sysctl(disabled) !== '1') return undefined;
  return lacking(
    `IPv6 is switched off there; run: sysctl -w ${disabled}=0, and net/ipv6/conf/default/disable_ipv6=0`,
  );
}
