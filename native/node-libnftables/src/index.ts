import { readdirSync, readlinkSync } from 'node:fs';
import ffi from 'ffi-napi';
import ref from 'ref-napi';

/** Loads the library, at the first use, so that a machine without filters does not need it. */
const load = () =>
  ffi.Library('libnftables.so.1', {
    nft_ctx_new: [context, ['uint32']],
    nft_ctx_free: ['void', [context]],
    nft_ctx_buffer_output: ['int', [context]],
    nft_ctx_buffer_error: ['int', [context]],
    nft_ctx_set_dry_run: ['void', [context, 'bool']],
    nft_ctx_output_set_flags: ['void', [context, 'uint']],
    nft_ctx_get_output_buffer: ['string', [context]],
    nft_ctx_get_error_buffer: ['string', [context]],
    nft_run_cmd_from_buffer: ['int', [context, 'string']],
  });
const context = ref.refType('void');
let library: ReturnType<typeof load> | undefined;

const libc = ffi.Library(null, {
  fcntl: ['int', ['int', 'int', 'int']],
  socket: ['int', ['int', 'int', 'int']],
  close: ['int', ['int']],
});
/** AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC and NETLINK_NETFILTER. */
const nfnetlink = [16, 3 | 0o2000000, 12] as const;
/** F_SETFD and FD_CLOEXEC of fcntl(2). */
const setDescriptorFlags = 2;
const closeOnExec = 1;

/** NFT_CTX_OUTPUT_STATELESS, _HANDLE and _JSON of nftables/libnftables.h. */
const output = { stateless: 1 << 2, handle: 1 << 3, json: 1 << 4 };

/** How a listing is printed: as libnftables-json(5); without counters (`nft -s`); as text with handles and without counters (`nft -a -s`). */
export interface Listing {
  readonly json?: boolean;
  readonly stateless?: boolean;
  readonly handles?: boolean;
}

const flagsOf = ({ json = false, stateless = false, handles = false }: Listing): number =>
  (json ? output.json : 0) |
  (stateless ? output.stateless : 0) |
  (handles ? output.handle | output.stateless : 0);

/** A text of commands that was refused. `message` is the first error, without the text it is about. */
export class NftError extends Error {
  /** The whole output, as nft would print it. */
  readonly output: string;

  constructor(output: string) {
    const [, cause] = /Error: ([^\n]*)/.exec(output) ?? [];
    super(cause ?? (output.trim() || 'nft failed and gave no reason'));
    this.name = 'NftError';
    this.output = output;
  }
}

/**
 * A context of libnftables, bound to the network namespace it was opened in. A call takes tenths of a millisecond, and
 * more where the library first reads the ruleset, such as all chains of all tables before a deletion.
 */
export class Nftables {
  #context: ref.Pointer<unknown> | undefined;
  readonly #lib: ReturnType<typeof load>;
  /** The flags of output that are set. */
  #flags = 0;
  #busy = false;
  #closed = false;

  /** @throws when libnftables.so.1 is not installed, or a netlink socket cannot be opened */
  constructor() {
    library ??= load();
    this.#lib = library;
    // Where it gets no socket, nft_ctx_new ends the process (netlink_init_error of nftables' src/netlink.c).
    const socket = libc.socket(...nfnetlink);
    if (socket < 0) throw new Error('this kernel has no nf_tables, or does not let this process use it');
    libc.close(socket);
    const created = keepFromChildren(library);
    this.#context = created;
    // Output goes to buffers of the library, valid until the next command or nft_ctx_free.
    library.nft_ctx_buffer_output(created);
    library.nft_ctx_buffer_error(created);
  }

  /**
   * Runs a text as `nft -f` would: all commands in one transaction, which takes effect whole or not at all.
   * @param listing how listings are printed
   * @returns what nft would print
   * @throws NftError
   */
  run(text: string, listing: Listing = {}): string {
    const at = this.#idle();
    this.#print(at, listing);
    return this.#result(at, this.#lib.nft_run_cmd_from_buffer(at, text));
  }

  /** Runs a text in a thread of libuv's pool, one at a time. @returns what nft would print @throws NftError */
  async runAside(text: string, listing: Listing = {}): Promise<string> {
    const at = this.#idle();
    this.#print(at, listing);
    this.#busy = true;
    try {
      const status = await new Promise<number>((resolve, reject) => {
        this.#lib.nft_run_cmd_from_buffer.async(at, text, (error: unknown, result: number) =>
          error ? reject(error) : resolve(result),
        );
      });
      return this.#result(at, status);
    } finally {
      this.#busy = false;
      if (this.#closed) this.#free();
    }
  }

  /**
   * Checks a text as `nft -c -f` would, in a thread of libuv's pool; changes nothing.
   * @throws NftError when it is refused
   */
  async checkAside(text: string): Promise<void> {
    this.#lib.nft_ctx_set_dry_run(this.#idle(), true);
    try {
      await this.runAside(text);
    } finally {
      if (this.#context !== undefined) this.#lib.nft_ctx_set_dry_run(this.#context, false);
    }
  }

  /** Frees the context, after the text that is being run. */
  close(): void {
    this.#closed = true;
    if (!this.#busy) this.#free();
  }

  #free(): void {
    if (this.#context !== undefined) this.#lib.nft_ctx_free(this.#context);
    this.#context = undefined;
  }

  #idle(): ref.Pointer<unknown> {
    if (this.#context === undefined || this.#closed) throw new Error('the nftables context is closed');
    if (this.#busy) throw new Error('the nftables context is busy');
    return this.#context;
  }

  /** Sets how the next listing is printed. */
  #print(at: ref.Pointer<unknown>, listing: Listing): void {
    const flags = flagsOf(listing);
    // Each call by ffi takes some 40 µs of a process that has been idle.
    if (flags !== this.#flags) this.#lib.nft_ctx_output_set_flags(at, flags);
    this.#flags = flags;
  }

  #result(at: ref.Pointer<unknown>, status: number): string {
    // Both are read each time, since that is what empties them.
    const output = this.#lib.nft_ctx_get_output_buffer(at) ?? '';
    const error = this.#lib.nft_ctx_get_error_buffer(at) ?? '';
    if (status !== 0) throw new NftError(error);
    return output;
  }
}

/**
 * Opens a context and sets FD_CLOEXEC on its socket: libnftables opens that without SOCK_CLOEXEC, and a child that inherits it
 * would keep the tables that it owns.
 */
function keepFromChildren({ nft_ctx_new, nft_ctx_free }: ReturnType<typeof load>): ref.Pointer<unknown> {
  const before = sockets();
  const opened = nft_ctx_new(0);
  // nft_ctx_free takes no NULL.
  if (ref.isNull(opened)) throw new Error('nft_ctx_new failed');
  try {
    for (const [name, descriptor] of sockets()) {
      // Descriptors that Node opened meanwhile have the flag already.
      if (!before.has(name)) libc.fcntl(descriptor, setDescriptorFlags, closeOnExec);
    }
    return opened;
  } catch (error) {
    // Without a descriptor left /proc/self/fd cannot be read.
    nft_ctx_free(opened);
    throw error;
  }
}

/** The descriptors of this process' sockets, by the kernel's name, such as `socket:[1234]`. */
function sockets(): Map<string, number> {
  const found = new Map<string, number>();
  for (const descriptor of readdirSync('/proc/self/fd')) {
    try {
      const name = readlinkSync(`/proc/self/fd/${descriptor}`);
      if (name.startsWith('socket:')) found.set(name, Number(descriptor));
    } catch {
      // The descriptor of the directory itself, or one that another thread has closed.
    }
  }
  return found;
}
