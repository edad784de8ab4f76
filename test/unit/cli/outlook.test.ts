import { expect, test } from 'vitest';
import { outlook } from '../../../src/cli/outlook.js';
import type { ScriptRun } from '../../../src/model/script.js';
import { snapshot } from '../../../src/model/snapshot.js';
import { actionsOf, next } from '../../../src/reconcile/next.js';
import { configOf } from '../../fake/driver-domain.js';
import { Machine, type PlainLink, plainLinks } from '../../fake/machine.js';
import type { PlainOvs } from '../../fake/openvswitch-machine.js';

const id = { domid: 5, devid: 0 };
const file = '/etc/xen/scripts/vif-lan';
const ofOvs = { script: '/etc/xen/scripts/vif-openvswitch', bridge: 'ovsbr0' };
const ovsbr0: PlainOvs = { state: 'known', bridges: [{ name: 'ovsbr0' }] };

interface Situation {
  readonly keys?: Readonly<Record<string, string>> | null;
  readonly links?: readonly PlainLink[];
  readonly openvswitch?: PlainOvs;
  readonly run?: Partial<ScriptRun>;
  /** What ovs-vswitchd says of the port. */
  readonly refuses?: string;
}

/** What is said of a vif for which everything has been done. */
function afterwards({ keys = {}, links, openvswitch, run, refuses }: Situation) {
  const there = new Machine({
    links: plainLinks(links ?? [{ name: 'xenbr0', kind: 'bridge' }, { name: 'vif5.0' }]),
    openvswitch,
    ip: {},
    scripts: new Map(),
  });
  const all = {
    online: '1',
    state: '2',
    mac: '00:16:3e:00:00:05',
    script: '/etc/xen/scripts/vif-bridge',
    bridge: 'xenbr0',
  };
  const known = {
    id,
    snapshot: keys === null ? undefined : snapshot(id, new Map(Object.entries({ ...all, ...keys }))),
    isNew: true,
    attached: keys?.['hotplug-status'] === 'connected' ? { addresses: [] } : undefined,
  };
  for (let round = 0; round < 9; round++) {
    const actions = actionsOf(next(known, configOf(''), there.observe()));
    for (const action of actions) there.perform(action);
    if (actions.length === 0) break;
  }
  const ran = there.scripts.get('vif5.0');
  if (run !== undefined && ran !== undefined) there.scripts.set('vif5.0', { ...ran, ...run });
  if (refuses !== undefined) there.openvswitch?.refuse(refuses);
  const step = next(known, configOf(''), there.observe());
  expect(actionsOf(step)).toEqual([]);
  const { headline, problem, waitsFor, missing } = outlook(id, step);
  return {
    headline,
    problem: problem?.code,
    waitsFor: waitsFor?.code,
    missing: missing.map((one) => one.code),
  };
}

const nothing = { problem: undefined, waitsFor: undefined, missing: [] };

test.each<[string, Situation, Partial<ReturnType<typeof afterwards>>]>([
  ['attached', {}, { headline: 'vif5.0 is attached as it should be' }],
  [
    'attached with a key that is of no use',
    { keys: { gatewaydev: 'eth0' } },
    { headline: 'vif5.0 is attached, and goes without what follows', missing: ['key-unused'] },
  ],
  [
    'a port that ovs-vswitchd refuses',
    { keys: ofOvs, openvswitch: ovsbr0, refuses: 'Device or resource busy' },
    {
      headline: 'attach vif5.0 to Open vSwitch bridge ovsbr0: Device or resource busy',
      problem: 'openvswitch-port-refused',
    },
  ],
  [
    'a port that ovs-vswitchd has not taken',
    { keys: ofOvs, openvswitch: { ...ovsbr0, takes: false } },
    {
      headline: 'vif5.0 waits for ovs-vswitchd, which has not taken its port; does it run?',
      waitsFor: 'openvswitch-port-late',
    },
  ],
  [
    'the same of a vif that was connected',
    { keys: { ...ofOvs, 'hotplug-status': 'connected' }, openvswitch: { ...ovsbr0, takes: false } },
    { headline: 'vif5.0 is attached, and goes without what follows', missing: ['openvswitch-port-late'] },
  ],
  [
    'a netdev that netback has not made',
    { links: [{ name: 'xenbr0', kind: 'bridge' }] },
    { headline: 'vif5.0 waits for its netdev, which netback creates', waitsFor: 'netdev-late' },
  ],
  [
    'a script that has failed',
    { keys: { script: file }, run: { state: 'failed', reason: 'exit status 1' } },
    { headline: `run script ${file}: exit status 1`, problem: 'script-failed' },
  ],
  [
    'a script that failed in its own words',
    {
      keys: { script: file, 'hotplug-status': 'error', 'hotplug-error': 'no such VLAN' },
      run: { state: 'online' },
    },
    { headline: `run script ${file}: no such VLAN`, problem: 'script-failed' },
  ],
  [
    'a script that runs',
    { keys: { script: file }, run: { state: 'running' } },
    { headline: `vif5.0: ${file} runs for it` },
  ],
  [
    'a script that ended without a word',
    { keys: { script: file }, run: { state: 'online' } },
    {
      headline: `vif5.0 waits: run script ${file}: it ended well but wrote no hotplug-status`,
      waitsFor: 'script-silent',
    },
  ],
  [
    'a script that has attached the vif',
    { keys: { script: file, 'hotplug-status': 'connected' }, run: { state: 'online' } },
    { headline: `vif5.0: ${file} has been run for it, and nothing is left to do` },
  ],
  [
    'a bridge that is not there',
    { keys: { bridge: 'xenbr9' } },
    {
      headline: 'attach vif5.0 to bridge xenbr9: no such bridge; the bridges here are xenbr0',
      problem: 'bridge-missing',
    },
  ],
  [
    'a vif that dom0 takes away',
    { keys: { online: '0', state: '5' } },
    { headline: 'vif5.0 is being taken away by dom0; netback is still closing it' },
  ],
  [
    'a vif that is closed',
    { keys: { online: '0', state: '6' } },
    { headline: 'vif5.0 is closed: undo what was done for it, then delete backend/vif/5/0' },
  ],
  [
    'a vif that there is not',
    { keys: null },
    { headline: 'there is no backend/vif/5/0, and nothing on this host belongs to vif5.0' },
  ],
])('nothing is left to change for %s, and it is said how it stands', (_, situation, expected) => {
  expect(afterwards(situation)).toEqual({ ...nothing, ...expected });
});
