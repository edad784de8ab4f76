import type { ErrorCode } from '../../src/model/error-codes.js';
import type { GuestKeys } from '../../src/model/guest-keys.js';
import { type OperationError, problem } from '../../src/model/operation-error.js';
import { inLife, type LifeKey, snapshot, type VifSnapshot, xenbusState } from '../../src/model/snapshot.js';
import type { StatusWrites } from '../../src/model/status-writes.js';
import { stockTopology } from '../../src/model/topology-name.js';
import { backendPath, backendRoot, type VifId, vifName } from '../../src/model/vif-id.js';
import type { BackendPort } from '../../src/reconcile/ports/ports.js';
import { Faults, type Held } from './faults.js';

/** The error when xenstored is out of reach. */
class Lost extends Error {
  constructor() {
    super('xenstored is out of reach');
  }
}

/** The error when xenstored refuses a request. */
export class Refused extends Error {}

type Operation = 'list' | 'read' | 'report' | 'tellGuest' | 'remove';

interface Call {
  readonly operation: Operation;
  /** undefined for a list. */
  readonly vif: string | undefined;
  /** Whether it has been done and the answer is on its way. */
  readonly isDone: boolean;
}

interface Directory {
  readonly id: VifId;
  readonly keys: Map<string, string>;
  readonly frontend: Map<string, string>;
}

/**
 * The backend directories in memory, with methods for the writes of dom0 and netback. As with xenstored, watch events come
 * after the request that caused them, one a node, and one for the topmost node of a tree that is deleted.
 */
export class FakeBackend implements BackendPort {
  requests = 0;
  /** Called with the path of each change, as the reconciler is. */
  listener: (path: string) => void = () => undefined;
  /** Whether xenstored is away, so that every request fails. */
  isAway = false;
  /** What guests find of their vifs, by the vif's name. */
  readonly guestKeys = new Map<string, GuestKeys>();
  /** Whether dom0 has made the directories for that. */
  guestsMayRead = true;
  readonly #directories = new Map<string, Directory>();
  readonly #faults = new Faults<Call>();

  list(domid?: number): Promise<VifId[]> {
    return this.#request('list', undefined, () =>
      [...this.#directories.values()]
        .map(({ id }) => id)
        .filter((id) => domid === undefined || id.domid === domid),
    );
  }

  read(id: VifId): Promise<VifSnapshot | undefined> {
    return this.#request('read', id, () => {
      const directory = this.#directories.get(vifName(id));
      if (directory === undefined || directory.keys.size === 0) return undefined;
      const parsed = snapshot(id, directory.keys, directory.frontend.get('mtu'));
      const isOvs = stockTopology(parsed.script) === 'openvswitch';
      return isOvs ? { ...parsed, guest: { name: undefined, uuid: undefined } } : parsed;
    });
  }

  readAgain(before: VifSnapshot, changed: ReadonlySet<LifeKey>): Promise<VifSnapshot | undefined> {
    return this.#request('read', before.id, () => {
      const keys = this.#directories.get(vifName(before.id))?.keys;
      return inLife(before, new Map([...changed].map((key) => [key, keys?.get(key)])));
    }).then((now) => now ?? this.read(before.id));
  }

  report(id: VifId, { backend, frontendMtu }: StatusWrites): Promise<boolean> {
    return this.#request('report', id, () => {
      const directory = this.#directories.get(vifName(id));
      if (directory === undefined) return false;
      if (frontendMtu !== undefined) directory.frontend.set('mtu', `${frontendMtu}`);
      this.set(id, backend);
      return true;
    });
  }

  remove(id: VifId): Promise<void> {
    return this.#request('remove', id, () => {
      const keys = this.#directories.get(vifName(id))?.keys;
      if (keys?.get('online') === '0' && keys.get('state') === `${xenbusState.closed}`) this.delete(id);
    });
  }

  tellGuest(id: VifId, keys: GuestKeys | undefined): Promise<OperationError | undefined> {
    return this.#request('tellGuest', id, () => {
      if (keys === undefined) this.guestKeys.delete(vifName(id));
      else if (this.guestsMayRead) this.guestKeys.set(vifName(id), keys);
      else return problem('guest-keys-refused', `tell the guest of ${vifName(id)} by`, 'vifd', 'absent');
      return undefined;
    });
  }

  isLoss(error: unknown): boolean {
    return error instanceof Lost;
  }

  codeOf(error: unknown): ErrorCode {
    return error instanceof Refused ? 'xenstore-refused' : 'internal';
  }

  /** dom0 makes a vif's directory, in one transaction. */
  create(id: VifId, keys: Readonly<Record<string, string>>): void {
    this.#directories.set(vifName(id), { id, keys: new Map(), frontend: new Map() });
    this.set(id, {
      online: '1',
      state: '2',
      mac: `00:16:3e:00:00:${(id.domid & 255).toString(16).padStart(2, '0')}`,
      script: '/etc/xen/scripts/vif-bridge',
      'hotplug-status': '',
      ...keys,
    });
  }

  /** Writes keys of a vif; undefined removes one. */
  set(id: VifId, keys: Readonly<Record<string, string | undefined>>): void {
    const directory = this.#directories.get(vifName(id));
    if (directory === undefined) throw new Error(`there is no ${backendPath(id)}`);
    for (const [key, value] of Object.entries(keys)) {
      if (value === undefined) directory.keys.delete(key);
      else directory.keys.set(key, value);
      this.#announce(`${backendPath(id)}/${key}`);
    }
  }

  /** dom0 deletes a vif's directory. */
  delete(id: VifId): void {
    this.#directories.delete(vifName(id));
    this.#announce(backendPath(id));
  }

  /** A vif's keys; undefined where it has no directory. */
  keys(id: VifId): Readonly<Record<string, string>> | undefined {
    const keys = this.#directories.get(vifName(id))?.keys;
    return keys && Object.fromEntries(keys);
  }

  /** The frontend's `mtu`. */
  frontendMtu(id: VifId): string | undefined {
    return this.#directories.get(vifName(id))?.frontend.get('mtu');
  }

  /** Makes requests fail, of one vif or of all. @returns a function that ends it */
  fail(operation: Operation, error: Error, { id, times }: { id?: VifId; times?: number } = {}): () => void {
    return this.#faults.fail(
      (call) => isOf(call, operation, id) && !call.isDone,
      () => error,
      times,
    );
  }

  /** Makes the next request fail as when xenstored has gone. */
  lose(operation: Operation): void {
    this.fail(operation, new Lost(), { times: 1 });
  }

  /** Holds the next request: on its way there, or its answer on the way back. */
  hold(operation: Operation, at: 'request' | 'answer' = 'request', id?: VifId): Held {
    return this.#faults.hold((call) => isOf(call, operation, id) && call.isDone === (at === 'answer'));
  }

  /** Fires an event for a node above the vifs. */
  announceAbove(domid?: number): void {
    this.#announce(domid === undefined ? backendRoot : `${backendRoot}/${domid}`);
  }

  async #request<T>(operation: Operation, id: VifId | undefined, answer: () => T): Promise<T> {
    this.requests++;
    const vif = id && vifName(id);
    await this.#faults.strike({ operation, vif, isDone: false });
    if (this.isAway) throw new Lost();
    const answered = answer();
    await this.#faults.strike({ operation, vif, isDone: true });
    return answered;
  }

  #announce(path: string): void {
    setImmediate(() => {
      if (!this.isAway) this.listener(path);
    });
  }
}

const isOf = (call: Call, operation: Operation, id: VifId | undefined): boolean =>
  call.operation === operation && (id === undefined || call.vif === vifName(id));
