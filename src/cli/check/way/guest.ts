import { holds } from '../../../model/filter.js';
import { pass } from '../../../nft/walk/walk.js';
import { aheadOf } from '../ahead.js';
import { error, type Finding, note, ok, warning } from '../finding.js';
import { netdevName, type WayFacts } from './facts.js';
import { judgePassages } from './firewall.js';

/** From the guest's driver to this domain: the frontend, the carrier, and what filters at the vif's ingress. */
export function fromGuest(facts: WayFacts): Finding[] {
  const name = netdevName(facts);
  const own = facts.links.find(({ ifname }) => ifname === name);
  if (own === undefined) {
    return [error('netdev', `there is no ${name}`, 'modprobe xen-netback; journalctl -k says why it failed')];
  }
  const { snapshot, sent, ruleset } = facts;
  const findings: Finding[] = [];
  if (!own.flags.includes('UP')) {
    findings.push(error('netdev', `${name} is down`, `ip link set ${name} up`));
  } else if (own.flags.includes('NO-CARRIER') || own.operstate === 'LOWERLAYERDOWN') {
    const state =
      snapshot?.state === undefined
        ? ''
        : `; its backend is in state ${snapshot.state} of xenbus, and 4 is connected`;
    findings.push(
      error(
        'frontend',
        `${name} has no carrier: the guest's driver has not connected${state}`,
        'look in the guest: is netfront loaded, is its interface up? An HVM guest connects when its PV driver loads',
      ),
    );
  } else {
    findings.push(ok('frontend', `connected, ${name} has carrier`));
  }
  if (sent === 0) {
    findings.push(
      note(
        'frontend',
        'the guest has not sent a packet',
        "is the guest's interface up, and has it an address?",
      ),
    );
  }
  findings.push(...aboutDrops(facts));
  findings.push(...aheadOf(own, facts.ingress));
  if ('base' in ruleset) {
    // Whatever the packet: a chain that drops everything of this device is what can be told here.
    const packet = { ...anyPacket, iif: name, oif: '' };
    const foreign = pass(ruleset, 'ingress', packet, ['netdev']).filter(
      ({ chain }) => chain.table !== 'vifd',
    );
    findings.push(...judgePassages('ingress', 'frames of the guest', foreign, facts));
  }
  return findings;
}

const anyPacket = {
  family: 4,
  source: undefined,
  destination: undefined,
  protocol: 'tcp',
  sport: undefined,
  dport: undefined,
  state: 'new',
  to: 'unicast',
} as const;

/** The drops of what a guest sends by itself, and that it gets on without: what it tries of a protocol that it has no address for. */
const harmless: ReadonlySet<string> = new Set([
  'IPv6 without an address',
  'EtherType',
  'router advertisement or redirect',
  'neighbour discovery',
]);

export const isHarmless = (reason: string): boolean => harmless.has(reason);

/** Drops without those that every guest has. */
export const serious = (drops: WayFacts['drops']): WayFacts['drops'] =>
  Object.fromEntries(Object.entries(drops).filter(([reason, count]) => count > 0 && !harmless.has(reason)));

export const countOf = (drops: WayFacts['drops']): number =>
  Object.values(drops).reduce((sum, count) => sum + count, 0);

const list = (drops: WayFacts['drops']): string =>
  Object.entries(drops)
    .filter(([, count]) => count > 0)
    .map(([reason, count]) => `${reason} ${count}`)
    .join(', ');

/** What vifd's own filter dropped: an error while it is half of what the guest sends, else worth knowing. */
function aboutDrops({ drops, meanwhile, step: { verdict } }: WayFacts): Finding[] {
  const remedy =
    "compare the guest's addresses with its ip and mac keys; docs/operate/security.md says what passes and what each reason means";
  const isFiltered = verdict.kind === 'attach' && holds(verdict.desired.filter);
  const now = serious(meanwhile.drops);
  if (countOf(now) > 0) {
    const text = `anti-spoofing drops what the guest sends right now: ${list(now)}`;
    const isMost = 2 * countOf(now) >= meanwhile.sent;
    return [isMost ? error('filter', text, remedy) : warning('filter', text, remedy)];
  }
  if (countOf(drops) > 0) {
    return [note('filter', `anti-spoofing has dropped packets before: ${list(drops)}`, remedy)];
  }
  return [ok('filter', isFiltered ? 'anti-spoofing has dropped nothing' : 'the vif is not filtered')];
}
