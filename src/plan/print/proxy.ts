import type { ActionOf, ActionTable } from '../../model/action.js';
import { ourProtocol } from '../../model/route.js';
import { word } from './word.js';

export const proxyLines: ActionTable<string, 'set-proxy' | 'delete-proxy' | 'announce'> = {
  'set-proxy': ({ address, name }) =>
    `ip neighbour replace proxy ${address.address} dev ${word(name)} protocol ${ourProtocol}`,
  'delete-proxy': ({ address, name }) => `ip neighbour delete proxy ${address.address} dev ${word(name)}`,
  announce: ({ address, name, mac }) =>
    `${address.family === 4 ? 'gratuitous ARP' : 'unsolicited neighbour advertisement'}: ${address.address} dev ${word(name)} lladdr ${mac}`,
};

/** A comment: no program that every machine has sends it for an address that is not the machine's own. */
export const announceCommands = (action: ActionOf<'announce'>): string => `# ${proxyLines.announce(action)}`;
