import { expect, test } from 'vitest';
import { type VifId, vifName } from '../../../src/model/vif-id.js';
import { Refused } from '../../fake/backend.js';
import { DriverDomain } from '../../fake/driver-domain.js';
import type { Held } from '../../fake/faults.js';

const vifs: readonly VifId[] = [5, 6, 7, 8].map((domid) => ({ domid, devid: 0 }));
const bridges = ['xenbr0', 'xenbr1'];

/** Random numbers from 0 to 1, the same for the same seed. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

/** The events that can happen in a driver domain at any moment; each is a step. */
function disturbances(domain: DriverDomain, pick: <T>(of: readonly T[]) => T) {
  const { host, backend } = domain;
  const ends: (() => void)[] = [];
  const held: Held[] = [];
  const id = (): VifId => pick(vifs);
  const ifThere = (vif: VifId, act: () => void): void => {
    if (backend.keys(vif) !== undefined) act();
  };
  const steps = {
    create: () => {
      const vif = id();
      if (backend.keys(vif) === undefined)
        backend.create(vif, { bridge: pick(bridges), ip: pick(['', '10.0.0.5']) });
    },
    netdev: () => {
      const name = vifName(id());
      if (host.link(name) === undefined) host.add({ name });
      else if (pick([true, false])) host.remove(name);
    },
    takeAway: () => {
      const vif = id();
      ifThere(vif, () => backend.set(vif, { online: '0', state: pick(['5', '6', '6']) }));
    },
    delete: () => {
      const vif = id();
      ifThere(vif, () => backend.delete(vif));
    },
    reuse: () => {
      const vif = id();
      ifThere(vif, () => {
        backend.delete(vif);
        backend.create(vif, { bridge: pick(bridges) });
      });
    },
    key: () => {
      const vif = id();
      ifThere(vif, () =>
        backend.set(
          vif,
          pick([{ bridge: pick(bridges) }, { mtu: '1400' }, { mtu: undefined }, { ip: 'x' }, { ip: '' }]),
        ),
      );
    },
    status: () => {
      const vif = id();
      ifThere(vif, () =>
        backend.set(vif, pick([{ 'hotplug-status': undefined }, { 'hotplug-status': 'error' }])),
      );
    },
    bridge: () => {
      const name = pick(bridges);
      if (host.link(name) === undefined) host.add({ name, kind: 'bridge', up: true });
      else host.remove(name);
    },
    down: () => {
      const name = vifName(id());
      if (host.link(name) !== undefined)
        host.change(name, { up: pick([true, false]), master: undefined, port: undefined });
    },
    failAction: () =>
      void ends.push(
        host.fail(pick(['set-link', 'nft'] as const), 'Device or resource busy', pick([1, 2, 5])),
      ),
    failForAWhile: () => void ends.push(host.fail('set-link', 'Device or resource busy')),
    ignore: () => void ends.push(host.ignore('set-link')),
    heal: () => {
      for (const end of ends.splice(0)) end();
    },
    holdAction: () => void held.push(host.hold('set-link')),
    holdRequest: () =>
      void held.push(
        backend.hold(pick(['read', 'report', 'remove'] as const), pick(['request', 'answer'] as const)),
      ),
    refuse: () => {
      const operation = pick(['read', 'report', 'remove', 'list'] as const);
      ends.push(backend.fail(operation, new Refused('EAGAIN'), { times: 1 }));
    },
    above: () => backend.announceAbove(pick([undefined, 5, 6])),
    release: () => {
      const error = pick([undefined, new Error('Interrupted system call')]);
      for (const one of held.splice(0)) one.release(error);
    },
  };
  return { steps: Object.values(steps), heal: () => [steps.heal, steps.release].map((end) => end()) };
}

test.each([1, 2, 3, 4, 5, 6])('all is well a minute after the last disturbance, seed %i', async (seed) => {
  const next = random(seed);
  const pick = <T>(of: readonly T[]): T => of[Math.floor(next() * of.length)] as T;
  const domain = new DriverDomain({ links: bridges.map((name) => ({ name, kind: 'bridge', up: true })) });
  await domain.start();
  const { steps, heal } = disturbances(domain, pick);
  for (let count = 0; count < 150; count++) {
    pick(steps)();
    if (pick([true, false])) await domain.settle();
    else await domain.pass(Math.floor(next() * 700));
  }
  // The state of the machine is right, except for what vifd has to do.
  heal();
  await domain.settle();
  heal();
  for (const name of bridges)
    if (domain.host.link(name) === undefined) domain.host.add({ name, kind: 'bridge', up: true });
  for (const vif of vifs) {
    const keys = domain.backend.keys(vif);
    if (keys === undefined) continue;
    if (keys.online === '0') domain.backend.set(vif, { state: '6' });
    else domain.backend.set(vif, { ip: '' });
    if (keys.online !== '0' && domain.host.link(vifName(vif)) === undefined)
      domain.host.add({ name: vifName(vif) });
  }
  await domain.pass(65_000);

  for (const vif of vifs) {
    const keys = domain.backend.keys(vif);
    const link = domain.host.link(vifName(vif));
    if (keys === undefined) {
      expect(await domain.status(vif), vifName(vif)).toBeUndefined();
      expect(link?.up ?? false, vifName(vif)).toBe(false);
      expect(link?.master, vifName(vif)).toBeUndefined();
      expect(domain.hooks.of(vifName(vif)).at(-1) ?? 'detach', vifName(vif)).toBe('detach');
    } else {
      expect(keys.online, vifName(vif)).toBe('1');
      expect(domain.told(vif), vifName(vif)).toEqual({ status: 'connected', error: undefined });
      expect(await domain.status(vif)).toMatchObject({ state: 'attached', error: null });
      expect(link, vifName(vif)).toMatchObject({
        up: true,
        master: domain.host.link(keys.bridge ?? '')?.index,
      });
      expect(domain.hooks.of(vifName(vif)).at(-1), vifName(vif)).not.toBe('detach');
    }
  }
  const rounds = domain.host.refreshes;
  const commands = domain.host.performed.length;
  const attached = domain.reconciler.phases().length;
  const reconciliations = await domain.reconciliationsDuring(() => domain.pass(120_000));
  expect(reconciliations).toBe(attached * (domain.host.refreshes - rounds));
  expect(domain.host.performed).toHaveLength(commands);
  expect(domain.losses).toEqual([]);
});
