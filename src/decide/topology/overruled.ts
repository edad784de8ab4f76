import { formatNetwork, type Network } from '../../model/address.js';
import { noIp } from '../../model/ip.js';
import type { ObservedState } from '../../model/observed.js';
import { type OperationError, problem } from '../../model/operation-error.js';
import type { RouteView } from '../../model/route.js';
import { isFor, localTable, mainTable, type RoutingRule, type TableRoute } from '../../model/routing-rule.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import { vifName } from '../../model/vif-id.js';

/**
 * What sends packets for these networks of a guest elsewhere than our routes do: another route of the main table, or a rule that
 * has another table asked before it, as VPNs and multihoming set up.
 * @param ways the names of the devices by which packets for the guest come in
 */
export function overruled(
  { id }: VifSnapshot,
  networks: readonly Network[],
  ways: readonly string[],
  { links, ip = noIp }: ObservedState,
): OperationError[] {
  const own = links.ofVif(id)?.index;
  return networks.flatMap((network) => {
    const to = formatNetwork(network);
    const reason = byRoute(network, ip.routes, links) ?? byRule(network, own, ways, ip.routes, links);
    return reason === undefined ? [] : [problem('route-overruled', `route ${vifName(id)}`, to, reason)];
  });
}

type Links = ObservedState['links'];

const leadsTo = (device: number, links: Links): string => {
  const name = links.byIndex(device)?.name;
  return name === undefined ? 'is refused' : `leads to ${name}`;
};

function byRoute(network: Network, routes: RouteView, links: Links): string | undefined {
  const route = routes.before(network);
  if (route === undefined) return undefined;
  const remedy = `ip route delete ${formatNetwork(network)} metric ${route.metric}`;
  return `another route, of metric ${route.metric}, goes before ours and ${leadsTo(route.device, links)}; if nothing needs it: ${remedy}`;
}

function byRule(
  network: Network,
  own: number | undefined,
  ways: readonly string[],
  routes: RouteView,
  links: Links,
): string | undefined {
  for (const iif of [...ways, undefined]) {
    const found = ruling(network, iif, routes);
    if (found === undefined || (own !== undefined && found.route?.device === own)) continue;
    const { rule, route } = found;
    const from = iif === undefined ? 'of this domain' : `that come in by ${iif}`;
    const ip = network.family === 4 ? 'ip' : 'ip -6';
    if (rule === undefined)
      return `no rule has the main table asked for packets ${from}; run: ${ip} rule add pref 32766 lookup main`;
    const asks = route === undefined ? '' : `, table ${rule.does.kind === 'look-up' ? rule.does.table : ''},`;
    const remedy = `${ip} rule add pref ${Math.max(rule.pref - 1, 0)} to ${formatNetwork(network)} lookup main`;
    return `for packets ${from} the rule of pref ${rule.pref}${asks} goes before the main table and ${leadsTo(route?.device ?? 0, links)}; to let them through: ${remedy}`;
  }
  return undefined;
}

/** The rule that is asked before the main table and answers, with the route of its table, if it has one. */
interface Ruling {
  /** Undefined where none is left to ask, and the main table was not among them. */
  readonly rule: RoutingRule | undefined;
  readonly route: TableRoute | undefined;
}

/** Walks the rules as the kernel does (fib_rules_lookup) for a packet to a network that our route in the main table leads to. */
function ruling(to: Network, iif: string | undefined, routes: RouteView): Ruling | undefined {
  const rules = routes.rules(to.family);
  if (rules.length === 0) return undefined;
  let from = 0;
  let isSure = true;
  for (const rule of rules) {
    if (rule.pref < from) continue;
    const matches = isFor(rule, to, iif);
    if (matches === undefined) isSure = false;
    if (matches !== true) continue;
    const { does } = rule;
    if (does.kind === 'refuse') return { rule, route: undefined };
    if (does.kind === 'goto') from = does.pref;
    if (does.kind !== 'look-up' || does.table === localTable) continue;
    if (does.table === mainTable) {
      if (to.prefix > does.longerThan) return undefined;
      continue;
    }
    const route = routes.inTable(does.table, to);
    if (route !== undefined && route.does !== 'throws' && route.to.prefix > does.longerThan)
      return { rule, route };
  }
  return isSure ? { rule: undefined, route: undefined } : undefined;
}
