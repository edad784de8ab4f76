import { Counter, collectDefaultMetrics, Gauge, Histogram, type Registry } from 'prom-client';
import { type ErrorCode, errorCodes } from '../model/error-codes.js';
import type { Traffic } from '../model/observed.js';
import { topologyNames } from '../model/topology-name.js';
import type { VifPhase } from '../model/vif-status.js';
import type { VifEvent } from './events.js';
import { type MetricName, metrics } from './metric-table.js';

/** The state that the metrics are made of, read at each scrape. */
export interface MetricsSource {
  follow(follower: (event: VifEvent) => void): () => void;
  phases(): readonly VifPhase[];
  /** Whether xenstore can be reached. */
  connected(): boolean;
  /** Packets that anti-spoofing dropped, by vif and reason. */
  drops(): Promise<ReadonlyMap<string, Readonly<Record<string, number>>>>;
  /** What the interfaces of vifs have counted, by vif; none where that is not asked for. */
  traffic(): ReadonlyMap<string, Traffic>;
  /** Reconciliations of vifs and requests to xenstore since the connection to it began. */
  counts(): { readonly reconciliations: number; readonly xenstoreRequests: number };
}

const phases: readonly VifPhase[] = ['new', 'waiting', 'attached', 'failed', 'closing'];

/** Registers all metrics. @returns the function to call with each event */
export function registerMetrics(registry: Registry, source: MetricsSource): (event: VifEvent) => void {
  registerProcessMetrics(registry);
  registerState(registry, source);
  registerTraffic(registry, source);
  return registerEvents(registry);
}

/** Registers those that prom-client has of every process of Node: the event loop's lag, memory, CPU, garbage collection. */
export function registerProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry });
  // Gauges, though named _total like counters; nodejs_active_handles and so on have the same numbers by kind.
  for (const what of ['handles', 'requests', 'resources']) {
    registry.removeSingleMetric(`nodejs_active_${what}_total`);
  }
}

/** The name, the description and the labels of a metric, as its constructor takes them. */
const configure = <N extends MetricName>(registry: Registry, name: N) => ({
  name,
  help: metrics[name].help,
  labelNames: Object.keys(metrics[name].labels) as (string & keyof (typeof metrics)[N]['labels'])[],
  registers: [registry],
});

/** Registers what is read from the source at each scrape. */
function registerState(registry: Registry, source: MetricsSource): void {
  new Gauge({
    ...configure(registry, 'vifd_vifs'),
    collect() {
      const now = source.phases();
      for (const state of phases) this.set({ state }, now.filter((phase) => phase === state).length);
    },
  });
  new Gauge({
    ...configure(registry, 'vifd_xenstore_connected'),
    collect() {
      this.set(source.connected() ? 1 : 0);
    },
  });
  new Counter({
    ...configure(registry, 'vifd_reconciles_total'),
    collect() {
      this.reset();
      this.inc(source.counts().reconciliations);
    },
  });
  new Counter({
    ...configure(registry, 'vifd_xenstore_requests_total'),
    collect() {
      this.reset();
      this.inc(source.counts().xenstoreRequests);
    },
  });
  new Counter({
    ...configure(registry, 'vifd_antispoof_drops_total'),
    async collect() {
      const now = await source.drops();
      this.reset();
      for (const [vif, drops] of now) {
        for (const [reason, count] of Object.entries(drops)) this.inc({ vif, reason }, count);
      }
    },
  });
}

/** Registers what the interfaces of vifs count, which the kernel is asked for at each scrape. */
function registerTraffic(registry: Registry, source: MetricsSource): void {
  const counted = {
    vifd_vif_bytes_total: ({ rxBytes, txBytes }: Traffic) => [rxBytes, txBytes],
    vifd_vif_packets_total: ({ rxPackets, txPackets }: Traffic) => [rxPackets, txPackets],
    vifd_vif_dropped_total: ({ rxDropped, txDropped }: Traffic) => [rxDropped, txDropped],
  } as const;
  // One reading for the three: each is some files of sysfs for each vif, and they are collected in one turn of the event loop.
  let now: ReturnType<MetricsSource['traffic']> | undefined;
  const read = (): ReturnType<MetricsSource['traffic']> => {
    if (now === undefined)
      setImmediate(() => {
        now = undefined;
      });
    now ??= source.traffic();
    return now;
  };
  for (const [name, of] of Object.entries(counted) as [keyof typeof counted, (of: Traffic) => number[]][]) {
    new Counter({
      ...configure(registry, name),
      collect() {
        this.reset();
        for (const [vif, traffic] of read()) {
          const [from = 0, to = 0] = of(traffic);
          this.inc({ vif, direction: 'from_guest' }, from);
          this.inc({ vif, direction: 'to_guest' }, to);
        }
      },
    });
  }
}

/** Registers what is counted as it happens. @returns the function to call with each event */
function registerEvents(registry: Registry): (event: VifEvent) => void {
  const attach = new Histogram({
    ...configure(registry, 'vifd_attach_seconds'),
    buckets: [...metrics.vifd_attach_seconds.buckets],
  });
  const events = new Counter(configure(registry, 'vifd_events_total'));
  const errors = new Counter(configure(registry, 'vifd_errors_total'));
  // All series exist from the start with 0: rate() and increase() miss the first event of a series that begins with 1.
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    errors.inc({ kind: errorCodes[code].kind, code }, 0);
  }
  for (const topology of [...topologyNames, 'script']) {
    attach.zero({ topology });
    for (const kind of ['attached', 'adopted', 'repaired', 'updated']) events.inc({ kind, topology }, 0);
  }
  for (const kind of ['degraded', 'recovered', 'failed', 'removed', 'blocked', 'allowed'])
    events.inc({ kind, topology: 'none' }, 0);
  return ({ kind, topology = 'none', ms, errorKind, errorCode, problems = [] }) => {
    events.inc({ kind, topology });
    if (errorKind !== undefined && errorCode !== undefined) errors.inc({ kind: errorKind, code: errorCode });
    for (const { kind, code } of problems.filter(({ isNew }) => isNew)) errors.inc({ kind, code });
    if (kind === 'attached' && ms !== undefined) attach.observe({ topology }, ms / 1000);
  };
}
