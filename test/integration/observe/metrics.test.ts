import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { until } from '../../support/process/exec.js';
import { series } from '../../support/process/prometheus-text.js';
import { ask } from '../../support/process/status.js';

let domnet: Domnet;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
});
afterEach(() => domnet.stop());

const listen = (where: string) => `[metrics]\nlisten = "${where}"\n`;
const tcp = '127.0.0.1:9753';
const socket = () => join(domnet.dir, 'metrics.sock');

/** From within the domain, as Prometheus would. @throws when it does not answer */
const overTcp = (address = tcp, path = '/metrics'): Promise<string> =>
  domnet.exec('python3', [
    '-c',
    `import urllib.request as r; print(r.urlopen('http://${address}${path}', timeout=5).read().decode(), end='')`,
  ]);

const overSocket = (path = '/metrics', method = 'GET') => ask(socket(), path, method);

const values = async () => series((await overSocket()).text);

async function reload(daemon: Vifd, config: string): Promise<void> {
  const reloads = () => daemon.log.filter(({ msg }) => /^configuration (not )?reloaded$/.test(msg)).length;
  const before = reloads();
  writeFileSync(join(domnet.dir, 'vifd.toml'), config);
  daemon.hangUp();
  await until('the reload', () => reloads() > before);
}

test('what happens to vifs is counted, on a Unix socket', async () => {
  const daemon = await domnet.vifd({ config: listen(`unix:${socket()}`) });
  const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
  await vif.connected();
  const bad = await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
  await bad.status('error');
  // A packet from an address that is not the guest's.
  await vif.guestIp('address add 10.0.0.99/24 dev eth0');
  await vif.guestExec('ping', ['-c', '1', '-W', '1', '10.0.0.1']).catch(() => undefined);

  const one = await values();
  expect(one.get('vifd_vifs{state="attached"}')).toBe(1);
  expect(one.get('vifd_vifs{state="failed"}')).toBe(1);
  expect(one.get('vifd_events_total{kind="attached",topology="bridge"}')).toBe(1);
  expect(one.get('vifd_events_total{kind="failed",topology="none"}')).toBe(1);
  expect(one.get('vifd_errors_total{kind="bridge",code="bridge-missing"}')).toBe(1);
  expect(one.get('vifd_errors_total{kind="timeout",code="netdev-late"}')).toBe(0);
  expect(one.get('vifd_attach_seconds_count{topology="bridge"}')).toBe(1);
  expect(one.get('vifd_attach_seconds_sum{topology="bridge"}')).toBeGreaterThan(0);
  expect(one.get('vifd_attach_seconds_sum{topology="bridge"}')).toBeLessThan(10);
  expect(one.get('vifd_attach_seconds_bucket{le="10",topology="bridge"}')).toBe(1);
  expect(one.get('vifd_reconciles_total')).toBeGreaterThanOrEqual(2);
  expect(one.get('vifd_xenstore_requests_total')).toBeGreaterThan(4);
  expect(one.get('nodejs_eventloop_lag_seconds')).toBeGreaterThanOrEqual(0);
  const dropped = [...one].filter(([name]) => name.startsWith('vifd_antispoof_drops_total{vif="vif5.0",'));
  expect(dropped.reduce((sum, [, count]) => sum + count, 0)).toBeGreaterThan(0);
  // Scrapes at the same moment count nothing twice.
  const together = await Promise.all([values(), values(), values()]);
  for (const each of together)
    for (const [name, count] of dropped) expect(each.get(name), name).toBeLessThanOrEqual(count + 5);
  expect(new Set(together.map((each) => JSON.stringify(dropped.map(([name]) => each.get(name))))).size).toBe(
    1,
  );

  await domnet.ip('link set vif5.0 nomaster');
  await daemon.logged('vif repaired', 'vif5.0');
  const two = await values();
  expect(two.get('vifd_events_total{kind="repaired",topology="bridge"}')).toBe(1);
  expect(two.get('vifd_attach_seconds_count{topology="bridge"}')).toBe(1);
  expect(two.get('vifd_reconciles_total')).toBeGreaterThan(one.get('vifd_reconciles_total') as number);

  for (const each of [vif, bad]) await each.unplug();
  await daemon.logged('vif removed', 'vif6.0');
  const three = await values();
  expect(three.get('vifd_events_total{kind="removed",topology="none"}')).toBe(2);
  expect(three.get('vifd_vifs{state="attached"}')).toBe(0);
  expect(three.get('vifd_vifs{state="failed"}')).toBe(0);

  expect(await overSocket('/')).toMatchObject({ status: 404 });
  expect(await overSocket('/metrics', 'POST')).toMatchObject({ status: 404 });
  expect(await daemon.terminate()).toBe(0);
  expect(existsSync(socket())).toBe(false);
});

