import type { ActionTable } from '../../model/action.js';
import { word } from './word.js';

export const sysctlLines: ActionTable<string, 'set-sysctl'> = {
  'set-sysctl': ({ sysctl: { name, value } }) => `sysctl -w ${word(`${name}=${value}`)}`,
};
