import { expect, it } from 'vitest';
import { filterFor } from '../../../src/decide/antispoof.js';
import { snapshot } from '../../../src/model/snapshot.js';
import type { TopologyName } from '../../../src/model/topology-name.js';
import { filterSpec, networksIn } from '../../fake/filter.js';

const id = { domid: 5, devid: 0 };
const keys = (more: Record<string, string>) =>
  snapshot(id, new Map(Object.entries({ script: 'vif-bridge', online: '1', ...more })));

it('holds a vif by mode', () => {
  const filter = (mode: 'auto' | 'strict' | 'off', more: Record<string, string>) =>
    filterFor(
      keys(more),
      { antispoof: { mode, controlFrames: false }, vifs: [], groups: [] },
      { topology: undefined },
    );
  const mac = '00:16:3e:00:05:00';
  expect(filter('auto', { mac })).toEqual({ filter: undefined });
  expect(filter('off', { mac, ip: '10.0.0.5' })).toEqual({ filter: undefined });
  expect(filter('auto', { mac, ip: '10.0.0.5' })).toEqual({ filter: filterSpec() });
  expect(filter('strict', { mac, ip: '10.0.0.5' })).toEqual({ filter: filterSpec() });
  expect(filter('strict', { mac })).toHaveProperty('problem.target', 'its addresses');
  expect(filter('auto', { ip: '10.0.0.5' })).toHaveProperty('problem.target', 'its MAC address');
});

it('adds allow to what a vif is held to, and begins to hold none by it', () => {
  const allow = networksIn('fe80::/10');
  const filter = (
    { ip, topology = 'bridge' }: { ip?: string; topology?: TopologyName },
    mode: 'auto' | 'strict' | 'off',
    antispoof?: 'off' | 'mac' | 'addresses',
  ) =>
    filterFor(
      keys({ mac: '00:16:3e:00:05:00', ...(ip === undefined ? {} : { ip }) }),
      {
        antispoof: { mode, controlFrames: false },
        vifs: [{ bridge: undefined, mac: undefined, allow, ...(antispoof && { antispoof }) }],
        groups: [],
      },
      { topology, reverse: topology === 'route' },
    );
  const floor = filterSpec(undefined, { hold: 'nothing', macs: [], networks: [] });
  expect(filter({}, 'auto')).toEqual({ filter: floor });
  expect(filter({}, 'off')).toEqual({ filter: floor });
  expect(filter({}, 'auto', 'off')).toEqual({ filter: floor });
  expect(filter({}, 'auto', 'mac')).toEqual({ filter: filterSpec('', { hold: 'mac', networks: [] }) });
  expect(filter({}, 'auto', 'addresses')).toEqual({ filter: filterSpec('fe80::/10') });
  expect(filter({}, 'strict')).toEqual({ filter: filterSpec('fe80::/10') });
  expect(filter({ ip: '10.0.0.5' }, 'auto')).toEqual({ filter: filterSpec('10.0.0.5 fe80::/10') });
  // What is routed is always held.
  expect(filter({ topology: 'route' }, 'auto')).toEqual({
    filter: filterSpec('fe80::/10', { reverse: true }),
  });
});

it('keeps control frames of a vif on a bridge from leaving, held or not, unless these may', () => {
  const of = (
    topology: TopologyName | undefined,
    controlFrames: boolean,
    own: boolean | undefined,
    ip?: string,
  ) =>
    filterFor(
      keys({ mac: '00:16:3e:00:05:00', ...(ip === undefined ? {} : { ip }) }),
      {
        antispoof: { mode: 'auto', controlFrames },
        vifs: own === undefined ? [] : [{ bridge: undefined, mac: undefined, controlFrames: own }],
        groups: [],
      },
      { topology },
    );
  const floor = filterSpec(undefined, { hold: 'nothing', macs: [], networks: [] });
  for (const topology of ['bridge', 'openvswitch'] as const) {
    expect(of(topology, false, undefined)).toEqual({ filter: floor });
    expect(of(topology, true, false)).toEqual({ filter: floor });
    expect(of(topology, true, undefined)).toEqual({ filter: undefined });
    expect(of(topology, false, true)).toEqual({ filter: undefined });
    expect(of(topology, true, undefined, '10.0.0.5')).toEqual({
      filter: filterSpec('10.0.0.5', { controlFrames: true }),
    });
  }
  // What is routed is not bridged, and what a script of an operator's does is not known.
  expect(of('route', false, undefined)).toEqual({ filter: undefined });
  expect(of(undefined, false, undefined)).toEqual({ filter: undefined });
});
