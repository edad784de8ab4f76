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
 * One context of libnftables, bound to the network namespace it was opened in. Calls are synchronous: the kernel's part
 * is one transaction, and measured in tenths of a millisecond.
 */
export class Nftables {
  #context: ref.Pointer<unknown> | undefined;
  readonly #lib: ReturnType<typeof load>;

  /** @throws when libnftables.so.1 is not installed, or a netlink socket cannot be had */
  constructor() {
    library ??= load();
    this.#lib = library;
    const created = library.nft_ctx_new(0);
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
    const at = this.#context;
    if (at === undefined) throw new Error('the nftables context is closed');
    this.#lib.nft_ctx_output_set_flags(at, options.json ? jsonOutput : 0);
    const status = this.#lib.nft_run_cmd_from_buffer(at, text);
    const output = this.#lib.nft_ctx_get_output_buffer(at) ?? '';
    const error = this.#lib.nft_ctx_get_error_buffer(at) ?? '';
    if (status !== 0) throw new NftError(error);
    return output;
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

  close(): void {
    if (this.#context !== undefined) this.#lib.nft_ctx_free(this.#context);
    this.#context = undefined;
  }
}
