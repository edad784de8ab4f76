import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const cache = fileURLToPath(new URL('../../../.cache', import.meta.url));

/** Compiles a library to preload once for each version of its source; safe when several processes do so at a time. */
export async function buildShim(source: string): Promise<string> {
  const version = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 16);
  const shim = join(cache, `${basename(source, '.c')}-${version}.so`);
  if (!existsSync(shim)) {
    mkdirSync(cache, { recursive: true });
    const unfinished = `${shim}.${process.pid}`;
    const flags = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared'];
    await promisify(execFile)('cc', [...flags, '-o', unfinished, source, '-ldl']);
    renameSync(unfinished, shim);
  }
  return shim;
}
