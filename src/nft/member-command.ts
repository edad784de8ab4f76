import type { ActionOf } from '../model/action.js';
import { parseNetwork } from '../model/address.js';
import { parseMac } from '../model/mac.js';
import { memberComment } from '../model/named-set.js';

/** A change of an administrator's set as a command of nft(8). */
export function memberCommand({
  kind,
  vif,
  set,
  values,
}: ActionOf<'add-to-set' | 'delete-from-set'>): string {
  const quoted = values.map((value) => ((parseNetwork(value) ?? parseMac(value)) ? value : `"${value}"`));
  return kind === 'add-to-set'
    ? `add element ${set} { ${quoted.map((value) => `${value} comment "${memberComment(vif)}"`).join(', ')} }`
    : `delete element ${set} { ${quoted.join(', ')} }`;
}
