import type { Table } from '../../model/nft.js';
import { AttrStream, formatAttribute, putString } from '../netlink/format.js';
import { attribute, family } from './messages.js';

/** NFTA_SET_ELEM_LIST_ELEMENTS, and in it NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY and NFTA_DATA_VALUE of linux/netfilter/nf_tables.h. */
const [elementList, element, elementKey, dataValue] = [3, 1, 1, 1];

/** The body of an NFT_MSG_GETSETELEM for one element. @param key its parts, each padded to a multiple of 4 bytes */
export function elementRequest(table: Table, set: string, key: readonly Uint8Array[]): Uint8Array[] {
  const [kind, name = ''] = table.split(' ');
  const attributes = new AttrStream();
  const wrap = (type: number, data: Uint8Array[]): Uint8Array[] =>
    formatAttribute({ type, nested: true, data });
  const value = formatAttribute({ type: dataValue, data: [...key] });
  attributes.emit(wrap(elementList, wrap(element, wrap(elementKey, value))));
  attributes.push(attribute.table, putString(name));
  attributes.push(attribute.elementsSet, putString(set));
  return [Buffer.from([family[kind as 'inet' | 'netdev' | 'bridge'], 0, 0, 0]), ...attributes.bufs];
}
