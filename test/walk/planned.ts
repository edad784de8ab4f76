import { idOf, macOf, smallNetwork, stockIp } from './addresses.js';
import type { NatNetwork, VifModel } from './model.js';

/** How many addresses beside that of the stock plan a vif may have in 10.0.0.0/8. */
const others = 64;
/** So many guests in 256 addresses: behind them are their routers. */
const guests = 127;
/** So many in the small network, a /24, beside its first address, which is the router of all. */
const room = 253;

/** The addresses that a NAT vif without the `ip` key may have, in the order in which they are tried. */
function* candidates({ slot, keys }: VifModel, network: NatNetwork): Iterable<string> {
  // FNV-1a, of 32 bits.
  let hash = 0x811c9dc5;
  for (const octet of Buffer.from(macOf(slot, keys.othermac)))
    hash = Math.imul(hash ^ octet, 0x01000193) >>> 0;
  if (network === 'small') {
    for (let i = 0; i < room; i++) yield `${smallNetwork}.${2 + ((hash + i) % room)}`;
    return;
  }
  yield stockIp(idOf(slot));
  for (let i = 0; i < others; i++) {
    const at = (hash + i) % (2 ** 16 * guests);
    const block = Math.floor(at / guests);
    yield `10.${block >> 8}.${block & 255}.${1 + (at % guests)}`;
  }
}

/** The address of a NAT vif without the `ip` key: the one it has, else the first of its own that no other has. */
export function plannedIp(vif: VifModel, network: NatNetwork, had: ReadonlySet<string>): string | undefined {
  let first: string | undefined;
  for (const ip of candidates(vif, network)) {
    if (ip === vif.planned) return ip;
    if (!had.has(ip)) first ??= ip;
    // One that is new has none to look for.
    if (vif.planned === undefined && first !== undefined) return first;
  }
  return first;
}
