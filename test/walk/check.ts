import { setTimeout as sleep } from 'node:timers/promises';
import { addressesOf, nameOf } from './addresses.js';
import { Broken } from './broken.js';
import type { LinkEvent } from './eyes.js';
import { isConnected, type Model, type Status, type Step, serving, vifOf } from './model.js';
import { missesSomething, probes } from './probes.js';
import { differences, linkOf, partOf, type Snapshot, settings } from './snapshot.js';
import { unmet } from './spec.js';
import type { StoreStatus, ToldStatus } from './statuses.js';
import { type About, about } from './steps.js';
import { stretch } from './stretch.js';
import type { WalkDomain } from './walk-domain.js';

/**
 * How long the daemon has after a step, in ms, and how long is waited to tell what is late from what never comes. Both
 * are longer where others want the processors too: `stretch` times, and 1 on a machine that has nothing else to do.
 */
export interface Patience {
  readonly within: number;
  readonly late: number;
}

const pauseMs = 12;

/** What is not so, and by which rule. */
type Found = { readonly rule: string; readonly lines: readonly string[] } | undefined;

/** The driver domain at rest: what the next step is compared with. */
export interface Rest {
  readonly model: Model;
  readonly snapshot: Snapshot;
}

/**
 * Waits for everything to be as it should be after a step, and looks that the step touched nothing it is not about.
 * @returns the state at rest, and how long it took
 * @throws Broken
 */
export async function check(
  domain: WalkDomain,
  step: Step,
  before: Rest,
  after: Model,
  patience: Patience,
): Promise<{ rest: Rest; ms: number }> {
  const began = performance.now();
  const factor = stretch();
  const within = factor * patience.within;
  const events: LinkEvent[] = [];
  const scope = about(step, before.model, after);
  for (;;) {
    const crash = domain.daemon.crash;
    if (crash !== undefined) throw new Broken('crash', [crash]);
    let snapshot: Snapshot | undefined;
    const found = await (async (): Promise<Found> => {
      const left = Math.max(60, Math.min(within - (performance.now() - began), 250 * factor));
      const told = await statuses(domain, after);
      if (told !== undefined) return told;
      snapshot = await domain.snapshot();
      // Snapshots are taken before probes: those count as packets in counters, which may grow.
      const host = serving(after) ? unmet(after, snapshot, domain.rules) : [];
      if (host.length > 0) return { rule: 'host', lines: host };
      const reach = await domain.probe(probes(after), after, left);
      if (reach.length > 0) return { rule: 'reach', lines: reach };
      return await lies(domain, after, snapshot);
    })();
    events.push(...(await domain.events()));
    const ms = performance.now() - began;
    if (found === undefined && snapshot !== undefined) {
      // Where the step leaves it open what becomes of a thing, the next one begins when that has been decided.
      if (widely.has(step.do)) {
        await sleep(Math.min(40 * factor, 200));
        if (!isSame(after, snapshot, await domain.snapshot())) continue;
      }
      const touched = untouched(before, { model: after, snapshot }, scope, events);
      if (touched !== undefined) throw new Broken(touched.rule, touched.lines);
      if (ms > within + 250) throw new Broken('late', [`it took ${Math.round(ms)} ms`]);
      return { rest: { model: after, snapshot }, ms };
    }
    if (found !== undefined && ms > factor * patience.late) throw new Broken(found.rule, found.lines);
    await sleep(pauseMs);
  }
}

/** Kinds of steps that many vifs follow, some of them in more than one way that is right. */
const widely: ReadonlySet<Step['do']> = new Set([
  ...([
    'bridge',
    'uplink',
    'address',
    'default',
    'uplinks',
    'blink',
    'nft',
    'ovsdb',
    'vswitchd',
    'vifd',
  ] as const),
]);

/** Whether nothing of any vif has changed between two looks. */
const isSame = (model: Model, one: Snapshot, other: Snapshot): boolean =>
  model.vifs.every((vif) => {
    const [a, b] = [one, other].map((at) => partOf(at, nameOf(vif.slot), vif.name, addressesOf(vif)));
    return !vif.present || a === undefined || b === undefined || differences(a, b).length === 0;
  });

async function statuses(domain: WalkDomain, model: Model): Promise<Found> {
  if (!model.xenstored) return undefined;
  const all = await Promise.all(model.vifs.map(({ slot }) => domain.stored(slot)));
  const lines = model.vifs.flatMap((vif, at): string[] => {
    const stored = all[at];
    const own = `${nameOf(vif.slot)} (${vif.topology})`;
    if (!vif.present) return stored === undefined ? [] : [`${own} has a directory, and should be gone`];
    if (stored === undefined) return [`${own} has no directory`];
    if (vif.uncertain || isAs(vif.status, stored)) return [];
    return [`${own} is "${stored.status}" (${stored.error ?? 'no error'}), should be ${vif.status}`];
  });
  return lines.length > 0 ? { rule: 'status', lines } : undefined;
}

function isAs(expected: Status, { status, error }: StoreStatus): boolean {
  if (expected === 'connected') return status === 'connected' && error === undefined;
  if (expected === 'error') return status === 'error' && (error ?? '') !== '';
  return status !== 'connected';
}

/** What `vifd status --json` says that the kernel and xenstore do not. */
async function lies(domain: WalkDomain, model: Model, snapshot: Snapshot): Promise<Found> {
  if (!serving(model)) return undefined;
  const told = await domain.daemon.told();
  const lines = model.vifs.flatMap((vif) => {
    const own = nameOf(vif.slot);
    const one = told.find((status) => status.vif === own);
    if (!vif.present) return one === undefined ? [] : [`${own} is gone, and told to be ${one.state}`];
    if (one === undefined) return [`${own} is not told of`];
    return liesOf(vif.slot, one, model, snapshot);
  });
  return lines.length > 0 ? { rule: 'lie', lines } : undefined;
}

