import type { ActionTable } from '../../model/action.js';
import type { PortFlags } from '../../model/bridge-port.js';
import { type PortVlan, vlanRanges } from '../../model/vlan.js';
import { word } from './word.js';

export const bridgePortLines: ActionTable<string, 'set-port' | 'add-vlans' | 'delete-vlans'> = {
  'set-port': ({ name, flags }) => `bridge link set dev ${word(name)}${printFlags(flags)}`,
  'add-vlans': ({ name, vlans }) => printVlans('add', name, vlans),
  'delete-vlans': ({ name, vlans }) => printVlans('delete', name, vlans),
};

function printFlags({ isolated, multicastFlood, broadcastFlood }: PortFlags): string {
  const flag = (name: string, on: boolean | undefined): string =>
    on === undefined ? '' : ` ${name} ${on ? 'on' : 'off'}`;
  return [
    flag('isolated', isolated),
    flag('mcast_flood', multicastFlood),
    flag('bcast_flood', broadcastFlood),
  ].join('');
}

function printVlans(verb: 'add' | 'delete', name: string, vlans: readonly PortVlan[]): string {
  return vlanRanges(vlans)
    .map(({ first, last, pvid, untagged }) => {
      const vids = first === last ? `${first}` : `${first}-${last}`;
      const flags = verb === 'add' ? `${pvid ? ' pvid' : ''}${untagged ? ' untagged' : ''}` : '';
      return `bridge vlan ${verb} dev ${word(name)} vid ${vids}${flags}`;
    })
    .join(' && ');
}
