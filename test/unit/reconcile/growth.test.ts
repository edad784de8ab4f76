import { expect, test } from 'vitest';
import type { ObservedState } from '../../../src/model/observed.js';
import { snapshot } from '../../../src/model/snapshot.js';
import type { VifId } from '../../../src/model/vif-id.js';
import { next, type Step } from '../../../src/reconcile/next.js';
import { configOf } from '../../fake/driver-domain.js';
import { Machine, plainLinks } from '../../fake/machine.js';

// What a look at one vif asks of the machine: neither the questions nor what they are answered with may grow with the vifs beside.

const config = configOf('');
const mac = (domid: number): string => `00:16:3e:00:00:${domid.toString(16).padStart(2, '0')}`;
const kinds = {
  bridged: (domid: number) => ({ script: 'vif-bridge', bridge: 'xenbr0', ip: `172.20.0.${domid}` }),
  routed: (domid: number) => ({
    script: 'vif-route',
    gatewaydev: 'eth0',
    ip: `172.21.0.${domid} fd00::${domid}`,
  }),
  'behind NAT': () => ({ script: 'vif-nat' }),
  'behind NAT, with an address': (domid: number) => ({ script: 'vif-nat', ip: `172.22.${domid}.5` }),
};
type Kind = keyof typeof kinds;

function stepOf(kind: Kind, id: VifId, isUp: boolean, observed: ObservedState): Step {
  const keys = {
    online: '1',
    state: '2',
    mac: mac(id.domid),
    'hotplug-status': '',
    ...kinds[kind](id.domid),
  };
  const attached = isUp ? { addresses: [] } : undefined;
  return next(
    { id, snapshot: snapshot(id, new Map(Object.entries(keys))), isNew: !isUp, attached },
    config,
    observed,
  );
}

/** A machine with so many vifs that are attached, and the netdev of one that is not. */
function crowd(kind: Kind, count: number): Machine {
  const domids = Array.from({ length: count }, (_, i) => 10 + i);
  const machine = new Machine({
    links: plainLinks([
      { name: 'eth0', up: true, addresses: ['192.0.2.2/24'], carrierSince: 0 },
      { name: 'xenbr0', kind: 'bridge', up: true },
      ...[...domids, 5].map((domid) => ({ name: `vif${domid}.0` })),
    ]),
    openvswitch: undefined,
    ip: { routes: [{ to: '0.0.0.0/0', dev: 'eth0' }] },
    scripts: new Map(),
  });
  for (const domid of domids) attach(kind, { domid, devid: 0 }, machine);
  return machine;
}

/** Takes steps until nothing is left to do. @param see what it sees of the machine */
function attach(kind: Kind, id: VifId, machine: Machine, see = (observed: ObservedState) => observed): void {
  for (let round = 0; round < 4; round++) {
    const step = stepOf(kind, id, false, see(machine.observe()));
    if (step.kind === 'attached') return;
    if (step.kind !== 'change') throw new Error(`${kind}: ${JSON.stringify(step)}`);
    for (const action of step.actions) machine.perform(action);
  }
  throw new Error(`${kind}: not attached`);
}

/** Counts the questions, and the items of their answers, by what was asked. */
class Asked {
  readonly counts: Record<string, number> = {};

  readonly see = (observed: ObservedState): ObservedState => {
    const { links, nft, ip } = observed;
    if (nft === undefined || ip === undefined) throw new Error('nothing to see');
    const routes = this.#counted('routes', ip.routes);
    const masquerades = this.#counted('masquerades', ip.masquerades);
    return {
      ...observed,
      links: this.#counted('links', links),
      nft: this.#counted('nft', nft),
      ip: { ...ip, routes, masquerades, sysctl: (name) => ip.sysctl(name) },
    };
  };

  #counted<T extends object>(name: string, of: T): T {
    return new Proxy(of, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key, target);
        if (typeof value !== 'function') return value;
        return (...values: unknown[]): unknown => {
          const answer: unknown = Reflect.apply(value, target, values);
          const what = `${name}.${String(key)}`;
          const isMany = typeof answer === 'object' && answer !== null && Symbol.iterator in answer;
          const items = isMany ? [...(answer as Iterable<unknown>)] : [];
          this.counts[what] = (this.counts[what] ?? 0) + 1 + items.length;
          // An iterator can be read once.
          return isMany && 'next' in answer ? items.values() : answer;
        };
      },
    });
  }
}

/** What is asked for one more vif: until it is attached, and in a look at it then. */
function asked(kind: Kind, machine: Machine): { birth: Asked['counts']; look: Asked['counts'] } {
  const id = { domid: 5, devid: 0 };
  const [birth, look] = [new Asked(), new Asked()];
  attach(kind, id, machine, birth.see);
  const step = stepOf(kind, id, true, look.see(machine.observe()));
  expect(step.kind).toBe('attached');
  return { birth: birth.counts, look: look.counts };
}

test.each(Object.keys(kinds) as Kind[])('as much is asked for a vif %s beside 200 as beside 10', (kind) => {
  expect(asked(kind, crowd(kind, 200))).toEqual(asked(kind, crowd(kind, 10)));
});
