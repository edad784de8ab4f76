import { decide } from '../decide/decide.js';
import { obstacles } from '../decide/obstacles.js';
import {
  awaitsSwitch,
  mtuLacking,
  netdevMissing,
  type Pending,
  pending,
  switchDown,
} from '../decide/readiness.js';
import { scriptFailure, scriptSilence } from '../decide/script.js';
import type { Action } from '../model/action.js';
import type { Attached } from '../model/desired.js';
import type { Link, ObservedState } from '../model/observed.js';
import type { OperationError } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import type { DesiredScript, ScriptRun } from '../model/script.js';
import { isConnected, type VifSnapshot } from '../model/snapshot.js';
import type { Verdict } from '../model/verdict.js';
import type { VifId } from '../model/vif-id.js';
import { vifName } from '../model/vif-id.js';
import { giveUpName } from '../plan/link.js';
import { plan, planScript } from '../plan/plan.js';

/** The part of a vif's record that the next step depends on. */
export interface Known {
  readonly id: VifId;
  /** Its keys in xenstore; undefined where its backend directory does not exist. */
  readonly snapshot: VifSnapshot | undefined;
  /** Whether this is the daemon's first step for the vif: another agent, or an earlier vifd, may have attached it. */
  readonly isNew: boolean;
  /** What it was given when it was put on the network, where it stays when something for more reach goes away. */
  readonly attached: Attached | undefined;
  /** Why nf_tables has refused its floor (src/decide/floor.ts) lately: it goes without, as where the kernel has no nf_tables. */
  readonly floorRefused?: OperationError | undefined;
}

/** The verdicts for which something may have to be changed on the machine. */
type Changing = Exclude<Verdict, { readonly kind: 'closing' | 'await-netdev' }>;

/** The next thing to do for a vif. After a `change` the machine is observed, and the next step computed again. */
export type Step =
  | {
      readonly kind: 'change';
      readonly verdict: Changing;
      readonly actions: readonly Action[];
      /** The changes planned for afterwards; planned anew then, since an operator's script that is undone may do anything. */
      readonly foreseen: readonly Action[];
    }
  /** An operator's script is to be run; before that, an earlier status is deleted from xenstore. */
  | {
      readonly kind: 'start-script';
      readonly verdict: Verdict & { readonly kind: 'script' };
      readonly action: Action;
      readonly script: DesiredScript;
    }
  /** The vif is on the network and nothing is left to change; `missing` is what it lacks and works without. */
  | {
      readonly kind: 'attached';
      readonly verdict: Verdict & { readonly kind: 'attach' };
      readonly link: Link;
      readonly missing: readonly Pending[];
    }
  /**
   * The script has been started; `run` is its state, `failure` the reason when it failed. `silence` is what is reported of one that
   * ended well and did not say so in xenstore: a process that it started may still do that.
   */
  | {
      readonly kind: 'script';
      readonly verdict: Verdict & { readonly kind: 'script' };
      readonly link: Link;
      readonly run: ScriptRun;
      readonly failure: OperationError | undefined;
      readonly silence: OperationError | undefined;
    }
  /** netback, ovs-vswitchd or the script has to act first; `problem` is reported when that takes too long. */
  | { readonly kind: 'wait'; readonly verdict: Verdict; readonly problem: OperationError }
  /** The vif is off the network, for this reason. */
  | { readonly kind: 'fail'; readonly verdict: Verdict; readonly problem: OperationError }
  /** dom0 takes the vif away and netback is still closing it: nothing is changed until it is closed. */
  | { readonly kind: 'closing'; readonly verdict: Verdict }
  /** Nothing is left of the vif on the machine; `directory` says whether its backend directory is left to delete. */
  | { readonly kind: 'remove'; readonly verdict: Verdict; readonly directory: boolean };

/**
 * The next step for a vif, computed from its record, the configuration and the observed state alone: the daemon performs
 * it, `vifd plan` prints it, and the golden cases compare it.
 */
