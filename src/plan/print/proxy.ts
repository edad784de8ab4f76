import type { ActionTable } from '../../model/action.js';
import { ourProtocol } from '../../model/route.js';
import { word } from './word.js';

export const proxyLines: ActionTable<string, 'set-proxy' | 'delete-proxy'> = {
  'set-proxy': ({ address, name }) =>
    `ip neighbour replace proxy ${address.address} dev ${word(name)} protocol ${ourProtocol}`,
  'delete-proxy': ({ address, name }) => `ip neighbour delete proxy ${address.address} dev ${word(name)}`,
};
