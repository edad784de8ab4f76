import type { ActionOf } from '../model/action.js';
import type { DesiredIp, IpState } from '../model/ip.js';
import { type VifId, vifName } from '../model/vif-id.js';

/** Writes a vif's entry for dnsmasq where it is missing or has changed. */
export function missingDhcp(
  id: VifId,
  { dhcp: entry }: DesiredIp,
  { dhcp }: IpState,
): ActionOf<'set-dhcp'>[] {
  const vif = vifName(id);
  return entry === undefined || dhcp.get(vif) === entry ? [] : [{ kind: 'set-dhcp', vif, entry }];
}

/** Deletes a vif's entry for dnsmasq where none is desired. */
export function strayDhcp(
  id: VifId,
  { dhcp: entry }: DesiredIp,
  { dhcp }: IpState,
): ActionOf<'delete-dhcp'>[] {
  const vif = vifName(id);
  return entry === undefined && dhcp.has(vif) ? [{ kind: 'delete-dhcp', vif }] : [];
}
