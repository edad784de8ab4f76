import { type VifId, vifName } from './id.js';
import type { ObservedState } from './observed.js';
import type { Action } from './plan.js';
import { type OperationError, problem } from './problem.js';
import type { VifSnapshot } from './snapshot.js';

/** An operator's own script that should be in force for a vif. */
export interface DesiredScript {
  /** As dom0 wrote it, absolute. */
  readonly file: string;
  /** The index of the netdev: a new one needs the script anew. */
  readonly ifindex: number;
  /** The script's `netdev`, empty for none. */
  readonly gatewaydev: string;
  /** What the script can read in xenstore; a run that failed is tried again when this changes. */
  readonly keys: string;
}

/** A script that was run for a vif and has not been undone. */
export interface ScriptRun extends DesiredScript {
  readonly state: 'running' | 'online' | 'failed' | 'interrupted';
  /** How it failed, in words. */
  readonly reason?: string;
}

/** The script a vif asks for. */
export function desiredScript(snapshot: VifSnapshot, file: string, ifindex: number): DesiredScript {
  const { bridge, mac, ip, vifname, mtu, vlans } = snapshot;
  const gatewaydev = snapshot.gatewaydev ?? '';
  return {
    file,
    ifindex,
    gatewaydev,
    keys: JSON.stringify([bridge, mac, ip, vifname, mtu, vlans, gatewaydev]),
  };
}

/**
 * Whether nothing is to be done. A script is run once in a netdev's life, as `xl devd` does it: other keys may change
 * under it as they do there. One that failed is not run again and again either, but when dom0 has changed something.
 */
export function runsAsWanted(run: ScriptRun | undefined, want: DesiredScript): boolean {
  return (
    run !== undefined &&
    run.state !== 'interrupted' &&
    run.file === want.file &&
    run.ifindex === want.ifindex &&
    (run.state !== 'failed' || run.keys === want.keys)
  );
}

/** Undoes what a script has done for a vif; nothing when none has. */
export function undoScript(id: VifId, { scripts }: ObservedState): Action[] {
  const run = scripts?.get(vifName(id));
  return run === undefined ? [] : [{ kind: 'undo-script', id, file: run.file }];
}

/**
 * Why a script has not attached its vif; undefined when it has, or still may. Its own words, in `hotplug-error`, go
 * before how it ended.
 */
export function scriptFailure(
  file: string,
  run: ScriptRun,
  snapshot: VifSnapshot | undefined,
): OperationError | undefined {
  const operation = 'run script';
  const words = snapshot?.hotplugStatus === 'error' ? snapshot.hotplugError : undefined;
  if (run.state === 'running') return undefined;
  if (words !== undefined && !words.startsWith(`${operation} ${file}: `))
    return problem('script-failed', operation, file, words);
  return run.state === 'failed'
    ? problem('script-failed', operation, file, run.reason ?? 'it failed')
    : undefined;
}
