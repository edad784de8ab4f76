import type { ActionTable, LinkChanges } from '../../model/action.js';
import { passingMtu } from '../../model/bridge-port.js';
import { word } from './word.js';

export const linkLines: ActionTable<string, 'set-link' | 'pin-mtu'> = {
  'pin-mtu': ({ name, mtu }) =>
    [passingMtu(mtu), mtu].map((each) => `ip link set dev ${word(name)} mtu ${each}`).join(' && '),
  'set-link': ({ name, changes }) => `ip link set dev ${word(name)}${printChanges(changes)}`,
};

function printChanges({ name, alias, mac, mtu, txqueuelen, group, master, arp, up }: LinkChanges): string {
  return [
    name === undefined ? '' : ` name ${word(name)}`,
    alias === undefined ? '' : ` alias ${alias}`,
    mac === undefined ? '' : ` address ${mac}`,
    mtu === undefined ? '' : ` mtu ${mtu}`,
    txqueuelen === undefined ? '' : ` txqueuelen ${txqueuelen}`,
    group === undefined ? '' : ` group ${group}`,
    master === undefined ? '' : master.index === 0 ? ' nomaster' : ` master ${word(master.name ?? '')}`,
    arp ? ' arp on' : '',
    up === undefined ? '' : up ? ' up' : ' down',
  ].join('');
}
