import { netdev as netdevOf } from '../model/dependency.js';
import type { Attached } from '../model/desired.js';
import type { FilterSpec } from '../model/filter.js';
import type { ObservedState } from '../model/observed.js';
import { type OperationError, problem } from '../model/operation-error.js';
import type { VifPolicy } from '../model/policy.js';
import { type VifSnapshot, xenbusState } from '../model/snapshot.js';
import type { Verdict } from '../model/verdict.js';
import { vifName } from '../model/vif-id.js';
import { filterFor } from './antispoof.js';
import { isNeeded } from './floor.js';
import { unusedForwards } from './forwards.js';
import { desiredSets, setHolders, unusableSets } from './named-sets.js';
import { netbackGaveUp } from './readiness.js';
import { desiredScript } from './script.js';
import { topologyOf } from './topology/registry.js';
import { impossibleKey, unusedKeys } from './unused-keys.js';
import { matchedBy, withOptions } from './vif-options.js';

/**
 * Decides what should become of a vif from what is there now. `undefined` stands for a backend directory that does not
 * exist. `dependsOn` is what can change the verdict by coming, changing or going.
 *
 * @param isFloorRefused whether nf_tables has refused the vif's floor lately, so that it goes without
 *
 * State 6 with online=1 is a guest that reconnects (kexec, a reloaded netfront), not a removal: the attachment stays.
 */
export function decide(
  snapshot: VifSnapshot | undefined,
  config: VifPolicy,
  observed: ObservedState,
  attached: Attached | undefined,
  isFloorRefused = false,
): Verdict {
  if (snapshot === undefined) return { kind: 'remove', directory: false };
  if (!snapshot.online) {
    return snapshot.state === xenbusState.closed ? { kind: 'remove', directory: true } : { kind: 'closing' };
  }
  const own = vifName(snapshot.id);
  const name = snapshot.vifname ?? own;
  const names = [netdevOf(own), netdevOf(name)];
  const blocked = snapshot.blocked !== undefined;
  const takesFloor = observed.canFilter !== false && !isFloorRefused;
  const [keyProblem] = snapshot.problems;
  if (keyProblem !== undefined) return { kind: 'refuse', problem: keyProblem, dependsOn: [netdevOf(own)] };
  const topology = topologyOf(snapshot, config);
  if ('problem' in topology) return { kind: 'refuse', problem: topology.problem, dependsOn: [netdevOf(own)] };

  const netdev = observed.links.ofVif(snapshot.id);
  if (netdev === undefined && snapshot.state === xenbusState.closing) {
    return { kind: 'refuse', problem: netbackGaveUp(snapshot.id), dependsOn: [netdevOf(own)] };
  }
  const holder = observed.links.byName(name);
  if (netdev !== undefined && holder !== undefined && holder.index !== netdev.index) {
    const reason = `interface ${holder.index} has that name; choose another vifname, or remove it`;
    return {
      kind: 'refuse',
      problem: problem('name-taken', `rename ${own} to`, name, reason),
      dependsOn: names,
    };
  }
  if ('file' in topology) {
    const dependsOn = names;
    const ofKeys = filterFor(snapshot, config, {
      topology: undefined,
      bridge: snapshot.bridge ?? null,
      tagged: snapshot.vlans?.some(({ untagged }) => !untagged) ?? false,
    });
    const filtered = possible(ofKeys, own, name, blocked, takesFloor);
    if ('problem' in filtered) return { kind: 'refuse', problem: filtered.problem, dependsOn };
    if (netdev === undefined)
      return { kind: 'await-netdev', desired: undefined, filter: filtered.filter, dependsOn };
    const script = desiredScript(snapshot, topology.file, netdev.index);
    return { kind: 'script', script, filter: filtered.filter, blocked, dependsOn };
  }
  const impossible = impossibleKey(snapshot, topology.name);
  if (impossible !== undefined) return { kind: 'refuse', problem: impossible, dependsOn: names };
  const attachment = topology.attach(snapshot, config, observed, attached);
  const dependsOn = [...names, ...attachment.dependsOn];
  if ('problem' in attachment) return { kind: 'refuse', problem: attachment.problem, dependsOn };
  const { desired: ofTopology } = attachment;
  const filtered = possible(ofTopology, own, name, blocked, takesFloor);
  if ('problem' in filtered) return { kind: 'refuse', problem: filtered.problem, dependsOn };
  const { filter } = filtered;
  const options = withOptions(ofTopology, snapshot, config.vifs, topology.name);
  const ofOptions = 'problem' in options ? ofTopology : options.desired;
  const sets = desiredSets(matchedBy(ofTopology, snapshot, topology.name), config);
  const desired = {
    ...ofOptions,
    name,
    filter,
    ...(blocked ? { blocked } : {}),
    ...(sets === undefined ? {} : { sets }),
  };
  if (netdev === undefined) return { kind: 'await-netdev', desired, filter, dependsOn };
  if ('problem' in options) return { kind: 'refuse', problem: options.problem, dependsOn };
  const missing = [
    ...(attachment.missing ?? []),
    ...unusedKeys(snapshot, topology.name),
    ...options.unused,
    ...unusableSets(own, name, desired.sets, observed),
    ...unusedForwards(snapshot, topology.name, config.forwards),
  ];
  dependsOn.push(...setHolders(own, name, sets, observed));
  return { kind: 'attach', topology: topology.name, desired, dependsOn, missing };
}

type Filtered = { readonly filter: FilterSpec | undefined } | { readonly problem: OperationError };

/** The filter, or why there can be none for a netdev of this name. The floor is left out instead, there and where it is not taken. */
function possible(
  filtered: Filtered,
  own: string,
  name: string,
  blocked: boolean,
  takesFloor: boolean,
): ReturnType<typeof filterFor> {
  if ('problem' in filtered || (filtered.filter === undefined && !blocked)) return filtered;
  const isNameable = /^[\w.-]+$/.test(name);
  if (!isNeeded(filtered.filter, blocked))
    return { filter: isNameable && takesFloor ? filtered.filter : undefined };
  if (isNameable) return { filter: filtered.filter };
  const reason = 'nft takes a name of letters, digits, ".", "-" and "_" only; choose another vifname';
  return { problem: problem('name-unfilterable', `filter ${own} as`, name, reason) };
}
