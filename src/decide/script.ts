import { type OperationError, problem } from '../model/operation-error.js';
import type { DesiredScript, ScriptRun } from '../model/script.js';
import { isConnected, type VifSnapshot } from '../model/snapshot.js';

/** The script a vif asks for. */
export function desiredScript(snapshot: VifSnapshot, file: string, ifindex: number): DesiredScript {
  const { bridge, mac, ip, vifname, mtu, vlans } = snapshot;
  return {
    file,
    ifindex,
    gatewaydev: snapshot.gatewaydev ?? '',
    keys: { bridge, mac, ip, vifname, mtu, vlans },
  };
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

/** That a script ended well and wrote no `connected`; libxl reports nothing then, and waits. Undefined when it did. */
export const scriptSilence = (
  file: string,
  run: ScriptRun,
  snapshot: VifSnapshot | undefined,
): OperationError | undefined =>
  run.state === 'online' && !isConnected(snapshot)
    ? problem('script-silent', 'run script', file, 'it ended well but wrote no hotplug-status')
    : undefined;
