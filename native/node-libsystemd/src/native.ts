import { fileURLToPath } from 'node:url';
import { getSystemErrorMap } from 'node:util';
import ffi from 'ffi-napi';

const load = () =>
  ffi.Library(fileURLToPath(new URL('daemon.so', import.meta.url)), {
    journal_send: ['int', ['string', 'pointer', 'int']],
    lock_take: ['int', ['int']],
  });
let library: ReturnType<typeof load> | undefined;

/** The functions of daemon.c, loaded at the first use. */
export const native = (): ReturnType<typeof load> => {
  library ??= load();
  return library;
};

/** An errno as an Error with its `code`. */
export function failed(call: string, errno: number): Error {
  const [code, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, ''];
  return Object.assign(new Error(`${call}: ${text} (${code})`), { code });
}

/** EAGAIN, which is EWOULDBLOCK too. */
export const eagain = 11;
