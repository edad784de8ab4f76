import type { VifSnapshot } from '../model/snapshot.js';
import type { VifId } from '../model/vif-id.js';
import type { BackendPort } from './ports/ports.js';

/** How many vifs' keys are asked for at once: xenstored answers one request after another, and each answer is work. */
const atOnce = 32;

/** A vif's keys; undefined where it has no backend directory. */
type Keys = VifSnapshot | undefined;

/** The vifs that have a backend directory, and the keys of those that could be read. */
export interface FirstKeys {
  readonly listed: readonly VifId[];
  readonly read: readonly (readonly [VifId, Keys])[];
}

type Reading = Pick<BackendPort, 'list' | 'read' | 'isLoss'>;

/** Reads the keys of all vifs in xenstore. @throws what listing them throws, or when xenstore is lost */
export async function readFirstKeys(backend: Reading): Promise<FirstKeys> {
  const listed = await backend.list();
  const read: [VifId, Keys][] = [];
  await readKeys(backend, listed, (id, keys) => read.push([id, keys]));
  return { listed, read };
}

/**
 * Reads the keys of these vifs.
 * @param take called with those of each as they are read, and not with what could not be read
 * @throws when xenstore is lost
 */
export async function readKeys(
  backend: Reading,
  vifs: readonly VifId[],
  take: (id: VifId, keys: Keys) => void,
): Promise<void> {
  const left = vifs.values();
  const readNext = async (): Promise<void> => {
    for (const id of left) {
      try {
        take(id, await backend.read(id));
      } catch (error) {
        if (backend.isLoss(error)) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, readNext));
}
