import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import {
  addressOf,
  connectUplink,
  guest,
  type Kind,
  keysOf,
  outer,
  pingFrom,
  prepareTopologies,
} from '../../support/net/guests.js';
import { type HostState, hostState } from '../../support/net/host-state.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { until } from '../../support/process/exec.js';
import { buildShim } from '../../support/process/shim.js';

// SIGKILL before each request to the kernel, to xenstored or to Open vSwitch's database while a vif is attached, and while it
// is detached. The next daemon makes of what is left the same as of nothing. `FAULTS=all` has every topology, and every step, in
// parts that can be run by their names; else NAT, which has the most steps, and every twentieth of them.

const all = process.env.FAULTS === 'all';
const kinds: readonly Kind[] = all ? ['bridge', 'route', 'nat', 'openvswitch'] : ['nat'];
const stride = all ? 8 : 20;
const parts = kinds.flatMap((kind, k) =>
  Array.from({ length: all ? stride : 1 }, (_, i) => ({
    kind,
    name: `${kind} from ${i + 1}`,
    from: i + 1,
    domid: 20 + 3 * (k * stride + i),
  })),
);

let domnet: Domnet;
let ovs: OpenVswitch | undefined;
let shim: string;
let trigger: string;

beforeAll(async () => {
  shim = await buildShim(fileURLToPath(new URL('../../support/process/killer-shim.c', import.meta.url)));
  domnet = await Domnet.start();
  if (all) ovs = await prepareTopologies(domnet);
  else await connectUplink(domnet);
  trigger = `${domnet.dir}/trigger`;
});
afterAll(async () => {
  await ovs?.stop();
  await domnet.stop();
});

/** Starts a daemon; on a busy machine a start takes long, and there are hundreds of them. */
async function start(options: { env?: Record<string, string> } = {}): Promise<Vifd> {
  const daemon = await domnet.vifd({ ...(ovs && { config: ovs.config }), ...options, wait: false });
  await until('a daemon that is ready', () => daemon.log.some(({ msg }) => msg === 'ready'), 60_000);
  return daemon;
}

/** A daemon that is killed before its request of this number, once {@link trigger} exists. */
const mortal = (at: number): Promise<Vifd> =>
  start({ env: { LD_PRELOAD: shim, VIFD_KILL_AT: `${at}`, VIFD_KILL_TRIGGER: trigger } });

/** Whether something was done before the daemon was killed. */
async function survives(daemon: Vifd, done: Promise<unknown>): Promise<boolean> {
  const ended = daemon.exited().then(() => false);
  return await Promise.race([ended, done.then(() => true)]);
}

/** What dom0 and netback do to take a vif away, up to where the agent has its part. */
async function withdraw(vif: Vif): Promise<void> {
  await vif.write({ online: '0', state: '5' });
  await vif.setState(6);
  await vif.removeNetdev().catch(() => undefined);
}

const sorted = (state: HostState): unknown =>
  Object.fromEntries(
    // Each start says another word there.
    [...state]
      .filter(([name]) => !name.endsWith('/data/vifd'))
      .sort()
      .map(([name, values]) => [name, Object.fromEntries([...values].map(withoutNumber).sort())]),
  );

/** Open vSwitch gives each port that is made the next number. */
const withoutNumber = ([key, value]: [string, string]): [string, string] =>
  key === 'ofport' && Number(value) > 0 ? [key, 'a number'] : [key, value];

test.each(parts)(
  '$name',
  async ({ kind, from, domid }) => {
    const first = await start();
    const bystanders = [await guest(domnet, kind, domid + 1), await guest(domnet, kind, domid + 2)] as const;
    const isBridged = kind === 'bridge' || kind === 'openvswitch';
    const ping = await pingFrom(bystanders[0], isBridged ? addressOf(kind, bystanders[1]) : outer);
    const plug = (): Promise<Vif> => domnet.plug({ domid, keys: keysOf(kind, domid) });
    const state = (vif: Vif): Promise<unknown> => hostState(domnet, vif, vif.name, ovs).then(sorted);
    const isGone = (vif: Vif): Promise<unknown> => until('its end', async () => !(await vif.exists()));

    const model = await plug();
    await model.connected();
    const attached = await state(model);
    await withdraw(model);
    await isGone(model);
    const detached = await state(model);
    await first.terminate();

    let kills = 0;
    // Starts are most of the time that this takes: the daemon that ends what one step has left goes on with the next.
    let attaching = await mortal(from);
    for (let at = from, before = -1; kills > before && at < 200; at += stride) {
      before = kills;
      writeFileSync(trigger, '');
      const vif = await plug();
      if (!(await survives(attaching, vif.connected()))) kills++;
      rmSync(trigger);
      await attaching.kill();

      const detaching = await mortal(at);
      await vif.connected();
      expect(await state(vif), `killed before request ${at} of the attachment`).toEqual(attached);
      writeFileSync(trigger, '');
      await withdraw(vif);
      if (!(await survives(detaching, isGone(vif)))) kills++;
      rmSync(trigger);
      await detaching.kill();

      attaching = await mortal(at + stride);
      await isGone(vif);
      expect(await state(vif), `killed before request ${at} of the detachment`).toEqual(detached);
    }
    await attaching.kill();
    expect(kills).toBeGreaterThan(from < 4 ? 3 : 1);
    expect((await ping.stop()).lost).toBe(0);
  },
  600_000,
);
