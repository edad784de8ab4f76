import { readRuleset } from '../../../host/netfilter/ruleset.js';
import { trace } from '../../../host/netfilter/trace.js';
import { type TopologyName, traitsOf } from '../../../model/topology-name.js';
import { type Traced, traceTablePrefix, traceTables } from '../../../nft/trace-table.js';
import { type Finding, warning } from '../finding.js';
import { netdevName, type WayFacts } from './facts.js';
import { judgeTrace } from './trace.js';

/** Traces the packets of one vif for a time, and says where they ended. Its tables go with this process. */
export async function traceWay(
  facts: WayFacts,
  topology: TopologyName | 'script' | undefined,
  seconds: number,
): Promise<Finding[]> {
  const { links, snapshot, step } = facts;
  const device = netdevName(facts);
  if (!links.some(({ ifname }) => ifname === device)) return [];
  const { isRouted = false, isNat = false } = traitsOf(topology) ?? {};
  const routes =
    step.verdict.kind === 'attach' ? step.verdict.desired.ip?.routes.map(({ to }) => to) : undefined;
  const traced: Traced = {
    device,
    mac: isRouted ? undefined : snapshot?.mac,
    addresses: isRouted ? (routes ?? snapshot?.ip ?? []) : [],
    isNat,
  };
  const table = `${traceTablePrefix}${process.pid}`;
  const traces = await trace(traceTables(table, traced), seconds);
  const rules = await readRuleset({ texts: true });
  if (!('ruleset' in rules))
    return [warning('trace', `nf_tables cannot be read: ${rules.reason}`, 'apt install libnftables1')];
  return judgeTrace(traces, { table, ruleset: rules.ruleset, seconds, isRouted });
}
