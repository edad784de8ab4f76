import type { ActionTable } from '../../model/action.js';
import type { Sysctl } from '../../model/sysctl.js';
import { word } from './word.js';

export const sysctlLines: ActionTable<string, 'set-sysctl'> = {
  'set-sysctl': ({ sysctl }) => printSysctl(sysctl),
};

export const printSysctl = ({ name, value }: Sysctl): string => `sysctl -w ${word(`${name}=${value}`)}`;
