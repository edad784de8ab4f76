import { errorKinds } from '../model/error-codes.js';

/** What a metric of vifd is. `npm run generate` makes docs/reference/metrics.md of it. */
interface Metric {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly unit: string;
  /** The values that each label has. */
  readonly labels: Readonly<Record<string, string>>;
  /** What it counts or measures, in one sentence. */
  readonly help: string;
  /** Upper bounds of a histogram's buckets, in its unit. */
  readonly buckets?: readonly number[];
}

const topology = 'the topology, `script` for an own script';

const vifLabel = 'its name, as `vif5.0`';
const direction = '`from_guest`, `to_guest`';

/** Every metric that vifd has besides those of its process. A name never changes its meaning: alerts have it. */
export const metrics = {
  vifd_vifs: {
    kind: 'gauge',
    unit: 'vifs',
    labels: {
      state: '`new`, `waiting` (for keys or the netdev), `attached`, `failed`, `closing` (dom0 detaches it)',
    },
    help: 'Vifs by state',
  },
  vifd_xenstore_connected: {
    kind: 'gauge',
    unit: '1 or 0',
    labels: {},
    help: 'Whether xenstore can be reached; without it nothing new is attached, and no vif is counted',
  },
  vifd_attach_seconds: {
    kind: 'histogram',
    unit: 'seconds',
    labels: { topology },
    help: 'From the event that made attaching possible to the status written',
    // Up to the 10 s that libxl waits for a backend.
    buckets: [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.064, 0.256, 1, 4, 10],
  },
  vifd_events_total: {
    kind: 'counter',
    unit: 'events',
    labels: {
      kind: '`attached`, `adopted` (it was connected when vifd started), `repaired` (something on the host had changed), `updated`, `degraded` and `recovered` (it stays attached and lacks something), `failed`, `removed`, `blocked` and `allowed` (an administrator asked for it)',
      topology: `${topology}; \`none\` for the last six kinds`,
    },
    help: 'What happened to vifs: attached, adopted, repaired (drift), updated, degraded, recovered, failed, removed, blocked, allowed',
  },
  vifd_errors_total: {
    kind: 'counter',
    unit: 'errors',
    labels: {
      kind: `[what it is about](errors.md#kinds): ${Object.keys(errorKinds)
        .map((kind) => `\`${kind}\``)
        .join(', ')}`,
      code: '[which it is](errors.md#codes)',
    },
    help: 'Errors that kept vifs from being attached, and what attached vifs went without (degraded), by what they are about and which they are; one that stays, as at a retry, is counted once',
  },
  vifd_antispoof_drops_total: {
    kind: 'counter',
    unit: 'packets',
    labels: { vif: vifLabel, reason: 'as `vifd status VIF` has it' },
    help: 'Frames and packets of guests that anti-spoofing dropped, since the filter was made',
  },
  vifd_vif_bytes_total: {
    kind: 'counter',
    unit: 'bytes',
    labels: { vif: vifLabel, direction },
    help: 'Bytes that the interface of a vif has counted since netback made it; only with traffic = true',
  },
  vifd_vif_packets_total: {
    kind: 'counter',
    unit: 'packets',
    labels: { vif: vifLabel, direction },
    help: 'Packets that the interface of a vif has counted since netback made it; only with traffic = true',
  },
  vifd_vif_dropped_total: {
    kind: 'counter',
    unit: 'packets',
    labels: { vif: vifLabel, direction },
    help: 'Packets that the interface of a vif had no room for, such as those for a guest that does not take them; only with traffic = true',
  },
  vifd_reconciles_total: {
    kind: 'counter',
    unit: 'reconciliations',
    labels: {},
    help: 'Reconciliations of vifs',
  },
  vifd_xenstore_requests_total: {
    kind: 'counter',
    unit: 'requests',
    labels: {},
    help: 'Round trips to xenstore',
  },
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof metrics;
