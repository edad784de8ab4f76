import { expect, test } from 'vitest';
import {
  Dependencies,
  type Dependency,
  dependencyKey,
  type News,
  netdev,
} from '../../../src/model/dependency.js';

const all: Dependency[] = [
  netdev('eth0'),
  netdev('default-route'),
  { kind: 'ports-of', bridge: 'eth0' },
  { kind: 'default-route' },
  { kind: 'address', address: '10.0.0.5' },
  { kind: 'ipv6-of', device: 'eth0' },
  { kind: 'openvswitch' },
];

test('news concern what depends on the very same thing', () => {
  for (const dependency of all) {
    const dependencies = new Dependencies([dependency]);
    const concerning = all.filter((news) => dependencies.concern([dependencyKey(news)]));
    expect(concerning).toEqual([dependency]);
    expect(dependencies.concern([])).toBe(false);
    expect(dependencies.concern([dependencyKey({ kind: 'anything' })])).toBe(true);
  }
});

test('what depends on any device is concerned by all news', () => {
  const dependencies = new Dependencies([{ kind: 'any-netdev' }]);
  for (const news of all as News[]) expect(dependencies.concern([dependencyKey(news)])).toBe(true);
});
