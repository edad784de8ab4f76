import type { ActionOf } from '../model/action.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import { type VifId, vifName } from '../model/vif-id.js';

/** Tells dnsmasq of a vif, where it does not know it as it should. */
export function missingDhcp(
  id: VifId,
  { dhcp: entry }: DesiredIp,
  { dhcp }: IpState,
): ActionOf<'set-dhcp'>[] {
  const vif = vifName(id);
  return entry === undefined || dhcp.get(vif) === entry ? [] : [{ kind: 'set-dhcp', vif, entry }];
}

/** Has dnsmasq forget a vif that is not to be served. */
export function strayDhcp(
  id: VifId,
  { dhcp: entry }: DesiredIp,
  { dhcp }: IpState,
): ActionOf<'delete-dhcp'>[] {
  const vif = vifName(id);
  return entry === undefined && dhcp.has(vif) ? [{ kind: 'delete-dhcp', vif }] : [];
}
