import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { answers, attachedTo, linkOf, Monitor, pingBetween } from '../../support/net/ping.js';
import { Background } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let daemon: Vifd;
let plain: Vif;
let named: Vif;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  daemon = await domnet.vifd();
  plain = await domnet.plug({ domid: 1 });
  named = await domnet.plug({ domid: 2, keys: { vifname: 'web0', mtu: '1400' } });
  for (const vif of [plain, named]) {
    await vif.connected();
    await vif.setState(4);
  }
});
afterAll(() => domnet.stop());

/** All that can be said of the two, but for the kernel's own link-local addresses, whose state changes by itself. */
const attributes = async () =>
  [await linkOf(plain), await linkOf(named, 'web0')].map(({ addr_info, ...link }) => ({
    ...link,
    addresses: addr_info.filter(({ scope }) => scope !== 'link'),
  }));

describe.each(['SIGTERM', 'SIGKILL'])('%s, and started again', (signal) => {
  beforeEach(async () => {
    await attachedTo(plain, 'xenbr0');
  });

  test('not a packet is lost, and nothing is touched', async () => {
    const ping = await pingBetween(plain, named);
    const monitor = await Monitor.start(domnet);
    const before = await attributes();

    if (signal === 'SIGTERM') expect(await daemon.terminate()).toBe(0);
    else expect(await daemon.kill()).toBe('SIGKILL');
    await answers(ping, 10);
    daemon = await domnet.vifd();
    for (const vif of [plain, named]) await daemon.logged('vif adopted', vif.name);
    await answers(ping, 10);

    const { answered, lost } = await ping.stop();
    expect(lost).toBe(0);
    expect(answered).toBeGreaterThan(20);
    expect(await monitor.changesOf(plain, named)).toEqual([]);
    expect(await attributes()).toEqual(before);
    expect(daemon.log.filter(({ level }) => level !== 'info')).toEqual([]);
  });

  test('what changed meanwhile is seen to', async () => {
    const gone = await domnet.plug({ domid: 3 });
    await gone.connected();
    await (signal === 'SIGTERM' ? daemon.terminate() : daemon.kill());
    await domnet.xenstore.rm(gone.backend);
    await domnet.ip(`link set ${plain.name} nomaster`);
    const fresh = await domnet.plug({ domid: 4 });
    daemon = await domnet.vifd();
    // All of it before it is ready.
    expect(await linkOf(plain)).toMatchObject({ master: 'xenbr0' });
    expect((await linkOf(gone)).master).toBeUndefined();
    expect(await fresh.read('hotplug-status')).toBe('connected');
    await gone.removeNetdev();
    await fresh.unplug();
  });
});

test('a foreign hand is undone: nomaster, another bridge, down', async () => {
  await domnet.addBridge('elsewhere');
  for (const change of ['nomaster', 'master elsewhere', 'down', 'nomaster down']) {
    await domnet.ip(`link set ${plain.name} ${change}`);
    await attachedTo(plain, 'xenbr0');
  }
  expect(await daemon.logged('vif repaired', plain.name)).toMatchObject({
    level: 'warn',
    actions: [`ip link set dev ${plain.name} master xenbr0`],
  });
});

test('READY=1 comes when every vif has been seen to, and not before', async () => {
  await daemon.terminate();
  const vifs = [];
  for (let domid = 10; domid < 20; domid++) vifs.push(await domnet.plug({ domid }));
  const socket = `${domnet.dir}/notify`;
  const receiver = new Background('python3', [
    '-uc',
    `import socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${JSON.stringify(socket)})
print('listening')
while True:
    state = s.recv(4096).decode()
    print(int(time.time() * 1000), state.replace('\\n', ' '))`,
  ]);
  await until('the receiver to listen', () => receiver.lines.includes('listening'));
  daemon = await domnet.vifd({ env: { NOTIFY_SOCKET: socket } });
  const told = await until('READY=1', () => receiver.lines.find((line) => line.includes('READY=1')));
  const readyAt = Number(told.split(' ')[0]);
  for (const vif of vifs) {
    const { time } = await daemon.logged('vif attached', vif.name);
    expect(Date.parse(time as string)).toBeLessThanOrEqual(readyAt);
  }
  await receiver.stop('SIGTERM');
});

test('a service manager that does not listen is no reason not to run', async () => {
  await daemon.terminate();
  daemon = await domnet.vifd({ env: { NOTIFY_SOCKET: `${domnet.dir}/nobody` } });
  expect(daemon.noise).toEqual([]);
});
