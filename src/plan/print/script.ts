import type { ActionTable } from '../../model/action.js';
import { backendPath, type VifId, vifName } from '../../model/vif-id.js';
import { word } from './word.js';

export const scriptLines: ActionTable<string, 'run-script' | 'adopt-script' | 'undo-script'> = {
  'run-script': ({ id, script: { file } }) => `${environment(id)} ${word(file)} online type_if=vif`,
  'adopt-script': ({ id, script: { file } }) => `: ${word(file)} has been run for ${vifName(id)}`,
  'undo-script': ({ id, file }) => `${environment(id)} ${word(file)} offline type_if=vif`,
};

const environment = (id: VifId): string => `XENBUS_PATH=${backendPath(id)} vif=${vifName(id)}`;
