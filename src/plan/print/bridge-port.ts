import type { PortFlags } from '../../model/bridge-port.js';
import type { VlanRange } from '../../model/vlan.js';

export function printFlags({ isolated, multicastFlood, broadcastFlood }: PortFlags): string {
  const flag = (name: string, on: boolean | undefined): string =>
    on === undefined ? '' : ` ${name} ${on ? 'on' : 'off'}`;
  return [
    flag('isolated', isolated),
    flag('mcast_flood', multicastFlood),
    flag('bcast_flood', broadcastFlood),
  ].join('');
}

export function printVlans(kind: 'add-vlans' | 'delete-vlans', name: string, range: VlanRange): string {
  const vids = range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`;
  return kind === 'delete-vlans'
    ? `bridge vlan delete dev ${name} vid ${vids}`
    : `bridge vlan add dev ${name} vid ${vids}${range.pvid ? ' pvid' : ''}${range.untagged ? ' untagged' : ''}`;
}
