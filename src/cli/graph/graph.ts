import { setTimeout as sleep } from 'node:timers/promises';
import { Xenstore } from 'node-xenstore';
import type { Config } from '../../config/config.js';
import { setsNamed } from '../../decide/named-sets.js';
import { wantsOffloads } from '../../decide/vif-options.js';
import { Host } from '../../host/host.js';
import type { ObservedState, Traffic } from '../../model/observed.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';
import { Backend } from '../../xenstore/backend.js';
import { exit } from '../exit-status.js';
import { backendOf, observeNow, planNow, readAllKeys } from '../plan-now.js';
import { rateBetween } from '../rate.js';
import { detailsOf, type VifDetails } from './details.js';
import { graph } from './edges.js';
import { printDot, printMermaid } from './languages.js';
import { printTree } from './tree.js';

export const graphFormats = ['tree', 'svg', 'mermaid', 'dot'] as const;
export type GraphFormat = (typeof graphFormats)[number];

/** How long the traffic is counted for the rates that are drawn, in ms. */
const countedMs = 500;

/** `vifd graph [--format tree|svg|mermaid|dot] [--json]`: prints uplinks, bridges, vifs and guests as they are connected now. */
export async function graphCommand(
  config: Config,
  { json, format }: { json: boolean; format: GraphFormat },
): Promise<number> {
  const hasDetails = !json && (format === 'tree' || format === 'svg');
  const { openvswitch, scripts } = config;
  const xenstore = await Xenstore.open();
  const host = await Host.open(() => undefined, {
    openvswitch,
    offloads: hasDetails && wantsOffloads(config),
    sets: hasDetails ? setsNamed(config) : [],
  });
  try {
    const keys = await readAllKeys(hasDetails ? backendOf(xenstore, config) : new Backend(xenstore));
    const details = hasDetails ? await detailed(keys, config, host) : [];
    const edges = graph(keys, host.observe(), { scripts });
    if (json) process.stdout.write(`${JSON.stringify(edges, undefined, 2)}\n`);
    else if (format === 'mermaid') process.stdout.write(printMermaid(edges));
    else if (format === 'dot') process.stdout.write(printDot(edges));
    else if (format === 'tree') process.stdout.write(printTree(edges, details, { colour: isColoured() }));
    // The library that lays it out is loaded for this format alone.
    else process.stdout.write((await import('./svg.js')).printSvg(edges, details));
    return exit.ok;
  } finally {
    host.close();
    await xenstore.close();
  }
}

/** What is said of each vif, with the rates of the time that this takes. */
async function detailed(keys: readonly VifSnapshot[], config: Config, host: Host): Promise<VifDetails[]> {
  const begin = performance.now();
  const before = countersOf(keys, host.observe(), host);
  if (before.size > 0) await sleep(countedMs);
  const observed = observeNow(host);
  const after = countersOf(keys, observed, host);
  const seconds = (performance.now() - begin) / 1000;
  return keys.map((one) => {
    const name = vifName(one.id);
    const rate = rateBetween(before.get(name), after.get(name), seconds);
    return detailsOf(one, planNow(one.id, one, config, observed), rate);
  });
}

function countersOf(
  keys: readonly VifSnapshot[],
  { links }: Pick<ObservedState, 'links'>,
  host: Host,
): Map<string, Traffic> {
  const found = new Map<string, Traffic>();
  const counted = host.traffic();
  for (const { id } of keys) {
    const link = links.ofVif(id);
    const traffic = link && counted.get(link.name);
    if (traffic !== undefined) found.set(vifName(id), traffic);
  }
  return found;
}

/** Whether the terminal is written to in colours: a user who wants none sets NO_COLOR (no-color.org). */
const isColoured = (): boolean =>
  process.stdout.isTTY === true && !process.env.NO_COLOR && process.env.TERM !== 'dumb';
