import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { until } from '../../support/process/exec.js';
import { type Entry, Journal } from '../../support/process/journal.js';

let domnet: Domnet;
let journal: Journal;
let daemon: ChildProcess;
let good: Vif;
let bad: Vif;

/** The entries that match, as soon as there is one. */
const entries = (...matches: string[]): Promise<Entry[]> =>
  until(`an entry with ${matches.join(' ')}`, async () => {
    const found = await journal.find(...matches);
    return found.length > 0 && found;
  });

beforeAll(async () => {
  domnet = await Domnet.start();
  journal = await Journal.start();
  await domnet.addBridge('xenbr0');
  const [file = '', ...words] = journal.command(domnet.vifdCommand());
  daemon = spawn(file, words, { env: domnet.vifdEnv, stdio: 'ignore' });
  await entries('MESSAGE=ready');
  good = await domnet.plug({ domid: 5 });
  await good.connected();
  bad = await domnet.plug({ domid: 6, devid: 1, keys: { bridge: 'nowhere' } });
  await bad.status('error');
});
afterAll(async () => {
  if (daemon.exitCode === null && daemon.signalCode === null) {
    const ended = once(daemon, 'exit');
    daemon.kill('SIGTERM');
    await ended;
  }
  await journal.stop();
  await domnet.stop();
});

const attached = '02feb0ab7eea46038efb5452ff7e4c88';

test.each(['VIF=vif5.0', 'XEN_DOMID=5', 'BRIDGE=xenbr0', 'TOPOLOGY=bridge', `MESSAGE_ID=${attached}`])(
  'an attached vif is found by %s, with every field',
  async (match) => {
    const [entry, ...others] = await entries(match);
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      MESSAGE: expect.stringMatching(/^vif5\.0 attached to bridge xenbr0 in [\d.]+ ms$/),
      MESSAGE_ID: attached,
      PRIORITY: '6',
      SYSLOG_IDENTIFIER: 'vifd',
      VIF: 'vif5.0',
      XEN_DOMID: '5',
      XEN_DEVID: '0',
      BRIDGE: 'xenbr0',
      TOPOLOGY: 'bridge',
      MTU: '1500',
      _TRANSPORT: 'journal',
      _PID: `${daemon.pid}`,
    });
    const { attachMs } = JSON.parse((await domnet.command('status', 'vif5.0', '--json')).stdout);
    expect(entry?.DURATION_USEC).toBe(`${Math.round(attachMs * 1000)}`);
  },
);

test('-p warning shows what is wrong, in the words of hotplug-error, and nothing else', async () => {
  const error = 'attach vif6.1 to bridge nowhere: no such bridge; the bridges here are xenbr0';
  // The kernel's own warnings are in it, too.
  const found = await entries('-p', 'warning', 'SYSLOG_IDENTIFIER=vifd');
  expect(found.map(({ MESSAGE, PRIORITY, VIF }) => ({ MESSAGE, PRIORITY, VIF }))).toEqual([
    { MESSAGE: error, PRIORITY: '4', VIF: 'vif6.1' },
  ]);
  expect(await entries(`ERROR=${error}`, 'VIF=vif6.1', 'XEN_DEVID=1', '-p', 'warning')).toHaveLength(1);
  expect(await bad.read('hotplug-error')).toBe(error);
  expect(await journal.find('VIF=vif5.0', '-p', 'warning')).toEqual([]);
});

test('a repair is a warning with the commands', async () => {
  await domnet.ip('link set vif5.0 nomaster');
  const [entry] = await entries('VIF=vif5.0', '-p', 'warning');
  expect(entry).toMatchObject({
    MESSAGE: expect.stringMatching(
      /^vif5\.0 repaired on bridge xenbr0 in [\d.]+ ms: ip link set dev vif5\.0 master xenbr0$/,
    ),
    ACTIONS: 'ip link set dev vif5.0 master xenbr0',
  });
});

test('one line a thing that happened: a whole life reads as it went', async () => {
  await good.unplug();
  await entries('MESSAGE=vif5.0 removed');
  const story = await entries('VIF=vif5.0');
  expect(story.map(({ MESSAGE }) => MESSAGE?.replace(/ in .*/, '').replace(/:.*/, ''))).toEqual([
    'vif5.0 attached to bridge xenbr0',
    'vif5.0 repaired on bridge xenbr0',
    'vif5.0 removed',
  ]);
});

test('a field cannot be forged by what dom0 or a guest writes', async () => {
  const vif = await domnet.writeDevice({ domid: 7, keys: { bridge: 'x\nPRIORITY=0\nVIF=vif99.0' } });
  await vif.status('error');
  const [entry] = await entries('VIF=vif7.0');
  expect(entry).toMatchObject({ PRIORITY: '4', VIF: 'vif7.0' });
  expect(await journal.find('VIF=vif99.0')).toEqual([]);
});

test('nothing goes past it: every entry of the daemon came with its fields', async () => {
  expect(await journal.find('_TRANSPORT=stdout')).toEqual([]);
});

test('a vif that goes without two things is found by the code of each', async () => {
  await domnet.ip('link add lan0 up type bridge stp_state 1');
  const vif = await domnet.plug({ domid: 7, keys: { bridge: 'lan0', gatewaydev: 'eth0' } });
  await vif.connected();
  for (const code of ['key-unused', 'bridge-waits']) {
    const found = await entries('VIF=vif7.0', `ERROR_CODE=${code}`);
    expect(found[0]?.MESSAGE).toMatch(/^vif7\.0 degraded: .*; /);
  }
  expect(await journal.find('VIF=vif5.0', 'ERROR_CODE=bridge-waits')).toEqual([]);
});
