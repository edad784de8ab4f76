import type { Action } from '../model/action.js';
import { formatNetwork } from '../model/address.js';
import { sameList } from '../model/list.js';
import type { ObservedState } from '../model/observed.js';
import type { DesiredScript, ScriptRun } from '../model/script.js';
import { type VifId, vifName } from '../model/vif-id.js';
import type { PortVlan } from '../model/vlan.js';

/**
 * Whether the script has been run as desired, so that it is not run again. It is run once in a netdev's life, as `xl devd` does
 * it, even when keys change; one that failed is run again when dom0 changes a key that it reads.
 */
export function runsAsWanted(run: ScriptRun | undefined, want: DesiredScript): boolean {
  return (
    run !== undefined &&
    run.state !== 'interrupted' &&
    run.file === want.file &&
    run.ifindex === want.ifindex &&
    (run.state !== 'failed' || readsTheSame(run, want))
  );
}

/** Whether a script that is run again would read the same keys. */
const readsTheSame = (run: ScriptRun, want: DesiredScript): boolean =>
  run.gatewaydev === want.gatewaydev &&
  run.keys.bridge === want.keys.bridge &&
  run.keys.mac === want.keys.mac &&
  run.keys.vifname === want.keys.vifname &&
  run.keys.mtu === want.keys.mtu &&
  sameList(run.keys.ip, want.keys.ip, (a, b) => formatNetwork(a) === formatNetwork(b)) &&
  (run.keys.vlans === undefined) === (want.keys.vlans === undefined) &&
  sameList(run.keys.vlans ?? [], want.keys.vlans ?? [], isSameVlan);

const isSameVlan = (a: PortVlan, b: PortVlan): boolean =>
  a.vid === b.vid && a.pvid === b.pvid && a.untagged === b.untagged;

/** Undoes what a script has done for a vif; nothing when none has. */
export function undoScript(id: VifId, { scripts }: ObservedState): Action[] {
  const run = scripts?.get(vifName(id));
  return run === undefined ? [] : [{ kind: 'undo-script', id, file: run.file }];
}
