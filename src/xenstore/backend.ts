import { isDeepStrictEqual } from 'node:util';
import { type Watch, type Xenstore, XenstoreError } from 'node-xenstore';
import type { ErrorCode } from '../model/error-codes.js';
import { type GuestKeys, guestKeyNames } from '../model/guest-keys.js';
import { OperationError, problem } from '../model/operation-error.js';
import { inLife, type LifeKey, snapshot, type VifSnapshot, vifKeys, xenbusState } from '../model/snapshot.js';
import type { StatusWrites } from '../model/status-writes.js';
import {
  backendPath,
  backendRoot,
  frontendPath,
  guestKeysPath,
  guestKeysRoot,
  makeVifId,
  type VifId,
  vifName,
} from '../model/vif-id.js';
import type { BackendPort } from '../reconcile/ports/ports.js';
import { refusal } from './refusal.js';

/**
 * xenstored was started anew and is empty: not even this domain's `domid` is there. An absent key then does not mean that
 * a guest is gone; netback goes on serving it.
 */
class StoreLost extends Error {
  constructor() {
    super('read domid: no such path; xenstore has lost its contents, so the vifs are left as they are');
    this.name = 'StoreLost';
  }
}

/** The backend directories of this domain's vifs in xenstore: the keys that dom0 writes, and the status written for it. */
export class Backend implements BackendPort {
  readonly #xenstore: Xenstore;
  readonly #wantsGuest: (keys: VifSnapshot) => boolean;

  /** @param wantsGuest whether the name and the uuid of the guest are to be read with these keys */
  constructor(xenstore: Xenstore, wantsGuest: (keys: VifSnapshot) => boolean = () => false) {
    this.#xenstore = xenstore;
    this.#wantsGuest = wantsGuest;
  }

  /** Requests sent so far. */
  get requests(): number {
    return this.#xenstore.requests;
  }

  /** Whether something failed because xenstored is out of reach, or was started anew and is empty. */
  isLoss(error: unknown): boolean {
    return error instanceof StoreLost || (error instanceof XenstoreError && error.code === 'ENOTCONN');
  }

  /** The code of an error that a method here threw. */
  codeOf(error: unknown): ErrorCode {
    return error instanceof XenstoreError ? 'xenstore-refused' : 'internal';
  }

  /**
   * This domain's id; 0 on a xenstored's socket.
   * @throws StoreLost when there is none: libxl writes it before anything else, and never removes it
   */
  async domid(): Promise<number> {
    const domid = await this.#xenstore.read('domid').catch(absent);
    if (domid === undefined) throw new StoreLost();
    return Number(domid);
  }

  /** One watch for all vifs, because xenstored allows a domain 128 by default. It fires for `backend` itself too. */
  watch(): Promise<Watch> {
    return this.#xenstore.watch(backendRoot);
  }

  /** The vifs that have a backend directory, of one domain or of all. @throws StoreLost */
  async list(domid?: number): Promise<VifId[]> {
    const domids =
      domid === undefined ? await this.#xenstore.directory(backendRoot).catch(absent) : [String(domid)];
    if (domids === undefined) {
      await this.domid();
      return [];
    }
    const devids = await Promise.all(
      domids.map((domid) => this.#xenstore.directory(`${backendRoot}/${domid}`).catch(absent)),
    );
    return domids
      .flatMap((domid, i) => (devids[i] ?? []).map((devid) => makeVifId(domid, devid)))
      .filter((id) => id !== undefined);
  }

  /** The keys of a vif; undefined when its directory does not exist. @throws StoreLost */
  async read(id: VifId): Promise<VifSnapshot | undefined> {
    const [keys, mtu] = await Promise.all([
      this.#xenstore.readChildren(backendPath(id), [...vifKeys, 'colo_*']),
      // A frontend that may not be read costs the guest its `mtu`, nothing else.
      this.#xenstore.read(`${frontendPath(id)}/mtu`).catch(refused),
    ]);
    if (keys === undefined || keys.size === 0) {
      await this.domid();
      return undefined;
    }
    const parsed = snapshot(id, keys, mtu);
    return this.#wantsGuest(parsed) ? { ...parsed, guest: await this.#guest(id) } : parsed;
  }

  /** The keys of a vif of which nothing but these has changed since they were read. @throws StoreLost */
  async readAgain(before: VifSnapshot, changed: ReadonlySet<LifeKey>): Promise<VifSnapshot | undefined> {
    const path = backendPath(before.id);
    const values = await Promise.all(
      [...changed].map(
        async (key) => [key, await this.#xenstore.read(`${path}/${key}`).catch(absent)] as const,
      ),
    );
    return inLife(before, new Map(values)) ?? this.read(before.id);
  }

  /** The guest's name and uuid, written to Open vSwitch's database; undefined where the domain may not read them. */
  async #guest({ domid }: VifId): Promise<NonNullable<VifSnapshot['guest']>> {
    const keys = await this.#xenstore.readChildren(`/local/domain/${domid}`, ['name', 'vm']).catch(refused);
    return { name: keys?.get('name'), uuid: keys?.get('vm')?.replace(/^\/vm\//, '') };
  }

  /**
   * Writes a status, unless the directory is gone meanwhile: xs_write would create it anew, and libxl would never delete
   * it.
   * @returns false when it was gone
   */
  async report(id: VifId, { backend, frontendMtu }: StatusWrites): Promise<boolean> {
    const { 'hotplug-error': _, ...rest } = backend;
    const [, written] = await Promise.all([
      frontendMtu === undefined ? undefined : this.#tellFrontend(id, frontendMtu),
      this.#write(id, backend).catch((error: unknown) => {
        // hotplug-error is a node of its own; where the quota leaves no room for it, the status is written alone.
        if (error instanceof XenstoreError && error.quota) return this.#write(id, rest);
        throw error;
      }),
    ]);
    return written;
  }

  /** @returns false when the directory is gone */
  async #write(id: VifId, keys: StatusWrites['backend']): Promise<boolean> {
    const path = backendPath(id);
    const operations = Object.entries(keys).map(([key, value]) =>
      value === undefined
        ? ({ op: 'rm', path: `${path}/${key}` } as const)
        : ({ op: 'write', path: `${path}/${key}`, value } as const),
    );
    if (operations.length === 0) return true;
    const committed = this.#xenstore.commit([{ op: 'expect', path: `${path}/online` }, ...operations]);
    return (await committed.then(() => true, absent)) ?? false;
  }

