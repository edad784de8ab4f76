import { expect, test } from 'vitest';
import { Elements } from '../../../../src/host/netfilter/elements.js';
import type { Network } from '../../../../src/model/address.js';
import { spokenFrom } from '../../../../src/model/nft.js';

const host: Network = { family: 4, address: '10.0.5.1', prefix: 32 };
const network: Network = { family: 4, address: '10.0.5.0', prefix: 24 };

test('a network is spoken from by the netdevs that have an element for it, whosever that is', () => {
  const elements = new Elements();
  elements.set(spokenFrom('vif5.0', host), 'vif5.0');
  elements.set(spokenFrom('vif6.0', host), 'vif6.0');
  elements.set(spokenFrom('vif7.0', network), 'vif7.0');
  elements.set({ set: 'masqueraded4', key: ['10.0.5.1', 'eth0'] }, 'vif8.0');
  expect(elements.speakers(host)).toEqual(['vif5.0', 'vif6.0']);
  expect(elements.speakers(network)).toEqual(['vif7.0']);
  elements.set(spokenFrom('vif5.0', host), 'vif6.0');
  expect(elements.speakers(host)).toEqual(['vif6.0', 'vif5.0']);
  elements.delete(spokenFrom('vif6.0', host));
  expect(elements.speakers(host)).toEqual(['vif5.0']);
  elements.deleteAll(({ set }) => set === 'hosts4');
  expect(elements.speakers(host)).toEqual([]);
  expect(elements.speakers(network)).toEqual(['vif7.0']);
});