test('off by default; a reload opens it, moves it, keeps the counts, and closes it', async () => {
  const daemon = await domnet.vifd({ config: '' });
  expect(await domnet.exec('ss', ['-Hltn'])).toBe('');
  await reload(daemon, listen(tcp));
  const vif = await domnet.plug({ domid: 5 });
  await vif.connected();
  const attached = 'vifd_events_total{kind="attached",topology="bridge"}';
  expect(series(await overTcp()).get(attached)).toBe(1);
  await reload(daemon, listen('0.0.0.0:9753'));
  expect(await domnet.exec('ss', ['-Hltn'])).toContain('0.0.0.0:9753');
  await reload(daemon, listen(`unix:${socket()}`));
  expect((await values()).get(attached)).toBe(1);
  expect(await domnet.exec('ss', ['-Hltn'])).toBe('');
  await reload(daemon, listen('[::1]:9754'));
  expect(existsSync(socket())).toBe(false);
  expect(series(await overTcp('[::1]:9754')).get(attached)).toBe(1);
  await reload(daemon, '');
  expect(await domnet.exec('ss', ['-Hltn'])).toBe('');
  await expect(overTcp('[::1]:9754')).rejects.toThrow();
});

test('an address that cannot be listened on: refused at the start, and at a reload the old one stays', async () => {
  const daemon = await domnet.vifd({ config: listen(tcp) });
  await reload(daemon, `${listen('192.0.2.1:9753')}[log]\nlevel = "error"`);
  expect(await daemon.logged('configuration not reloaded')).toMatchObject({
    error: expect.stringContaining('EADDRNOTAVAIL'),
  });
  expect(await overTcp()).toContain('vifd_vifs');
  await daemon.terminate();
  const other = await domnet.vifd({ config: listen('192.0.2.1:9753'), wait: false });
  expect(await other.exited()).toBe(1);
  expect(other.log.at(-1)).toMatchObject({ msg: 'cannot run', error: expect.stringContaining('192.0.2.1') });
});

test('a socket that was left is taken over, a file that is none stays', async () => {
  const file = join(domnet.dir, 'precious');
  writeFileSync(file, 'kept');
  const refused = await domnet.vifd({ config: listen(`unix:${file}`), wait: false });
  expect(await refused.exited()).toBe(1);
  expect(readFileSync(file, 'utf8')).toBe('kept');
  const killed = await domnet.vifd({ config: listen(`unix:${socket()}`) });
  await killed.kill();
  expect(existsSync(socket())).toBe(true);
  await domnet.vifd({ config: listen(`unix:${socket()}`) });
  expect((await values()).get('vifd_vifs{state="attached"}')).toBe(0);
});

test('the dashboard and the alerts ask for what there is, and the reference lists it', async () => {
  await domnet.vifd({ config: listen(`unix:${socket()}`) });
  const types = [...(await overSocket()).text.matchAll(/^# TYPE (\S+) (\S+)$/gm)];
  const known = types.flatMap(([, name = '', type]) =>
    type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
  );
  const read = (name: string) =>
    readFileSync(fileURLToPath(new URL(`../../../${name}`, import.meta.url)), 'utf8');
  const dashboard = JSON.parse(read('systemd/monitoring/grafana.json')) as {
    panels: { targets?: { expr: string }[] }[];
  };
  const asked = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  expect(asked.length).toBeGreaterThan(5);
  const alerts = [...read('systemd/monitoring/alerts.yml').matchAll(/^ +expr: (.*)$/gm)].map(
    ([, expr = '']) => expr,
  );
  expect(alerts).toHaveLength(3);
  for (const text of [...asked, ...alerts, read('docs/operate/fleet.md')]) {
    for (const [name] of text.matchAll(/\b(vifd|nodejs|process)_[a-z_]+\b/g)) expect(known).toContain(name);
  }
  // A histogram is named there without the parts of its series.
  const listed = [...read('docs/reference/metrics.md').matchAll(/^\| `(\w+)` \| (\w+) \|/gm)];
  expect(listed.map(([, name, type]) => [name, type]).sort()).toEqual(
    types.map(([, name, type]) => [name, type]).sort(),
  );
});

test('traffic of each vif is counted where that is asked for, and not otherwise', async () => {
  const daemon = await domnet.vifd({ config: listen(`unix:${socket()}`) });
  const [one, two] = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })] as const;
  for (const vif of [one, two]) {
    await vif.connected();
    await vif.guestIp(`address add 10.0.0.${vif.domid}/24 dev eth0`);
  }
  const counted = async (what: string, vif: string, direction: string) =>
    (await values()).get(`vifd_vif_${what}_total{vif="${vif}",direction="${direction}"}`);
  expect([...(await values()).keys()].filter((name) => name.startsWith('vifd_vif_'))).toEqual([]);
  await reload(daemon, `${listen(`unix:${socket()}`)}traffic = true\n`);
  const before = (await counted('packets', 'vif6.0', 'to_guest')) ?? Number.NaN;
  await one.guestExec('ping', ['-q', '-c', '5', '-i', '0.01', '-s', '1000', '10.0.0.6']);
  expect(await counted('packets', 'vif6.0', 'to_guest')).toBeGreaterThanOrEqual(before + 5);
  expect(await counted('bytes', 'vif5.0', 'from_guest')).toBeGreaterThan(5000);
  expect(await counted('dropped', 'vif5.0', 'to_guest')).toBe(0);
  await two.unplug();
  expect(await counted('packets', 'vif6.0', 'to_guest')).toBeUndefined();
});
