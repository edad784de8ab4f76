import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Dom0, uuid } from '../../support/dom0/dom0.js';
import { Domnet, Vif, type Vifd } from '../../support/net/domnet.js';
import { answers, attachedTo, pingBetween } from '../../support/net/ping.js';
import type { Background, Ping } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;
let dom0: Dom0;
let daemon: Vifd;
let ping: Ping;
let service: Background | undefined;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.xenstore.write('/local/domain/0/name', 'domnet');
  dom0 = new Dom0(domnet);
  daemon = await domnet.vifd();
  // Two that are connected, beside those that a restart has cut off.
  const others = [await domnet.plug({ domid: 101 }), await domnet.plug({ domid: 102 })] as const;
  for (const vif of others) await vif.connected();
  ping = await pingBetween(...others);
});
afterAll(() => domnet.stop());
afterEach(async () => {
  await service?.stop('SIGTERM');
  service = undefined;
  for (const domid of [5, 6, 7, 8]) await dom0.end(domid);
  dom0.calls();
  if (existsSync(dom0.notes))
    expect(readdirSync(dom0.notes).filter((name) => name.endsWith('.json'))).toEqual([]);
});

const nic = (devid: number, keys: Record<string, unknown> = {}) => ({
  devid,
  backend_domname: 'domnet',
  mac: `00:16:3e:00:05:0${devid}`,
  bridge: 'xenbr0',
  nictype: 'vif',
  ...keys,
});
const attach = (domid: number, devid: number) => [
  'network-attach',
  `${domid}`,
  `devid=${devid}`,
  'backend=domnet',
  `mac=00:16:3e:00:05:0${devid}`,
  'type=vif',
  'bridge=xenbr0',
];

/** Has netback make the netdevs of vifs when they are plugged in again, and the guest connect. */
async function netback(...vifs: Vif[]): Promise<void> {
  for (const vif of vifs) {
    await until(`xl to plug ${vif.name} in`, () => vif.exists());
    await vif.addNetdev();
    await vif.setState(2);
    await domnet.xenstore.write(`${vif.frontend}/state`, '4');
  }
}

test('a vif is plugged in as libxl knows it, one that vifd refuses is told with its reason, others stay', async () => {
  const [web, lone] = [new Vif(domnet, 5, 0), new Vif(domnet, 6, 1)];
  await dom0.guest(5, 'web', [nic(0, { mtu: 1400 })]);
  await dom0.guest(6, 'db', [nic(1, { bridge: 'xenbr9' })]);
  await dom0.guest(7, 'elsewhere', [nic(0)], 102);
  await dom0.guest(8, 'in-dom0', [{ devid: 0, mac: '00:16:3e:00:08:00', bridge: 'xenbr0' }], 0);
  await domnet.xenstore.write('/local/domain/102/domid', '102');
  const [run] = await Promise.all([dom0.reconnect('--once'), netback(web, lone)]);
  expect(run.lines).toHaveLength(2);
  expect(run.lines).toContainEqual(
    expect.stringMatching(/^vif5\.0 of web: on domnet \(0\) again after \d+\.\d\d s$/),
  );
  expect(run.lines).toContainEqual(
    expect.stringMatching(
      /^vif6\.1 of db: not on domnet after \d+\.\d\d s: attach vif6\.1 to bridge xenbr9: no such bridge/,
    ),
  );
  expect(run.code).toBe(1);
  await web.connected();
  expect((await attachedTo(web, 'xenbr0')).mtu).toBe(1400);
  expect(dom0.calls()).toHaveLength(4);
  expect([await dom0.backendOf(7), await dom0.backendOf(8)]).toEqual([102, 0]);
  // Again: nothing is left to do, as far as dom0 is concerned.
  expect(await dom0.reconnect('--once')).toMatchObject({ code: 0, lines: [''] });
  expect(dom0.calls()).toEqual([]);
  for (const vif of [web, lone]) await vif.removeNetdev();
  await domnet.xenstore.rm('/local/domain/102/domid');
  await answers(ping, 3);
});

