import { Registry } from 'prom-client';
import { registerProcessMetrics } from '../../src/observe/instruments.js';
import { metrics } from '../../src/observe/metric-table.js';

/** The tables of docs/reference/metrics.md: vifd's own metrics, then those of its process. */
export function metricTables(): string {
  return [
    '\n## Of vifs\n\n',
    '| metric | kind | unit | meaning | labels |\n|---|---|---|---|---|\n',
    ...Object.entries(metrics).map(([name, { kind, unit, help, labels }]) => {
      const values = Object.entries(labels).map(([label, value]) => `\`${label}\`: ${value}`);
      return `| \`${name}\` | ${kind} | ${unit} | ${help}. | ${values.join('<br>')} |\n`;
    }),
    '\n## Of the process\n\n',
    '| metric | kind | unit | meaning | labels |\n|---|---|---|---|---|\n',
    ...processMetrics().map(
      ({ name, type, help, labelNames }) =>
        `| \`${name}\` | ${type} | ${unitOf(name)} | ${help} | ${labelNames.map((label) => `\`${label}\``).join(', ')} |\n`,
    ),
    '\n',
  ].join('');
}

/** What prom-client keeps of a metric; its type declaration leaves out two of the fields. */
interface Registered {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

function processMetrics(): Registered[] {
  const registry = new Registry();
  registerProcessMetrics(registry);
  return registry.getMetricsAsArray() as unknown as Registered[];
}

/** The unit that a name of Prometheus ends in, and before it `total` for a counter; empty where it has none. */
const unitOf = (name: string): string => /_(seconds|bytes)(_total)?$/.exec(name)?.[1] ?? '';
