import { fileURLToPath } from 'node:url';

/** The path of the library, for `LD_PRELOAD` of a DHCP server; Node itself never loads it. */
export const library: string = fileURLToPath(new URL('no-check.so', import.meta.url));
