import type { Xenstore } from 'node-xenstore';
import { wantsGuest } from '../decide/topology/registry.js';
import { Blocks } from '../host/blocks.js';
import type { Host } from '../host/host.js';
import { recordedRuns } from '../host/process/scripts.js';
import type { ObservedState } from '../model/observed.js';
import type { VifPolicy } from '../model/policy.js';
import type { VifSnapshot } from '../model/snapshot.js';
import { cardOf } from '../model/twins.js';
import type { VifId } from '../model/vif-id.js';
import { Cards } from '../reconcile/cards.js';
import { keysWith, knownOf } from '../reconcile/known.js';
import { next, type Step } from '../reconcile/next.js';
import { blocksDirectory } from '../runtime/runtime-dir.js';
import { Backend } from '../xenstore/backend.js';

/** The next step of a daemon that starts now, for a vif with these keys. */
export const planNow = (
  id: VifId,
  keys: VifSnapshot | undefined,
  policy: VifPolicy,
  observed: ObservedState,
): Step => next(knownOf(id, keys), policy, observed);

/** The state of the machine as such a daemon would observe it. */
export const observeNow = (host: Host): ObservedState => ({ ...host.observe(), scripts: recordedRuns() });

/** The backend directories, with all that the topologies have a use for. */
export const backendOf = (xenstore: Xenstore, policy: Pick<VifPolicy, 'scripts'>): Backend =>
  new Backend(xenstore, (keys) => wantsGuest(keys, policy));

/** The keys of every vif, each with its twins and its block. */
export async function readAllKeys(backend: Backend): Promise<VifSnapshot[]> {
  return withMemory(await readEach(backend, await backend.list()));
}

/** The keys of one vif with its twins and its block; undefined when its directory does not exist. */
export async function readKeys(backend: Backend, { domid, devid }: VifId): Promise<VifSnapshot | undefined> {
  const isIt = (id: VifId): boolean => id.domid === domid && id.devid === devid;
  // A twin has the same number within its domain.
  const others = (await backend.list()).filter((id) => id.devid === devid && !isIt(id));
  const read = await readEach(backend, [{ domid, devid }, ...others]);
  return withMemory(read).find(({ id }) => isIt(id));
}

const readEach = async (backend: Backend, ids: readonly VifId[]): Promise<VifSnapshot[]> =>
  (await Promise.all(ids.map((id) => backend.read(id)))).filter((one) => one !== undefined);

function withMemory(all: readonly VifSnapshot[]): VifSnapshot[] {
  const blocks = Blocks.open(blocksDirectory());
  const cards = new Cards<VifSnapshot>();
  for (const keys of all) cards.set(keys, cardOf(keys));
  return all.map((keys) => keysWith(keys, cards.twins(keys), blocks.of(keys)));
}
