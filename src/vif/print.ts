import { formatNetwork } from './address.js';
import type { Action, LinkChanges } from './plan.js';
import { printOvsAction } from './plan-ovs.js';

/** An action as the command an administrator would type for it. */
export function printAction(action: Action): string {
  switch (action.kind) {
    case 'set-link':
      return `ip link set dev ${action.name}${printChanges(action.changes)}`;
    case 'ovs-add-port':
    case 'ovs-set-port':
    case 'ovs-delete-port':
      return printOvsAction(action);
    case 'delete-address':
      return `ip address delete ${formatNetwork(action.address)} dev ${action.name}`;
  }
}

function printChanges({ name, alias, mac, mtu, master, up }: LinkChanges): string {
  return [
    name === undefined ? '' : ` name ${name}`,
    alias === undefined ? '' : ` alias ${alias}`,
    mac === undefined ? '' : ` address ${mac}`,
    mtu === undefined ? '' : ` mtu ${mtu}`,
    master === undefined ? '' : master.index === 0 ? ' nomaster' : ` master ${master.name}`,
    up === undefined ? '' : up ? ' up' : ' down',
  ].join('');
}