  /**
   * Deletes the directory of a vif which dom0 has taken away; libxl waits 10 s for this. Nothing is deleted unless
   * `online` is 0 and the state closed: a new vif with the same numbers has a directory of the same name.
   */
  async remove(id: VifId): Promise<void> {
    const path = backendPath(id);
    try {
      await this.#xenstore.commit([
        { op: 'expect', path: `${path}/online`, value: '0' },
        { op: 'expect', path: `${path}/state`, value: String(xenbusState.closed) },
        { op: 'rm', path },
      ]);
    } catch (error) {
      if (error instanceof XenstoreError && (error.code === 'ENOENT' || error.code === 'ESTALE')) return;
      throw new OperationError(
        'xenstore-refused',
        `delete the backend of ${vifName(id)}`,
        path,
        reasonOf(error),
        { waits: false },
      );
    }
  }

  /**
   * Makes what a guest finds of its vif say this, unless it does: what is there is compared, and nothing follows from it. Only below
   * the directory that dom0 has made is anything created, which goes with the guest.
   * @returns why xenstored refused it
   */
  async tellGuest(id: VifId, keys: GuestKeys | undefined): Promise<OperationError | undefined> {
    const root = guestKeysRoot(id);
    const path = guestKeysPath(id);
    const store = this.#xenstore;
    if (keys === undefined) {
      await store.rm(path).catch(refusal);
      return undefined;
    }
    const found = await store.readChildren(path, guestKeyNames).catch(refused);
    if (found !== undefined && isDeepStrictEqual(Object.fromEntries(found), keys)) return undefined;
    const written = await store
      .commit([
        { op: 'expect', path: root },
        { op: 'rm', path },
        ...Object.entries(keys).map(
          ([key, value]) => ({ op: 'write', path: `${path}/${key}`, value }) as const,
        ),
      ])
      .catch(refusal);
    if (written === undefined) return undefined;
    const isAbsent = written.code === 'ENOENT';
    return problem(
      'guest-keys-refused',
      `tell the guest of ${vifName(id)} by`,
      root,
      isAbsent ? 'dom0 has made no such directory, which this domain may write to' : written.message,
    );
  }

  /** Writes the guest's MTU to the node that libxl creates for it; without the node the guest keeps its default. */
  async #tellFrontend(id: VifId, mtu: number): Promise<void> {
    await this.#xenstore.write(`${frontendPath(id)}/mtu`, String(mtu)).catch(refused);
  }
}

/** For `catch`: undefined for a path that does not exist; any other error is thrown. */
function absent(error: unknown): undefined {
  if (error instanceof XenstoreError && error.code === 'ENOENT') return undefined;
  throw error;
}

/** For `catch`: undefined for a path that does not exist or may not be read; any other error is thrown. */
function refused(error: unknown): undefined {
  if (error instanceof XenstoreError && ['ENOENT', 'EACCES'].includes(error.code)) return undefined;
  throw error;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
