import type { Action } from '../../model/action.js';
import { backendPath, type VifId, vifName } from '../../model/vif-id.js';
import { vlanRanges } from '../../model/vlan.js';
import { printFlags, printVlans } from './bridge-port.js';
import { printChanges } from './link.js';
import { nameNftAction, printNftAction } from './nft.js';
import { printOvsAction } from './ovs-port.js';
import { printIpAction } from './routing.js';

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

const printEnvironment = (id: VifId): string => `XENBUS_PATH=${backendPath(id)} vif=${vifName(id)}`;
