import type { Action } from '../model/action.js';
import type { ObservedState } from '../model/observed.js';
import type { DesiredScript, ScriptRun } from '../model/script.js';
import { type VifId, vifName } from '../model/vif-id.js';

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
