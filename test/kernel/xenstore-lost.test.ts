import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../support/domnet.js';
import { attachedTo, linkOf, Monitor } from '../support/net.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

/** SIGTERM must end it in time, whatever xenstored does; systemd would wait longer, an administrator not. */
async function endsInTime(daemon: Vifd): Promise<void> {
  const began = performance.now();
  expect(await daemon.terminate()).toBe(0);
  expect(performance.now() - began).toBeLessThan(5000);
}

test('a xenstored that goes away leaves the vifs as they are, and is looked for again', async () => {
  const daemon = await domnet.vifd();
  const vif = await domnet.plug({ domid: 1 });
  await vif.connected();
  const monitor = await Monitor.start(domnet);
  domnet.xenstored.signal('SIGKILL');
  await daemon.logged('xenstore lost');
  expect(await monitor.changesOf(vif)).toEqual([]);
  expect(await linkOf(vif)).toMatchObject({ master: 'xenbr0' });

  await domnet.restartXenstored();
  await domnet.writeDevice({ domid: 1 });
  await vif.connected();
  await attachedTo(vif, 'xenbr0');
  const other = await domnet.plug({ domid: 2 });
  await other.connected();
  await other.unplug();
  expect(await daemon.terminate()).toBe(0);
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
