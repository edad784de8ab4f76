import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { registerMetrics, registerProcessMetrics } from '../../../src/observe/instruments.js';
import { metrics } from '../../../src/observe/metric-table.js';

const read = (registry: Registry) => registry.getMetricsAsJSON();

function register() {
  const registry = new Registry();
  const tell = registerMetrics(registry, {
    follow: () => () => undefined,
    phases: () => ['attached', 'attached', 'failed'],
    connected: () => true,
    drops: () => Promise.resolve(new Map([['vif5.0', { 'source MAC': 2 }]])),
    traffic: () =>
      new Map([
        ['vif5.0', { rxBytes: 10, rxPackets: 2, rxDropped: 0, txBytes: 30, txPackets: 4, txDropped: 1 }],
      ]),
    counts: () => ({ reconciliations: 3, xenstoreRequests: 4 }),
  });
  return { registry, tell };
}

/** The names of the labels of a metric's series; `le` is how Prometheus names the buckets of any histogram. */
const labels = (values: readonly { labels: object }[]): string[] =>
  [...new Set(values.flatMap((value) => Object.keys(value.labels)))].filter((name) => name !== 'le').sort();

test('every metric of the table is registered with its kind and labels, and no other', async () => {
  const process = new Registry();
  registerProcessMetrics(process);
  const ofProcess = (await read(process)).map(({ name }) => name);
  const registered = (await read(register().registry)).filter(({ name }) => !ofProcess.includes(name));
  const found = registered.map(({ name, type, values }) => [name, { kind: type, labels: labels(values) }]);
  const expected = Object.entries(metrics).map(([name, metric]) => [
    name,
    { kind: metric.kind, labels: Object.keys(metric.labels).sort() },
  ]);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
});

test('an event counts where it belongs, and every series is there before the first one', async () => {
  const { registry, tell } = register();
  const event = { time: '', vif: 'vif5.0', domid: 5, devid: 0 };
  const before = (await registry.metrics()).split('\n').filter((line) => /^vifd_(events|errors)_/.test(line));
  expect(before.length).toBeGreaterThan(50);
  expect(before.filter((line) => !line.endsWith(' 0'))).toEqual([]);
  tell({ ...event, kind: 'attached', topology: 'bridge', ms: 3 });
  tell({ ...event, kind: 'failed', errorKind: 'bridge', errorCode: 'bridge-missing' });
  const noWay = { code: 'way-out-missing', kind: 'route', message: 'no way out' } as const;
  const filtered = { code: 'firewall-drops', kind: 'filter', message: 'a chain drops' } as const;
  tell({ ...event, kind: 'degraded', problems: [{ ...noWay, isNew: true }] });
  // One that has come before is not counted again.
  const both = [
    { ...noWay, isNew: false },
    { ...filtered, isNew: true },
  ];
  tell({ ...event, kind: 'degraded', problems: both });
  const after = await registry.metrics();
  const now = after.split('\n').filter((line) => /^vifd_(events|errors)_/.test(line));
  expect(now).toHaveLength(before.length);
  expect(now.filter((line) => !line.endsWith(' 0'))).toEqual([
    'vifd_events_total{kind="attached",topology="bridge"} 1',
    'vifd_events_total{kind="degraded",topology="none"} 2',
    'vifd_events_total{kind="failed",topology="none"} 1',
    'vifd_errors_total{kind="bridge",code="bridge-missing"} 1',
    'vifd_errors_total{kind="route",code="way-out-missing"} 1',
    'vifd_errors_total{kind="filter",code="firewall-drops"} 1',
  ]);
  expect(after).toContain('vifd_attach_seconds_bucket{le="0.004",topology="bridge"} 1');
  expect(after).toContain('vifd_attach_seconds_bucket{le="0.002",topology="bridge"} 0');
  expect(after).toContain('vifd_vifs{state="attached"} 2');
  // What came in by the interface is what the guest sent.
  expect(after).toContain('vifd_vif_bytes_total{vif="vif5.0",direction="from_guest"} 10');
  expect(after).toContain('vifd_vif_packets_total{vif="vif5.0",direction="to_guest"} 4');
  expect(after).toContain('vifd_vif_dropped_total{vif="vif5.0",direction="to_guest"} 1');
  expect(after).toContain('vifd_antispoof_drops_total{vif="vif5.0",reason="source MAC"} 2');
});
