import type { ActionTable } from '../../model/action.js';
import { memberCommand } from '../../nft/member-command.js';
import { singleQuoted } from './word.js';

export const namedSetLines: ActionTable<string, 'add-to-set' | 'delete-from-set'> = {
  'add-to-set': (action) => `nft ${singleQuoted(memberCommand(action))}`,
  'delete-from-set': (action) => `nft ${singleQuoted(memberCommand(action))}`,
};