test('--dry-run prints commands to paste, with every key, and runs none', async () => {
  await dom0.guest(5, "it's", [
    nic(0, {
      ip: '10.0.0.5 $(reboot); `id`',
      ifname: 'web0',
      script: '/etc/xen/scripts/vif-route',
      gatewaydev: 'eth0',
      model: 'e1000',
      nictype: 'vif_ioemu',
      mtu: 9000,
      vlan: '10',
      rate_bytes_per_interval: 6250,
      rate_interval_usecs: 50_000,
      trusted: 'False',
    }),
  ]);
  await dom0.guest(6, 'other', [nic(0)]);
  await dom0.guest(7, 'strange', [nic(0, { colo_checkpoint_host: 'h' })]);
  const { lines, code } = await dom0.reconnect('--dry-run', "it's", '7');
  expect(lines).toEqual([
    "# vif5.0 of it's",
    'xl network-detach 5 0',
    "xl network-attach 5 devid=0 backend=domnet mac=00:16:3e:00:05:00 type=ioemu model=e1000 bridge=xenbr0 script=/etc/xen/scripts/vif-route 'ip=10.0.0.5 $(reboot); `id`' vifname=web0 gatewaydev=eth0 mtu=9000 vlan=10 rate=125KB/s@50000us untrusted",
    '# vif7.0 of strange',
    '# libxl has colo_checkpoint_host of it, which xl network-attach is not told here; attach it by hand',
  ]);
  expect(code).toBe(0);
  expect(dom0.calls()).toEqual([]);
});

test('killed before, between and after its two steps, the next start goes on', async () => {
  const vif = new Vif(domnet, 5, 0);
  const killed = 'kill -9 $(ps -o ppid= -p $PPID); exit 1';
  for (const [subcommand, script] of [
    ['network-detach', killed],
    ['network-attach', killed],
    // xl has ended well, and its caller did not hear of it.
    ['network-attach', `rm $0; setsid xl "$@" network-attach; ${killed}`],
  ] as const) {
    await dom0.guest(5, 'web', [nic(0)]);
    const undo = dom0.before(subcommand, script.replace('xl "$@" network-attach', 'xl network-attach "$@"'));
    expect((await dom0.reconnect('--once')).code).toBe('SIGKILL');
    undo();
    dom0.calls();
    const done = (await dom0.backendOf(5)) === 0;
    const [run] = await Promise.all([dom0.reconnect('--once'), netback(vif)]);
    expect(run).toMatchObject({ code: 0, errors: '' });
    expect(await dom0.backendOf(5)).toBe(0);
    expect(dom0.calls().filter(([what]) => what === 'network-attach')).toEqual(done ? [] : [attach(5, 0)]);
    await vif.connected();
    await vif.removeNetdev();
    await dom0.end(5);
  }
});

test('an xl that outlives its killed caller is waited for', async () => {
  const vif = new Vif(domnet, 5, 0);
  await dom0.guest(5, 'web', [nic(0)]);
  const go = `${dom0.notes}/go`;
  const undo = dom0.before(
    'network-attach',
    `kill -9 $(ps -o ppid= -p $PPID); until [ -e ${go} ]; do sleep 0.05; done`,
  );
  expect((await dom0.reconnect('--once')).code).toBe('SIGKILL');
  undo();
  dom0.calls();
  service = dom0.service();
  const { lines } = service;
  await until('the next to wait', () => lines.some((line) => line.startsWith('waits for another')));
  writeFileSync(go, '');
  await netback(vif);
  await vif.connected();
  await until('the note to be dropped', () =>
    readdirSync(dom0.notes).every((name) => !name.includes('.json')),
  );
  expect(dom0.calls()).toEqual([]);
  expect(lines).toHaveLength(1);
  rmSync(go);
  await vif.removeNetdev();
});

test('a guest that ends meanwhile, and one of its number that came after it, cost nothing', async () => {
  await dom0.guest(5, 'web', [nic(0)]);
  let undo = dom0.before('network-attach', 'xenstore-rm /local/domain/5; xenstore-rm /libxl/5; exit 1');
  expect(await dom0.reconnect('--once')).toMatchObject({
    code: 0,
    lines: ['vif5.0 of web: the guest has ended'],
  });
  undo();
  await dom0.guest(5, 'web', [nic(0)]);
  undo = dom0.before('network-attach', 'kill -9 $(ps -o ppid= -p $PPID); exit 1');
  await dom0.reconnect('--once');
  undo();
  await domnet.xenstore.write('/local/domain/5/vm', `/vm/${uuid(6)}`);
  // The xl whose caller was killed has the lock until it ends.
  await exec('flock', [`${dom0.notes}/lock`, 'true']);
  dom0.calls();
  expect(await dom0.reconnect('--once')).toMatchObject({ code: 0, lines: [''] });
  expect(dom0.calls()).toEqual([]);
});

