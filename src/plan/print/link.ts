import type { LinkChanges } from '../../model/action.js';

export function printChanges({ name, alias, mac, mtu, txqueuelen, master, up }: LinkChanges): string {
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
