import type { ActionTable } from '../../model/action.js';
import { ourProtocol } from '../../model/route.js';
import { word } from './word.js';

export const neighbourLines: ActionTable<string, 'set-neighbour' | 'delete-neighbour'> = {
  'set-neighbour': ({ address, mac, name }) =>
    `ip neighbour replace ${address.address} lladdr ${mac} dev ${word(name)} nud permanent protocol ${ourProtocol}`,
  'delete-neighbour': ({ address, name }) => `ip neighbour delete ${address.address} dev ${word(name)}`,
};
