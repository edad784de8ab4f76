import { beforeEach, expect, test } from 'vitest';
import type { NetlinkConnection } from '../../../../src/host/netlink/connection.js';
import { LinkState } from '../../../../src/host/rtnetlink/link-state.js';
import { Losses } from '../../../../src/host/rtnetlink/losses.js';
import { rtmNeigh } from '../../../../src/host/rtnetlink/neighbour-state.js';
import { Proxies } from '../../../../src/host/rtnetlink/proxy.js';
import { RouteState } from '../../../../src/host/rtnetlink/route-state.js';
import { hostOf } from '../../../../src/model/address.js';

// The kernel has one entry for each device and address, whoever asked for it.

const eth0 = 2;
const addresses = [
  hostOf({ family: 4, address: '192.0.2.31' }),
  hostOf({ family: 6, address: '2001:db8::31' }),
];

let asked: string[];
let refusal: Error | undefined;
let state: RouteState;
let proxies: Proxies;

beforeEach(() => {
  asked = [];
  refusal = undefined;
  state = new RouteState(new LinkState());
  const answer = async (type: number): Promise<void> => {
    asked.push(type === rtmNeigh.add ? 'add' : 'delete');
    await Promise.resolve();
    if (refusal !== undefined) throw refusal;
  };
  const netlink = { request: answer, remove: answer } as unknown as NetlinkConnection;
  proxies = new Proxies(
    netlink,
    () => [state],
    new Losses(),
    () => undefined,
  );
});

const owners = (): unknown[] => state.proxies().map(({ owner }) => owner);

test.each(addresses)('an entry for $address that is another vif’s by then stays', async (address) => {
  await proxies.set(eth0, address, 'vif32.0');
  await proxies.set(eth0, address, 'vif31.0');
  await proxies.delete(eth0, address, 'vif32.0');
  await proxies.delete(eth0, address, undefined);
  expect(asked).toEqual(['add', 'add']);
  expect(owners()).toEqual(['vif31.0']);
  await proxies.delete(eth0, address, 'vif31.0');
  expect(asked.at(-1)).toBe('delete');
  expect(owners()).toEqual([]);
});

test.each(addresses)('what two vifs ask for at once of $address is done in order', async (address) => {
  await proxies.set(eth0, address, 'vif32.0');
  await Promise.all([proxies.set(eth0, address, 'vif31.0'), proxies.delete(eth0, address, 'vif32.0')]);
  expect(asked).toEqual(['add', 'add']);
  await Promise.all([proxies.delete(eth0, address, 'vif31.0'), proxies.set(eth0, address, 'vif32.0')]);
  expect(asked).toEqual(['add', 'add', 'delete', 'add']);
  expect(owners()).toEqual(['vif32.0']);
});

test('an entry that the kernel refused is whose it was', async () => {
  const [address = hostOf({ family: 4, address: '192.0.2.1' })] = addresses;
  await proxies.set(eth0, address, 'vif32.0');
  refusal = new Error('No buffer space available');
  await expect(proxies.set(eth0, address, 'vif31.0')).rejects.toThrow();
  expect(owners()).toEqual(['vif32.0']);
});
