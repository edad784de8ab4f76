import { formatNetwork } from './address.js';
import type { VifSnapshot } from './snapshot.js';

/**
 * A text that the vifs of one network card of a guest have in common; undefined for a vif that shares its card with none.
 * Under a device model in a stubdomain libxl gives that domain a copy of each vif, for the emulated card, with the same keys but
 * for a suffix of `vifname` (libxl__spawn_stub_dm). A guest that migrates within one host has two vifs for a while as well.
 */
export function cardOf(snapshot: VifSnapshot | undefined): string | undefined {
  if (snapshot === undefined || !snapshot.online || snapshot.mac === undefined) return undefined;
  const { id, mac, ip, bridge, script, gatewaydev, vlans } = snapshot;
  return JSON.stringify([id.devid, mac, ip.map(formatNetwork), bridge, script, gatewaydev, vlans]);
}
