import type { ActionTable } from '../../model/action.js';
import { word } from './word.js';

export const offloadLines: ActionTable<string, 'set-offload'> = {
  'set-offload': ({ name, offload }) =>
    `ethtool -K ${word(name)}${Object.entries(offload)
      .map(([feature, on]) => ` ${feature} ${on ? 'on' : 'off'}`)
      .join('')}`,
};
