import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../../config/config.js';
import { setsNamed } from '../../../decide/named-sets.js';
import { wantsOffloads } from '../../../decide/vif-options.js';
import { Host } from '../../../host/host.js';
import { readRuleset } from '../../../host/netfilter/ruleset.js';
import { readSysctl } from '../../../host/sysctl.js';
import { isHost } from '../../../model/address.js';
import { vifOfLink } from '../../../model/observed.js';
import type { VifSnapshot } from '../../../model/snapshot.js';
import { type VifId, vifName } from '../../../model/vif-id.js';
import type { Step } from '../../../reconcile/next.js';
import { observeNow, planNow } from '../../plan-now.js';
import { readIngress } from '../ahead.js';
import { dhcpServer } from './dhcp-server.js';
import type { FdbEntry, IpLink, RouteAnswer, Trip, WayFacts } from './facts.js';
import { countOf, serious } from './guest.js';
import { jsonOf, parseIproute, runProgram } from './run.js';
import { gatherSwitch } from './switch.js';
import { between, readQdiscs } from './traffic-control.js';

/** Looked up and never sent to: addresses that only a default route leads to. */
const outside = { 4: '1.1.1.1', 6: '2606:4700:4700::1111' } as const;

/** In ms: how long drops are watched; a guest whose ARP is dropped asks once a second. */
const watchMs = { usual: 300, afterDrops: 1200 };

/** Reads everything that the way of a vif's packets depends on; changes nothing. */
export async function gatherWay(
  id: VifId,
  snapshot: VifSnapshot | undefined,
  config: Config,
  { vifdRuns, to }: { vifdRuns: boolean; to: string | undefined },
): Promise<WayFacts> {
  const host = await Host.open(() => undefined, {
    openvswitch: config.openvswitch,
    offloads: wantsOffloads(config),
    sets: setsNamed(config),
  });
  try {
    const observed = observeNow(host);
    const step = planNow(id, snapshot, config, observed);
    const name = observed.links.ofVif(id)?.name ?? vifName(id);
    const isRouted = step.verdict.kind === 'attach' && step.verdict.topology === 'route';
    const told = isRouted ? config.route : config.nat;
    const dropsOf = async () => (await host.dropsOf(vifName(id))) ?? {};
    const before = await dropsOf();
    const qdiscs = await readQdiscs();
    const hadDrops =
      countOf(serious(before)) > 0 || qdiscs.some(({ dev, dropped }) => dev === name && dropped > 0);
    const sentBefore = host.traffic().get(name)?.rxPackets ?? 0;
    const [links, ingress, vlans, fdb, neighbours, trips, rules, ovs] = await Promise.all([
      jsonOf<IpLink>('ip', ['-d', '-j', 'address', 'show']),
      readIngress(),
      jsonOf<{ ifname: string; vlans?: Vlan[] }>('bridge', ['-j', 'vlan', 'show']),
      jsonOf<FdbEntry>('bridge', ['-j', 'fdb', 'show']),
      jsonOf<{ dst: string; state?: string[] }>('ip', ['-j', 'neigh', 'show', 'dev', name]),
      Promise.all(addressesOf(step, snapshot).map((address) => trip(name, address, to))),
      readRuleset(),
      gatherSwitch(step, config.openvswitch.database),
      sleep(hadDrops ? watchMs.afterDrops : watchMs.usual),
    ]);
    const drops = await dropsOf();
    const sent = host.traffic().get(name)?.rxPackets;
    return {
      id,
      snapshot,
      step,
      vifdRuns,
      links: links.filter((link) => link.ifname !== undefined),
      ingress,
      tc: between(qdiscs, await readQdiscs()),
      vifs: new Set([...observed.links.all()].filter(vifOfLink).map((link) => link.name)),
      sent,
      drops,
      meanwhile: {
        sent: (sent ?? 0) - sentBefore,
        drops: Object.fromEntries(
          Object.entries(drops).map(([reason, count]) => [reason, count - (before[reason] ?? 0)]),
        ),
      },
      vlans: new Map(vlans.map((port) => [port.ifname, (port.vlans ?? []).flatMap(expand)])),
      fdb,
      neighbours: new Map(neighbours.map(({ dst, state }) => [dst, state?.[0] ?? 'NONE'])),
      trips,
      sysctl: readSysctl,
      ruleset: 'ruleset' in rules ? rules.ruleset : rules,
      unreadLegacy: 'ruleset' in rules ? rules.unreadLegacy : [],
      switch: ovs,
      dhcpServer: await dhcpServer(),
      servesNames: !isRouted && config.nat.dns.length === 0,
      dhcpWanted: told.dhcp === 'dnsmasq',
      advertises: told.routerAdvertisements,
      resolvers: told.dns.length > 0 ? told.dns : resolversHere(),
    };
  } finally {
    host.close();
  }
}

interface Vlan {
  vlan: number;
  vlanEnd?: number;
  flags?: string[];
}

const expand = ({ vlan, vlanEnd = vlan, flags = [] }: Vlan): { vid: number; pvid: boolean }[] =>
  Array.from({ length: vlanEnd - vlan + 1 }, (_, i) => ({ vid: vlan + i, pvid: flags.includes('PVID') }));

/** The guest's own addresses: those that are routed to it, or that its keys give. */
function addressesOf(
  { verdict }: Step,
  snapshot: VifSnapshot | undefined,
): { family: 4 | 6; address: string }[] {
  const routed = verdict.kind === 'attach' ? verdict.desired.ip?.routes.map(({ to }) => to) : undefined;
  return (routed ?? snapshot?.ip ?? []).filter(isHost);
}

async function trip(
  name: string,
  { family, address }: { family: 4 | 6; address: string },
  to?: string,
): Promise<Trip> {
  const target = to !== undefined && to.includes(':') === (family === 6) ? to : outside[family];
  const get = (...words: string[]): Promise<RouteAnswer> => routeGet(family, words);
  const out = await get(target, 'from', address, 'iif', name);
  const own = await get(target);
  const toGuest = await get(address);
  const way = 'dev' in out ? out : own;
  const back = 'dev' in way ? await get(address, 'from', target, 'iif', way.dev) : undefined;
  const hop = 'dev' in way ? (way.gateway ?? target) : undefined;
  const entries =
    'dev' in way
      ? await jsonOf<{ dst: string; state?: string[] }>('ip', ['-j', 'neigh', 'show', 'dev', way.dev])
      : [];
  const nextHop = entries.find(({ dst }) => dst === hop)?.state?.[0];
  return { family, guest: address, target, out, own, toGuest, back, nextHop };
}

async function routeGet(family: 4 | 6, words: readonly string[]): Promise<RouteAnswer> {
  const output = await runProgram('ip', [`-${family}`, '-j', 'route', 'get', ...words]);
  if ('failed' in output)
    return { refused: output.failed.replace(/^RTNETLINK answers: /, '').replace(/^Error: /, '') };
  const [route] = parseIproute(output.stdout) as {
    dev?: string;
    gateway?: string;
    type?: string;
    error?: string;
  }[];
  return route?.dev === undefined
    ? { refused: route?.type ?? 'no route' }
    : { dev: route.dev, gateway: route.gateway, type: route.type };
}

/** Whether a UDP socket of this network namespace is bound to port 67. */
function resolversHere(): string[] {
  try {
    const text = readFileSync('/etc/resolv.conf', 'utf8');
    return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address = '']) => address);
  } catch {
    return [];
  }
}
