import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { answers, attachedTo, Monitor, pingBetween } from '../../support/net/ping.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

/** SIGTERM must end it before systemd loses patience (TimeoutStopSec), also while xenstored does not answer. */
async function endsInTime(daemon: Vifd): Promise<void> {
  const began = performance.now();
  expect(await daemon.terminate()).toBe(0);
  expect(performance.now() - began).toBeLessThan(10_000);
}

/** What the daemon has said of a xenstore that is gone. */
const outages = (daemon: Vifd): string[] =>
  daemon.log.filter(({ msg }) => msg === 'xenstore lost').map(({ err }) => (err as Error).message);

test('a xenstored that goes away and comes back empty leaves the vifs as they are, and is looked for again', async () => {
  const daemon = await domnet.vifd();
  const vif = await domnet.plug({ domid: 1 });
  const gone = await domnet.plug({ domid: 2 });
  for (const each of [vif, gone]) await each.connected();
  const ping = await pingBetween(vif, gone);
  const monitor = await Monitor.start(domnet);
  domnet.xenstored.signal('SIGKILL');
  await daemon.logged('xenstore lost');

  await domnet.restartXenstored();
  await until('the empty store to be noticed', () => outages(daemon).some((text) => text.includes('domid')));
  // It looks every second, and says nothing more of what it has said.
  await answers(ping, 250);
  expect(outages(daemon)).toEqual([...new Set(outages(daemon))]);
  expect((await ping.stop()).lost).toBe(0);
  expect(await monitor.changesOf(vif, gone)).toEqual([]);

  // Once dom0 has told again what there is, what it has not told of is gone.
  await domnet.writeDevice({ domid: 1 });
  await domnet.introduce();
  await vif.connected();
  await attachedTo(vif, 'xenbr0');
  await attachedTo(gone, undefined);
  const other = await domnet.plug({ domid: 3 });
  await other.connected();
  await other.unplug();
  expect(await daemon.terminate()).toBe(0);
});

test('a daemon that starts on an empty store leaves the vifs as they are, and says why it does not start', async () => {
  const first = await domnet.vifd();
  const vif = await domnet.plug({ domid: 1 });
  await vif.connected();
  await first.terminate();
  await domnet.xenstore.rm('/local');
  const daemon = await domnet.vifd({ wait: false });
  expect(await daemon.exited()).toBe(1);
  expect(await daemon.logged('cannot run')).toMatchObject({ error: expect.stringContaining('read domid') });
  await attachedTo(vif, 'xenbr0');
});

test('a store that loses everything while the daemon looks at it does not cost the vifs their network', async () => {
  const daemon = await domnet.vifd();
  const vif = await domnet.plug({ domid: 1 });
  await vif.connected();
  await domnet.xenstore.rm('/local');
  await daemon.logged('xenstore lost');
  await attachedTo(vif, 'xenbr0');
  await domnet.writeDevice({ domid: 1 });
  await domnet.introduce();
  await vif.connected();
});

test('it ends in time while there is no xenstored', async () => {
  const daemon = await domnet.vifd();
  domnet.xenstored.signal('SIGKILL');
  await daemon.logged('xenstore lost');
  await endsInTime(daemon);
});

test('a xenstored that stops for a while misses nothing, and the links are looked after meanwhile', async () => {
  const daemon = await domnet.vifd();
  const vif = await domnet.plug({ domid: 1 });
  const gone = await domnet.plug({ domid: 2 });
  for (const each of [vif, gone]) await each.connected();
  domnet.xenstored.signal('SIGSTOP');
  await domnet.ip(`link set ${vif.name} nomaster`);
  await attachedTo(vif, 'xenbr0');
  const fresh = domnet.plug({ domid: 3 });
  const removed = domnet.xenstore.rm(gone.backend);
  domnet.xenstored.signal('SIGCONT');
  await (await fresh).connected();
  await removed;
  await attachedTo(gone, undefined);
  expect(daemon.log.filter(({ msg }) => msg === 'xenstore lost')).toEqual([]);
});

test('it ends in time while xenstored is stopped, with work under way', async () => {
  const daemon = await domnet.vifd();
  const vif = await domnet.plug({ domid: 1 });
  await vif.connected();
  domnet.xenstored.signal('SIGSTOP');
  // It reads the keys anew for the netdev that went, or will when it is answered.
  await vif.removeNetdev();
  await endsInTime(daemon);
});

test('it ends in time when xenstored was stopped before it started', async () => {
  domnet.xenstored.signal('SIGSTOP');
  const daemon = await domnet.vifd({ wait: false });
  await daemon.logged('starting');
  await endsInTime(daemon);
});

test('without a xenstored it does not start, and says why', async () => {
  domnet.xenstored.signal('SIGKILL');
  const daemon = await domnet.vifd({ env: { XENSTORED_PATH: `${domnet.dir}/none` }, wait: false });
  expect(await daemon.exited()).toBe(1);
  expect(await daemon.logged('cannot run')).toMatchObject({
    level: 'fatal',
    error: expect.stringContaining('xenstored cannot be reached'),
  });
});
