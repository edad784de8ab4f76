import { readdirSync, readlinkSync } from 'node:fs';
import ffi from 'ffi-napi';
import ref from 'ref-napi';

/** Loaded at the first use, so that a machine where nothing is filtered does not need the library. */
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

const libc = ffi.Library(null, { fcntl: ['int', ['int', 'int', 'int']] });
/** F_SETFD and FD_CLOEXEC of fcntl(2). */
const setDescriptorFlags = 2;
const closeOnExec = 1;

/** NFT_CTX_OUTPUT_JSON of nftables/libnftables.h. */
const jsonOutput = 1 << 4;

/** A command text that was refused. `message` is the first complaint, without the text it is about. */
export class NftError extends Error {
  /** All that nft would print. */
  readonly output: string;

  constructor(output: string) {
    const [, cause] = /Error: ([^\n]*)/.exec(output) ?? [];
    super(cause ?? (output.trim() || 'nft failed and gave no reason'));
    this.name = 'NftError';
    this.output = output;
  }
}

/**
 * One context of libnftables, bound to the network namespace it was opened in. A call takes tenths of a millisecond, and
 * more where the library reads first what there is: all chains of all tables before it deletes something.
 */
export class Nftables {
  #context: ref.Pointer<unknown> | undefined;
  readonly #lib: ReturnType<typeof load>;
  #busy = false;
  #closed = false;

  /** @throws when libnftables.so.1 is not installed, or a netlink socket cannot be had */
  constructor() {
    library ??= load();
    this.#lib = library;
    const created = keepFromChildren(library.nft_ctx_new);
    if (ref.isNull(created)) throw new Error('nft_ctx_new failed');
    this.#context = created;
    // The texts live in buffers of the library's own, until the next command or nft_ctx_free.
    library.nft_ctx_buffer_output(created);
    library.nft_ctx_buffer_error(created);
  }

  /**
   * Runs a text as `nft -f` would: all its commands in one transaction, which takes effect whole or not at all.
   * @param options.json print listings as libnftables-json(5)
   * @returns what nft would print
   * @throws NftError
   */
  run(text: string, options: { json?: boolean } = {}): string {
    const at = this.#idle();
    this.#lib.nft_ctx_output_set_flags(at, options.json ? jsonOutput : 0);
    return this.#result(at, this.#lib.nft_run_cmd_from_buffer(at, text));
  }

  /** The same in a thread of libuv's pool, one text at a time. @throws NftError */
  async runAside(text: string): Promise<string> {
    const at = this.#idle();
    this.#lib.nft_ctx_output_set_flags(at, 0);
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

  /** Whether the kernel would take a text; changes nothing. @throws NftError when it would not */
  check(text: string): void {
    if (this.#context === undefined) throw new Error('the nftables context is closed');
    this.#lib.nft_ctx_set_dry_run(this.#context, true);
    try {
      this.run(text);
    } finally {
      this.#lib.nft_ctx_set_dry_run(this.#context, false);
    }
  }

  /** Frees what the library holds, at the end of what it is at. */
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
    if (this.#busy) throw new Error('the nftables context is at work');
    return this.#context;
  }

  #result(at: ref.Pointer<unknown>, status: number): string {
    const output = this.#lib.nft_ctx_get_output_buffer(at) ?? '';
    const error = this.#lib.nft_ctx_get_error_buffer(at) ?? '';
    if (status !== 0) throw new NftError(error);
    return output;
  }
}

/**
 * libnftables opens its socket without SOCK_CLOEXEC, and does not tell its number. Whoever inherits it would keep the
 * tables that it owns after our end, and could change them.
 */
function keepFromChildren<T>(open: (flags: number) => T): T {
  const before = sockets();
  const opened = open(0);
  for (const [name, descriptor] of sockets()) {
    // Whatever else came meanwhile is Node's, and has the flag.
    if (!before.has(name)) libc.fcntl(descriptor, setDescriptorFlags, closeOnExec);
  }
  return opened;
}

/** The sockets of this process, by the kernel's names for them. */
function sockets(): Map<string, number> {
  const found = new Map<string, number>();
  for (const descriptor of readdirSync('/proc/self/fd')) {
    try {
      const name = readlinkSync(`/proc/self/fd/${descriptor}`);
      if (name.startsWith('socket:')) found.set(name, Number(descriptor));
    } catch {
      // The descriptor by which the list was read, or one that another thread has closed.
    }
  }
  return found;
}
