import { expect, test } from 'vitest';
import { type Dependency, Dependents, type News, netdev } from '../../../src/model/dependency.js';

const all: Dependency[] = [
  netdev('eth0'),
  netdev('default-route'),
  { kind: 'ports-of', bridge: 'eth0' },
  { kind: 'default-route' },
  { kind: 'next-hops' },
  { kind: 'forwarding' },
  { kind: 'own-addresses' },
  { kind: 'address', address: '10.0.0.5' },
  { kind: 'ipv6-of', device: 'eth0' },
  { kind: 'openvswitch' },
];

test('news concern what depends on the very same thing', () => {
  const dependents = new Dependents<Dependency>();
  for (const dependency of all) dependents.set(dependency, [dependency]);
  for (const news of all as News[]) expect([...dependents.concernedBy([news])]).toEqual([news]);
  expect(dependents.concernedBy(all as News[]).size).toBe(all.length);
  expect(dependents.concernedBy([]).size).toBe(0);
});

test('what depends on any device is concerned by all news', () => {
  const dependents = new Dependents<string>();
  dependents.set('vif5.0', [{ kind: 'any-netdev' }]);
  for (const news of all as News[]) expect([...dependents.concernedBy([news])]).toEqual(['vif5.0']);
  expect(dependents.concernedBy([]).size).toBe(0);
});

test('what it depended on before concerns it no longer', () => {
  const dependents = new Dependents<string>();
  dependents.set('vif5.0', [netdev('eth0'), netdev('eth1')]);
  dependents.set('vif6.0', [netdev('eth0')]);
  dependents.set('vif5.0', [netdev('eth1'), netdev('eth2')]);
  const of = (name: string): string[] => [...dependents.concernedBy([netdev(name)])];
  expect([of('eth0'), of('eth1'), of('eth2')]).toEqual([['vif6.0'], ['vif5.0'], ['vif5.0']]);
  dependents.set('vif5.0', []);
  expect([of('eth0'), of('eth1'), of('eth2')]).toEqual([['vif6.0'], [], []]);
});
