import type { Network } from '../model/address.js';
import type { DesiredIp } from '../model/routing.js';

export function neighbours(want: DesiredIp, known: ReadonlyMap<string, string>): [Network, string][] {
  const { mac } = want;
  if (mac === undefined) return [];
  return want.neighbours
    .filter(({ address }) => known.get(address) !== mac)
    .map((address): [Network, string] => [address, mac]);
}
