import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { answers, pingBetween } from '../../support/net/ping.js';
import type { Ping } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let daemon: Vifd;
let ping: Ping;

/** What dom0 reads of a driver domain's vifd; undefined when it does not serve. */
const presence = () => domnet.xenstore.read('/local/domain/0/data/vifd').catch(() => undefined);
const served = (value: string | undefined) => expect(value).toMatch(/^\d+\.\d+\.\d+\S* [0-9a-f]{16}$/);
/** The watchdog's time makes it look every 100 ms. */
const watched = { env: { WATCHDOG_USEC: '300000' } };

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  expect(await presence()).toBeUndefined();
  daemon = await domnet.vifd(watched);
  const vifs = [await domnet.plug({ domid: 1 }), await domnet.plug({ domid: 2 })] as const;
  for (const vif of vifs) await vif.connected();
  ping = await pingBetween(...vifs);
});
afterAll(() => domnet.stop());

test('once it is ready it says so, with its version, and again when the node is removed', async () => {
  const before = await presence();
  served(before);
  await domnet.xenstore.rm('/local/domain/0/data');
  await until('the node to be there again', async () => (await presence()) === before);
});

test('killed, it leaves the node; started again, it takes it away until it serves, with another word', async () => {
  const before = await presence();
  await daemon.kill();
  expect(await presence()).toBe(before);
  const seen: (string | undefined)[] = [];
  const watch = await domnet.xenstore.watch('/local/domain/0/data/vifd');
  const following = (async () => {
    for await (const _ of watch) seen.push(await presence());
  })();
  daemon = await domnet.vifd(watched);
  await until('the node to be written', () => seen.at(-1) !== undefined && seen.at(-1) !== before);
  await watch.close();
  await following;
  expect(seen[0]).toBe(before);
  expect(seen).toContain(undefined);
  served(seen.at(-1));
});

test('ended, it removes the node', async () => {
  expect(await daemon.terminate()).toBe(0);
  expect(await presence()).toBeUndefined();
  daemon = await domnet.vifd(watched);
  served(await presence());
});

test('a store that was started anew has it once dom0 has told of the domain again', async () => {
  await answers(ping, 10);
  domnet.xenstored.signal('SIGKILL');
  await daemon.logged('xenstore lost');
  await domnet.restartXenstored();
  const empty = (text: unknown) => String((text as Error | undefined)?.message).includes('domid');
  await until('the empty store to be noticed', () => daemon.log.some(({ err }) => empty(err)));
  expect(await domnet.xenstore.directory('/local/domain').catch(() => [])).toEqual([]);
  for (const domid of [1, 2]) await domnet.writeDevice({ domid });
  await domnet.introduce();
  await until('the node to be there', async () => (await presence()) !== undefined);
  await answers(ping, 10);
  expect((await ping.stop()).lost).toBe(0);
});