export function next(known: Known, config: VifPolicy, observed: ObservedState): Step {
  const { id, snapshot, attached, floorRefused } = known;
  const verdict = decide(snapshot, config, observed, attached, floorRefused !== undefined);
  switch (verdict.kind) {
    case 'closing':
      return { kind: 'closing', verdict };
    case 'await-netdev':
      return { kind: 'wait', verdict, problem: netdevMissing(id, config.netdevTimeoutMs) };
    case 'refuse': {
      const { problem } = verdict;
      const name = problem.code === 'name-taken' ? giveUpName(id, observed) : [];
      return (
        change(verdict, [...plan(id, undefined, observed), ...name]) ?? { kind: 'fail', verdict, problem }
      );
    }
    case 'remove': {
      const { directory } = verdict;
      return change(verdict, plan(id, undefined, observed)) ?? { kind: 'remove', verdict, directory };
    }
    case 'attach':
      return change(verdict, plan(id, verdict.desired, observed)) ?? done(known, verdict, config, observed);
    case 'script':
      return script(known, verdict, config, observed);
  }
}

/** A step with the changes up to and with the first that concerns an operator's script, whose effects are never planned. */
function change(verdict: Changing, actions: readonly Action[]): Step | undefined {
  if (actions.length === 0) return undefined;
  const undo = actions.findIndex(({ kind }) => kind === 'undo-script') + 1;
  const run = actions.findIndex(({ kind }) => kind === 'run-script');
  const end = undo > 0 ? undo : run >= 0 ? run : actions.length;
  return { kind: 'change', verdict, actions: actions.slice(0, end), foreseen: actions.slice(end) };
}

/** All actions of a step, in order, with those foreseen for afterwards. */
export function actionsOf(step: Step): readonly Action[] {
  if (step.kind === 'change') return [...step.actions, ...step.foreseen];
  return step.kind === 'start-script' ? [step.action] : [];
}

/** Nothing is left to change for a vif: it is on the network, unless others have something to do first. */
function done(
  { id, snapshot, isNew, attached, floorRefused }: Known,
  verdict: Verdict & { kind: 'attach' },
  config: VifPolicy,
  observed: ObservedState,
): Step {
  const link = observed.links.ofVif(id);
  if (link === undefined) {
    return { kind: 'wait', verdict, problem: netdevMissing(id, config.netdevTimeoutMs) };
  }
  const isUp = attached !== undefined || (isNew && isConnected(snapshot));
  const others =
    pending(id, verdict.desired, observed, config.netdevTimeoutMs) ??
    (isUp ? undefined : awaitsSwitch(id, verdict.desired, observed, config.netdevTimeoutMs));
  if (others !== undefined && !(others.forwards && attached !== undefined)) {
    return { kind: others.patient ? 'wait' : 'fail', verdict, problem: others.problem };
  }
  const down = others === undefined ? switchDown(id, verdict.desired, observed) : undefined;
  const mtu = mtuLacking(id, verdict.desired, observed);
  const lacks = [
    ...verdict.missing,
    ...[down, mtu].filter((lack) => lack !== undefined),
    ...obstacles(id, verdict.desired, observed),
    ...(floorRefused !== undefined && verdict.desired.filter === undefined ? [floorRefused] : []),
  ];
  const missing = lacks.map((lack) => ({ problem: lack, patient: false, forwards: true }));
  return { kind: 'attached', verdict, link, missing: others === undefined ? missing : [...missing, others] };
}

function script(
  { id, snapshot, isNew }: Known,
  verdict: Verdict & { kind: 'script' },
  config: VifPolicy,
  observed: ObservedState,
): Step {
  const isFound = isNew && isConnected(snapshot);
  const actions = planScript(id, verdict.script, verdict, observed, isFound);
  const [action] = actions;
  if (action?.kind === 'run-script') {
    return { kind: 'start-script', verdict, action, script: verdict.script };
  }
  const changes = change(verdict, actions);
  if (changes !== undefined) return changes;
  const link = observed.links.ofVif(id);
  const run = observed.scripts?.get(vifName(id));
  if (link === undefined || run === undefined) {
    return { kind: 'wait', verdict, problem: netdevMissing(id, config.netdevTimeoutMs) };
  }
  const { file } = verdict.script;
  const failure = scriptFailure(file, run, snapshot);
  const silence = failure === undefined ? scriptSilence(file, run, snapshot) : undefined;
  return { kind: 'script', verdict, link, run, failure, silence };
}
