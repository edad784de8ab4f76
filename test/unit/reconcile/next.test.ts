import { expect, test } from 'vitest';
import { problem } from '../../../src/model/operation-error.js';
import { snapshot } from '../../../src/model/snapshot.js';
import { actionsOf, next } from '../../../src/reconcile/next.js';
import { configOf } from '../../fake/driver-domain.js';
import { Machine, type MachineState, plainLinks } from '../../fake/machine.js';

const id = { domid: 5, devid: 0 };
const config = configOf('');
const file = '/etc/xen/scripts/vif-lan';

const machine = (state: Partial<MachineState> = {}): Machine =>
  new Machine({
    links: plainLinks([{ name: 'xenbr0', kind: 'bridge' }, { name: 'vif5.0' }]),
    openvswitch: undefined,
    ip: {},
    scripts: new Map(),
    ...state,
  });

/** The keys of the vif. */
const known = (keys: Record<string, string>, isNew = true) => ({
  id,
  snapshot: snapshot(
    id,
    new Map(
      Object.entries({ online: '1', state: '2', mac: '00:16:3e:00:00:05', 'hotplug-status': '', ...keys }),
    ),
  ),
  isNew,
  attached: keys['hotplug-status'] === 'connected' ? { addresses: [] } : undefined,
});
const bridge = { script: '/etc/xen/scripts/vif-bridge', bridge: 'xenbr0' };

test('a step is the changes up to the undoing of a script, and what follows is foreseen', () => {
  const run = {
    file,
    ifindex: 2,
    gatewaydev: '',
    keys: { bridge: undefined, mac: undefined, ip: [], vifname: undefined, mtu: undefined, vlans: undefined },
    state: 'online',
  } as const;
  const there = machine({ scripts: new Map([['vif5.0', run]]) });
  const step = next(known(bridge), config, there.observe());
  expect(step).toMatchObject({
    kind: 'change',
    actions: [{ kind: 'undo-script' }],
    foreseen: [{ kind: 'nft' }, { kind: 'set-link' }],
  });
  expect(actionsOf(step).map(({ kind }) => kind)).toEqual(['undo-script', 'nft', 'set-link']);
});

test('the start of a script is a step of its own', () => {
  const step = next(known({ script: file }), config, machine().observe());
  expect(step).toMatchObject({ kind: 'start-script', script: { file } });
  expect(actionsOf(step).map(({ kind }) => kind)).toEqual(['run-script']);
});

test('what is withdrawn before a script is a step before its start', () => {
  const links = plainLinks([
    { name: 'xenbr0', kind: 'bridge' },
    { name: 'vif5.0', master: 'xenbr0', up: true },
  ]);
  const step = next(known({ script: file }), config, machine({ links }).observe());
  // The plan has the script too, but not this step: its start is a step of its own.
  expect(step).toMatchObject({ kind: 'change' });
  expect(actionsOf(step).map(({ kind }) => kind)).toEqual(['set-link', 'run-script']);
});

test('a script is taken for run only for a vif that is found connected by a daemon that is new to it', () => {
  const connected = { script: file, 'hotplug-status': 'connected' };
  const kinds = (isNew: boolean) => actionsOf(next(known(connected, isNew), config, machine().observe()));
  expect(kinds(true).map(({ kind }) => kind)).toEqual(['adopt-script']);
  expect(kinds(false).map(({ kind }) => kind)).toEqual(['run-script']);
});

test.each([
  ['a directory that does not exist', undefined, 'remove'],
  ['a vif that dom0 takes away', { online: '0', state: '5' }, 'closing'],
  ['a vif that dom0 has taken away', { online: '0', state: '6' }, 'remove'],
  ['a bridge that is not there', { ...bridge, bridge: 'xenbr9' }, 'fail'],
] as const)('%s, and nothing on the host: %s', (_, keys, kind) => {
  const links = plainLinks([{ name: 'xenbr0', kind: 'bridge' }]);
  const of =
    keys === undefined ? { id, snapshot: undefined, isNew: false, attached: undefined } : known(keys);
  const step = next(of, config, machine({ links }).observe());
  expect(step.kind).toBe(kind);
  expect(actionsOf(step)).toEqual([]);
});

test('a port that ovs-vswitchd refuses fails also for a vif that was connected', () => {
  const keys = {
    script: '/etc/xen/scripts/vif-openvswitch',
    bridge: 'ovsbr0',
    'hotplug-status': 'connected',
  };
  const there = machine({
    links: plainLinks([{ name: 'vif5.0' }]),
    openvswitch: { state: 'known', bridges: [{ name: 'ovsbr0' }], takes: false },
  });
  for (let step = next(known(keys), config, there.observe()); step.kind === 'change'; ) {
    for (const action of step.actions) there.perform(action);
    step = next(known(keys), config, there.observe());
  }
  expect(next(known(keys), config, there.observe()).kind).toBe('attached');
  expect(next(known({ ...keys, 'hotplug-status': '' }), config, there.observe()).kind).toBe('wait');
  there.openvswitch?.refuse('could not add network device vif5.0 to ofproto (Device or resource busy)');
  expect(next(known(keys), config, there.observe())).toMatchObject({
    kind: 'fail',
    problem: { reason: expect.stringMatching(/Device or resource busy/) },
  });
});

test('a vif whose floor was refused lately is planned without it and lacks it, and one that is held is not', () => {
  const floorRefused = problem('filter-refused', 'run', 'nft', 'Operation not permitted');
  const steps = (keys: Record<string, string>) => {
    const there = machine();
    const of = { ...known(keys), floorRefused };
    const first = next(of, config, there.observe());
    for (const action of actionsOf(first)) there.perform(action);
    const last = next(of, config, there.observe());
    const missing = last.kind === 'attached' ? last.missing.map((lack) => lack.problem.code) : undefined;
    return { kinds: actionsOf(first).map(({ kind }) => kind), missing };
  };
  expect(steps(bridge)).toEqual({ kinds: ['set-link'], missing: ['filter-refused'] });
  expect(steps({ ...bridge, ip: '192.0.2.5' })).toEqual({ kinds: ['nft', 'set-link'], missing: [] });
});
