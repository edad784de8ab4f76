import type { Link } from '../../src/model/observed.js';

/** A netdev that is up and has nothing besides; `more` is what it has. */
export const link = (index: number, name: string, more: Partial<Link> = {}): Link => ({
  index,
  name,
  alias: undefined,
  parent: undefined,
  kind: undefined,
  mac: 'fe:ff:ff:ff:ff:ff',
  mtu: 1500,
  up: true,
  master: undefined,
  addresses: [],
  ...more,
});