function liesOf(slot: number, told: ToldStatus, model: Model, snapshot: Snapshot): string[] {
  const vif = vifOf(model, slot);
  const link = linkOf(snapshot, vif.name);
  const lines: string[] = [];
  const must = (what: string, value: unknown, expected: unknown): void => {
    if (value !== expected) lines.push(`${told.vif} is told to have ${what} ${value}, it has ${expected}`);
  };
  if (isConnected(vif)) must('the state', told.state, 'attached');
  if (vif.status === 'error') must('the state', told.state, 'failed');
  // What can be done already of one that waits for Open vSwitch is left open.
  if (vif.status === 'pending') return lines;
  must('the netdev', told.netdev, link?.name ?? null);
  must('the index', told.ifindex, link?.index ?? null);
  must('the MTU', told.mtu, link?.mtu ?? null);
  must('an error', told.error !== null, vif.status === 'error');
  const missing = missesSomething(vif, model);
  if (missing !== undefined) must('something missing', (told.missing ?? []).length > 0, missing);
  return lines;
}

/** Whether everything that a step is not about is what it was, and was not even told of by the kernel. */
export function untouched(before: Rest, after: Rest, scope: About, events: readonly LinkEvent[]): Found {
  const touched: string[] = [];
  for (const vif of before.model.vifs) {
    if (!vif.present || scope.vifs.has(vif.slot)) continue;
    const own = nameOf(vif.slot);
    // Of Open vSwitch nothing is known while its database is away.
    const unknown = before.snapshot.ports === undefined || after.snapshot.ports === undefined;
    // What is left for ways that were gone already is taken away when the vif's turn comes, see `filter` in spec.ts.
    const { defaultRoute, defaultRoute6 } = before.model;
    const isLeftOver = defaultRoute === undefined || defaultRoute6 === undefined;
    const lines = differences(
      partOf(before.snapshot, own, vif.name, addressesOf(vif)),
      partOf(after.snapshot, own, vif.name, addressesOf(vif)),
      (thing) =>
        (unknown && thing.startsWith('port ')) ||
        (isLeftOver && /^element inet vifd (masqueraded[46]|ways_out|ways_in) /.test(thing)),
    );
    touched.push(...lines.map((line) => `${own} (${vif.topology}): ${line}`));
  }
  if (touched.length > 0) return { rule: 'touched', lines: touched };
  const told = before.model.vifs.flatMap((vif) => {
    if (!vif.present || scope.links.has(vif.slot)) return [];
    const link = linkOf(before.snapshot, vif.name);
    if (link === undefined) return [];
    // The settings of a port are told in other messages, which is no news of the device.
    const plain = settings({ ...link, port: '' });
    return events
      .filter(
        (event) => event.index === link.index && (event.gone || settings({ ...event, port: '' }) !== plain),
      )
      .map(
        (event) =>
          `${nameOf(vif.slot)} (${vif.topology}): ${event.gone ? 'gone' : settings({ ...event, port: '' })} instead of ${plain}`,
      );
  });
  return told.length > 0 ? { rule: 'link-event', lines: told } : undefined;
}

const restMs = 300;
const restTries = 3;

/** A daemon at rest is at rest: no notification of the kernel, and no CPU time to speak of. @throws Broken */
export async function checkQuiet(domain: WalkDomain): Promise<void> {
  const seen: string[] = [];
  for (let tries = 0; tries < restTries; tries++) {
    await domain.traffic();
    const before = domain.daemon.usage();
    await sleep(restMs);
    const [route, nftables] = await domain.traffic();
    const cpu = (domain.daemon.usage()?.cpu ?? 0) - (before?.cpu ?? 0);
    if (route === 0 && nftables === 0 && cpu <= restMs / 3) return;
    seen.push(
      `in ${restMs} ms: ${route} notifications of rtnetlink, ${nftables} of nftables, ${cpu} ms of CPU time`,
    );
  }
  throw new Broken('storm', seen);
}

/**
 * What may be otherwise on the host after the last vif has gone, each with its reason: the settings that
 * docs/operate/migrating.md lists as staying.
 */
const staying: readonly (readonly [thing: RegExp, to: RegExp, reason: string])[] = [
  [/^sysctl net\/ipv4\/conf\/up[01]\/forwarding$/, /^1$/, 'another program may want it by now'],
  [
    /^sysctl net\/ipv6\/conf\/up[01]\/accept_ra$/,
    /^2$/,
    'it is what a host that forwards says of its uplinks',
  ],
  [
    /^sysctl net\/ipv6\/conf\/(?:up[01]|all)\/proxy_ndp$/,
    /^1$/,
    'another program may have entries there by now',
  ],
  [/^OVS Interface ovsbr\d+: mtu_request$/, /^1500$/, 'the bridge keeps its MTU beside a smaller vif'],
  [/^OVS Interface povs\d*: ofport$/, /./, 'ovs-vswitchd counts its ports anew when it is started'],
];

/** @throws Broken when the host is not what it was */
export function checkEnd(
  left: readonly (readonly [string, string | undefined, string | undefined])[],
  { notesLost }: Model,
): void {
  // Which devices forwarded before is then unknown, and they go on.
  const forwards = /^sysctl net\/ipv6\/conf\/[^/]+\/forwarding$/;
  const lines = left
    .filter(([thing]) => !(notesLost && forwards.test(thing)))
    .filter(([thing, , after]) => !staying.some(([of, to]) => of.test(thing) && to.test(after ?? '')))
    .map(([thing, before, after]) => `${thing}: was ${before ?? 'not there'}, is ${after ?? 'gone'}`);
  if (lines.length > 0) throw new Broken('end', lines);
}
