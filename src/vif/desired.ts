import { topologyOf } from '../topology/topology.js';
import type { Network } from './address.js';
import { type FilterSpec, filterFor } from './filter.js';
import { vifName } from './id.js';
import type { DesiredIp } from './ip.js';
import type { ObservedState, Offload } from './observed.js';
import type { DesiredOvsPort } from './openvswitch.js';
import { withOptions } from './options.js';
import { netbackGaveUp } from './pending.js';
import type { VifPolicy } from './policy.js';
import type { DesiredPort } from './port.js';
import { type OperationError, problem } from './problem.js';
import { type DesiredScript, desiredScript } from './script.js';
import { type VifSnapshot, xenbusState } from './snapshot.js';

/** How a vif's netdev should be. Undefined fields are left as they are found. */
export interface DesiredLink {
  readonly mac: string;
  readonly mtu: number | undefined;
  /** The bridge's name, null for none. */
  readonly master: string | null;
  /** All addresses it has, but for the link-local ones the kernel makes. */
  readonly addresses: readonly Network[];
  readonly port?: DesiredPort;
  readonly txqueuelen?: number;
  readonly offload?: Offload;
}

/** What should be on the host for one vif. */
export interface DesiredState {
  /** The netdev's name: the vif's own, or the one dom0 chose. */
  readonly name: string;
  readonly link: DesiredLink;
  /** What it may send; undefined means anything. Left out by a topology, `decide` puts in that of the vif's keys. */
  readonly filter?: FilterSpec | undefined;
  /** What else a routed or NAT vif needs. */
  readonly ip?: DesiredIp;
  /** Its port in Open vSwitch; absent for none. */
  readonly ovsPort?: DesiredOvsPort;
}

/** The bridge it is on, of whichever kind; undefined for none. */
export const bridgeOf = ({ link, ovsPort }: DesiredState): string | undefined =>
  link.master ?? ovsPort?.bridge;

/**
 * What a topology makes of a vif; the name is the same for all. `missing` is what the vif lacks of its full reach (a
 * way out, an address of a family) and goes on without.
 */
export type Attachment =
  | {
      readonly desired: Omit<DesiredState, 'name'>;
      readonly dependsOn: readonly string[];
      readonly missing?: readonly OperationError[];
    }
  | { readonly problem: OperationError; readonly dependsOn: readonly string[] };

/** The whole decision about one vif. */
export type Verdict =
  /** Attach it, or keep it attached. */
  | {
      readonly kind: 'attach';
      readonly topology: string;
      readonly desired: DesiredState;
      readonly dependsOn: readonly string[];
      /** What it lacks, and works without. */
      readonly missing: readonly OperationError[];
    }
  /** An operator's script attaches it; everything but running that, and the filter, is out of our hands. */
  | {
      readonly kind: 'script';
      readonly script: DesiredScript;
      readonly filter: FilterSpec | undefined;
      readonly dependsOn: readonly string[];
    }
  /** It cannot be attached: keep it off the network and say why. */
  | { readonly kind: 'refuse'; readonly problem: OperationError; readonly dependsOn: readonly string[] }
  /** netback has not made the netdev yet, or took it away: nothing to do until it comes. */
  | { readonly kind: 'await-netdev'; readonly dependsOn: readonly string[] }
  /** dom0 takes it away and netback is still closing: hands off. */
  | { readonly kind: 'closing' }
  /** It is gone, or may go: undo what was done on the host; `directory` says whether the backend is left to delete. */
  | { readonly kind: 'remove'; readonly directory: boolean };

/**
 * Decides what should become of a vif from what is there now. `undefined` stands for a backend directory that does not
 * exist. `dependsOn` names the network devices whose coming, changing or going can change the verdict; `*` is any.
 *
 * State 6 with online=1 is a guest that reconnects (kexec, a reloaded netfront), not a removal: the attachment stays.
 */
export function decide(
  snapshot: VifSnapshot | undefined,
  config: VifPolicy,
  observed: ObservedState,
  isAttached: boolean,
): Verdict {
  if (snapshot === undefined) return { kind: 'remove', directory: false };
  if (!snapshot.online) {
    return snapshot.state === xenbusState.closed ? { kind: 'remove', directory: true } : { kind: 'closing' };
  }
  const own = vifName(snapshot.id);
  const name = snapshot.vifname ?? own;
  const [keyProblem] = snapshot.problems;
  if (keyProblem !== undefined) return { kind: 'refuse', problem: keyProblem, dependsOn: [own] };
  const topology = topologyOf(snapshot, config);
  if ('problem' in topology) return { kind: 'refuse', problem: topology.problem, dependsOn: [own] };

  const netdev = observed.links.ofVif(snapshot.id);
  if (netdev === undefined && snapshot.state === xenbusState.closing) {
    return { kind: 'refuse', problem: netbackGaveUp(snapshot.id), dependsOn: [own] };
  }
  const holder = observed.links.byName(name);
  if (netdev !== undefined && holder !== undefined && holder.index !== netdev.index) {
    const reason = `interface ${holder.index} has that name; choose another vifname, or remove it`;
    return {
      kind: 'refuse',
      problem: problem('name-taken', `rename ${own} to`, name, reason),
      dependsOn: [own, name],
    };
  }
  const ofKeys = () =>
    filterFor(snapshot, config, { tagged: snapshot.vlans?.some(({ untagged }) => !untagged) ?? false });
  if ('file' in topology) {
    const dependsOn = [own, name];
    const filtered = nameable(ofKeys(), own, name);
    if ('problem' in filtered) return { kind: 'refuse', problem: filtered.problem, dependsOn };
    if (netdev === undefined) return { kind: 'await-netdev', dependsOn };
    const script = desiredScript(snapshot, topology.file, netdev.index);
    return { kind: 'script', script, filter: filtered.filter, dependsOn };
  }
  const attachment = topology.attach(snapshot, config, observed, isAttached);
  const dependsOn = [own, name, ...attachment.dependsOn];
  if ('problem' in attachment) return { kind: 'refuse', problem: attachment.problem, dependsOn };
  const { desired: attached } = attachment;
  const filtered = nameable('filter' in attached ? { filter: attached.filter } : ofKeys(), own, name);
  if ('problem' in filtered) return { kind: 'refuse', problem: filtered.problem, dependsOn };
  if (netdev === undefined) return { kind: 'await-netdev', dependsOn };
  const link = withOptions(attached.link, snapshot, config.vifs);
  const desired = { ...attached, link, name, filter: filtered.filter };
  return { kind: 'attach', topology: topology.name, desired, dependsOn, missing: attachment.missing ?? [] };
}

type Filtered = ReturnType<typeof filterFor>;

/** The same, or why there can be no filter for a netdev of this name. */
function nameable(filtered: Filtered, own: string, name: string): Filtered {
  if ('problem' in filtered || filtered.filter === undefined || /^[\w.-]+$/.test(name)) return filtered;
  const reason = 'nft takes a name of letters, digits, ".", "-" and "_" only; choose another vifname';
  return { problem: problem('name-unfilterable', `filter ${own} as`, name, reason) };
}
