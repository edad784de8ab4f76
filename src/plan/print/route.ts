import type { ActionTable } from '../../model/action.js';
import { formatNetwork } from '../../model/address.js';
import { ourMetric, ourProtocol } from '../../model/route.js';
import { word } from './word.js';

/** What tells our routes from others. */
const ours = `proto ${ourProtocol} metric ${ourMetric}`;

export const routeLines: ActionTable<string, 'set-route' | 'delete-route'> = {
  'set-route': ({ name, route: { to, source } }) => {
    const src = source === undefined ? '' : ` src ${source}`;
    return `ip route replace ${formatNetwork(to)} dev ${word(name)}${src} ${ours}`;
  },
  'delete-route': ({ name, to }) => `ip route delete ${formatNetwork(to)} dev ${word(name)} ${ours}`,
};
