import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { until } from '../../support/process/exec.js';
import { Prometheus, promtool } from '../../support/process/prometheus.js';

const file = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly datasource: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  readonly targets: readonly {
    readonly expr: string;
    readonly refId: string;
    readonly legendFormat: string;
  }[];
}

const dashboard = JSON.parse(readFileSync(file('systemd/monitoring/grafana.json'), 'utf8')) as {
  uid: string;
  title: string;
  schemaVersion: number;
  panels: readonly Panel[];
  templating: { list: readonly { name: string; type: string; query: string }[] };
};

const target = '127.0.0.1:9753';

let domnet: Domnet;
let daemon: Vifd;
let prometheus: Prometheus;

beforeAll(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  daemon = await domnet.vifd({ config: `[metrics]\nlisten = "${target}"\ntraffic = true\n` });
  prometheus = await Prometheus.start(domnet, target);
  await until('the first scrape', async () => (await prometheus.query('vifd_vifs')).length > 0);
});
afterAll(async () => {
  await prometheus?.stop();
  await domnet.stop();
});

/** An expression as Grafana sends it: with all instances chosen, and four scrapes for the rate interval. */
const asSent = (expression: string) =>
  expression.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '30s');

test('the alert rules are rules, and each fires when it should and not otherwise', async () => {
  expect(await promtool(['check', 'rules', file('systemd/monitoring/alerts.yml')])).toContain(
    '3 rules found',
  );
  expect(await promtool(['test', 'rules', file('test/integration/observe/alerts.yml')])).toContain('SUCCESS');
});

test('the configuration for Prometheus in docs/operate/fleet.md is one', async () => {
  const fleet = readFileSync(file('docs/operate/fleet.md'), 'utf8');
  const [, text = ''] = /^((?: {4}rule_files:.*\n)(?: {4}.*\n)+)/m.exec(fleet) ?? [];
  expect(text).toContain('/etc/prometheus/vifd-alerts.yml');
  const config = join(domnet.dir, 'fleet.yml');
  writeFileSync(
    config,
    text
      .replace('/etc/prometheus/vifd-alerts.yml', file('systemd/monitoring/alerts.yml'))
      .replace(/^ {4}/gm, ''),
  );
  expect(await promtool(['check', 'config', config])).toContain('1 rule files found');
});

test('the metrics are named and described as Prometheus wants them', async () => {
  const fetch = `import urllib.request as r; print(r.urlopen('http://${target}/metrics', timeout=5).read().decode(), end='')`;
  const text = await domnet.exec('python3', ['-c', fetch]);
  expect(text).toContain('vifd_errors_total{kind="bridge",code="bridge-missing"} 0');
  expect(await promtool(['check', 'metrics'], text)).toBe('');
});

test('every question of the dashboard and the alerts has an answer from a real vifd', async () => {
  const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
  await vif.connected();
  const bad = await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
  await bad.status('error');
  await vif.guestIp('address add 10.0.0.99/24 dev eth0');
  await domnet.ip('link set vif5.0 nomaster');
  await daemon.logged('vif repaired', 'vif5.0');

  const [variable] = dashboard.templating.list.filter(({ name }) => name === 'instance');
  expect(variable?.query).toBe('label_values(vifd_vifs, instance)');
  expect(
    (await prometheus.query('count by (instance) (vifd_vifs)')).map(({ metric }) => metric.instance),
  ).toEqual([target]);

  // Two scrapes have to see each counter before it has a rate; the drops begin with the first forged packet.
  const questions = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => asSent(expr)));
  expect(questions.length).toBeGreaterThan(12);
  for (const question of questions) {
    await until(
      question,
      async () => {
        await vif.guestExec('ping', ['-c', '1', '-W', '0.1', '10.0.0.1']).catch(() => undefined);
        return (await prometheus.query(question)).some(({ value }) => !Number.isNaN(value));
      },
      30_000,
    );
  }
  const now = async (expression: string) =>
    Object.fromEntries(
      (await prometheus.query(expression)).map(({ metric, value }) => [
        Object.values(metric).join(' '),
        value,
      ]),
    );
  expect(await now('sum by (state) (vifd_vifs)')).toMatchObject({ attached: 1, failed: 1, waiting: 0 });
  // Seen though it was the first of its kind.
  const events = await now('sum by (kind) (increase(vifd_events_total[1m])) > 0');
  expect(Object.keys(events).sort()).toEqual(['attached', 'failed', 'repaired']);
  expect(Object.keys(await now('increase(vifd_errors_total[1m]) > 0'))).toEqual([
    expect.stringContaining('bridge'),
  ]);
  expect(await now('vifd_xenstore_connected')).toMatchObject({
    [`vifd_xenstore_connected ${target} vifd`]: 1,
  });

  const rules = [...readFileSync(file('systemd/monitoring/alerts.yml'), 'utf8').matchAll(/^ +expr: (.*)$/gm)];
  expect(rules).toHaveLength(3);
  const firing = await Promise.all(rules.map(([, expr = '']) => prometheus.query(expr)));
  expect(firing.map((samples) => samples.length)).toEqual([1, 0, 0]);
});

test('the dashboard is one that Grafana can import', () => {
  expect(dashboard).toMatchObject({ uid: 'vifd', title: 'vifd', schemaVersion: expect.any(Number) });
  const { panels } = dashboard;
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = new Set<string>();
  for (const { title, type, datasource, gridPos, fieldConfig, targets } of panels) {
    expect(['stat', 'timeseries'], title).toContain(type);
    expect(datasource.uid, title).toBe(`\${datasource}`);
    expect(fieldConfig.defaults.unit, title).toMatch(/^(short|s|pps|ops|bytes)$/);
    expect(new Set(targets.map(({ refId }) => refId)).size, title).toBe(targets.length);
    const { x, y, w, h } = gridPos;
    expect(x + w, title).toBeLessThanOrEqual(24);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        expect(cells, `${title} lies on another panel`).not.toContain(`${column} ${row}`);
        cells.add(`${column} ${row}`);
      }
    }
  }
});