test('two at once attach each vif once', async () => {
  const vifs = [new Vif(domnet, 5, 0), new Vif(domnet, 6, 0), new Vif(domnet, 6, 1)];
  await dom0.guest(5, 'web', [nic(0)]);
  await dom0.guest(6, 'db', [nic(0), nic(1)]);
  const runs = await Promise.all([
    dom0.reconnect('--once'),
    dom0.reconnect('--once', '--parallel', '1'),
    netback(...vifs),
  ]);
  expect([runs[0].code, runs[1].code]).toEqual([0, 0]);
  const attached = dom0.calls().filter(([what]) => what === 'network-attach');
  expect(attached.sort()).toEqual([attach(5, 0), attach(6, 0), attach(6, 1)]);
  for (const vif of vifs) await vif.removeNetdev();
});

test('a guest whose driver has not noticed the removal is plugged in once more', async () => {
  const vif = new Vif(domnet, 5, 0);
  await dom0.guest(5, 'web', [nic(0)]);
  const running = dom0.reconnect('--once');
  await until('xl to plug it in', () => vif.exists());
  await vif.addNetdev();
  await vif.setState(2);
  await vif.connected();
  await until('xl to take it away', async () => (await dom0.backendOf(5)) === undefined, 20_000);
  await domnet.xenstore.rm(vif.backend);
  await until('xl to plug it in again', () => vif.exists());
  await vif.setState(2);
  await vif.connected();
  await domnet.xenstore.write(`${vif.frontend}/state`, '4');
  const { lines, code } = await running;
  expect(lines[0]).toBe('vif5.0 of web: the guest has not noticed; once more');
  expect(code).toBe(0);
  await vif.removeNetdev();
});

test('the service waits for the driver domain, then for its vifd, tries again what failed, and says each thing once', async () => {
  const [vif, late] = [new Vif(domnet, 5, 0), new Vif(domnet, 7, 1)];
  await daemon.terminate();
  await domnet.xenstore.rm('/local/domain/0/name');
  await dom0.guest(5, 'web', [nic(0)]);
  await dom0.guest(6, '6\u001b[2J', [nic(0, { backend_domname: '3' })]);
  service = dom0.service();
  const said = (text: string) => until(text, () => service?.lines.some((line) => line.endsWith(text)));
  await said('vif5.0 of web: waits for domnet, which does not run');
  await said('its driver domain is given by number, 3; attach it by hand, and write backend=NAME');
  await domnet.xenstore.write('/local/domain/0/name', 'domnet');
  await said('waits for vifd in domnet (0), which does not say that it serves');
  expect(dom0.calls()).toEqual([]);
  await dom0.guest(7, 'db', [nic(1, { bridge: 'xenbr9' })]);
  const undo = dom0.before('network-attach', 'echo "libxl: error: no \\033[2J" >&2; exit 3');
  daemon = await domnet.vifd();
  for (const { name } of [vif, late])
    await until('the failure to be told', () =>
      service?.lines.some((line) => line.startsWith(name) && line.includes('not on domnet')),
    );
  undo();
  await netback(vif, late);
  await until(
    'it to be plugged in',
    () => service?.lines.some((line) => line.includes('again after')),
    30_000,
  );
  await until('the other to be refused', () =>
    service?.lines.some((line) =>
      /^vif7\.1 of db: not on domnet .*: attach vif7\.1 .*: no such bridge/.test(line),
    ),
  );
  const all = service.lines.map((line) => line.replace(/\d+\.\d\d/, 'N'));
  expect(all.filter((line) => !line.includes('vif7.1'))).toEqual([
    'vif5.0 of web: waits for domnet, which does not run',
    'vif6.0 of 6 [2J: its driver domain is given by number, 3; attach it by hand, and write backend=NAME',
    'vif5.0 of web: waits for vifd in domnet (0), which does not say that it serves',
    'vif5.0 of web: not on domnet after N s: xl network-attach: libxl: error: no  [2J',
    'vif5.0 of web: on domnet (0) again after N s',
  ]);
  await vif.connected();
  // What vifd could not do at first is told when it is done.
  await domnet.addBridge('xenbr9');
  await late.connected();
  await until('that to be told', () =>
    service?.lines.some((line) => /^vif7\.1 of db: on domnet \(0\) again after [\d.]+ s$/.test(line)),
  );
  for (const one of [vif, late]) await one.removeNetdev();
});

test('what it cannot do it says, and wrong usage it refuses', async () => {
  expect((await dom0.reconnect('--parallel', '0')).code).toBe(2);
  expect((await dom0.reconnect('--often')).code).toBe(2);
  await dom0.guest(5, 'web', [nic(0)]);
  const undo = dom0.before('list', 'exit 1');
  expect(await dom0.reconnect('--once')).toMatchObject({
    code: 2,
    errors: 'vifd-dom0-reconnect: xl list: exit 1\n',
  });
  undo();
  expect((await ping.stop()).lost).toBe(0);
});
