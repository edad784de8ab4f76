import { backendPath, type VifId, vifName } from './id.js';
import type { Action, LinkChanges } from './plan.js';
import { printOvsAction } from './plan-ovs.js';
import type { PortFlags } from './port.js';
import { printIpAction } from './print-ip.js';
import { nameNftAction, printNftAction } from './print-nft.js';
import { type VlanRange, vlanRanges } from './vlan.js';

/** An action as the command an administrator would type for it. */
export function printAction(action: Action): string {
  switch (action.kind) {
    case 'set-link':
      return `ip link set dev ${action.name}${printChanges(action.changes)}`;
    case 'ovs-add-port':
    case 'ovs-set-port':
    case 'ovs-delete-port':
      return printOvsAction(action);
    case 'set-port':
      return `bridge link set dev ${action.name}${printFlags(action.flags)}`;
    case 'add-vlans':
    case 'delete-vlans':
      return vlanRanges(action.vlans)
        .map((range) => printVlans(action.kind, action.name, range))
        .join(' && ');
    case 'set-offload':
      return `ethtool -K ${action.name}${Object.entries(action.offload)
        .map(([feature, on]) => ` ${feature} ${on ? 'on' : 'off'}`)
        .join('')}`;
    case 'run-script':
      return `${printEnvironment(action.id)} ${action.script.file} online type_if=vif`;
    case 'adopt-script':
      return `: ${action.script.file} has been run for ${vifName(action.id)}`;
    case 'undo-script':
      return `${printEnvironment(action.id)} ${action.file} offline type_if=vif`;
    case 'nft':
      return printNftAction(action);
    default:
      return printIpAction(action);
  }
}

/** An action in one line: what is long is named by its first command. */
export const nameAction = (action: Action): string =>
  action.kind === 'nft' ? nameNftAction(action) : printAction(action);

function printChanges({ name, alias, mac, mtu, txqueuelen, master, up }: LinkChanges): string {
  return [
    name === undefined ? '' : ` name ${name}`,
    alias === undefined ? '' : ` alias ${alias}`,
    mac === undefined ? '' : ` address ${mac}`,
    mtu === undefined ? '' : ` mtu ${mtu}`,
    txqueuelen === undefined ? '' : ` txqueuelen ${txqueuelen}`,
    master === undefined ? '' : master.index === 0 ? ' nomaster' : ` master ${master.name}`,
    up === undefined ? '' : up ? ' up' : ' down',
  ].join('');
}

function printFlags({ isolated, multicastFlood, broadcastFlood }: PortFlags): string {
  const flag = (name: string, on: boolean | undefined): string =>
    on === undefined ? '' : ` ${name} ${on ? 'on' : 'off'}`;
  return [
    flag('isolated', isolated),
    flag('mcast_flood', multicastFlood),
    flag('bcast_flood', broadcastFlood),
  ].join('');
}

function printVlans(kind: 'add-vlans' | 'delete-vlans', name: string, range: VlanRange): string {
  const vids = range.first === range.last ? `${range.first}` : `${range.first}-${range.last}`;
  return kind === 'delete-vlans'
    ? `bridge vlan delete dev ${name} vid ${vids}`
    : `bridge vlan add dev ${name} vid ${vids}${range.pvid ? ' pvid' : ''}${range.untagged ? ' untagged' : ''}`;
}

const printEnvironment = (id: VifId): string => `XENBUS_PATH=${backendPath(id)} vif=${vifName(id)}`;
