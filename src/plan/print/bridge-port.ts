import type { ActionTable } from '../../model/action.js';
import type { PortSwitches } from '../../model/bridge-port.js';
import { type PortVlan, vlanRanges } from '../../model/vlan.js';
import { word } from './word.js';

export const bridgePortLines: ActionTable<string, 'set-port' | 'add-vlans' | 'delete-vlans'> = {
  'set-port': ({ name, flags }) => {
    const flush = flags.silent ? ` && ip link set dev ${word(name)} type bridge_slave fdb_flush` : '';
    return `bridge link set dev ${word(name)}${printFlags(flags)}${flush}`;
  },
  'add-vlans': ({ name, vlans }) => printVlans('add', name, vlans),
  'delete-vlans': ({ name, vlans }) => printVlans('delete', name, vlans),
};

function printFlags({ isolated, multicastFlood, broadcastFlood, silent, ...others }: PortSwitches): string {
  const flag = (name: string, on: boolean | undefined): string =>
    on === undefined ? '' : ` ${name} ${on ? 'on' : 'off'}`;
  const hears = silent === undefined ? undefined : !silent;
  return [
    flag('isolated', isolated),
    flag('learning', others.learning ?? hears),
    flag('flood', others.unicastFlood ?? hears),
    flag('mcast_flood', multicastFlood),
    flag('bcast_flood', broadcastFlood),
    flag('guard', others.bpduGuard),
    flag('root_block', others.rootBlock),
    flag('hairpin', others.hairpin),
    flag('fastleave', others.fastLeave),
    flag('mcast_to_unicast', others.multicastToUnicast),
    flag('neigh_suppress', others.neighborSuppress),
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
