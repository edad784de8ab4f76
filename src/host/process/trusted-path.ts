import { constants } from 'node:fs';
import { access, lstat, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Writing by group and by others. */
const writable = 0o022;

/**
 * The real path of something that will be run as root, when nobody but root could have put it there or can change it:
 * it and every directory above belong to root and are writable by nobody else, and no link leads out of `directories`.
 * Run what is returned, not what was asked for: a link may be another by then.
 * @throws Error that says what is wrong, and with which part of the path
 */
export async function trustedExecutable(file: string, directories: readonly string[]): Promise<string> {
  const real = await realpath(file).catch((error: NodeJS.ErrnoException) => {
    throw new Error(error.code === 'ENOENT' ? 'no such file' : error.message);
  });
  const roots = await Promise.all(directories.map((directory) => realpath(directory).catch(() => directory)));
  if (!roots.some((root) => real.startsWith(`${root}/`))) {
    throw new Error(`it leads to ${real}, which is not in ${directories.join(' or ')}`);
  }
  // The file first: what is wrong with it is nearest to what the reader knows.
  for (let path = real, above = ''; path !== above; above = path, path = dirname(path)) {
    const { uid, mode } = await lstat(path);
    if (uid !== 0) throw new Error(`${path} belongs to uid ${uid}; run: chown root ${path}`);
    if (mode & writable) {
      throw new Error(`${path} can be written by others than root; run: chmod go-w ${path}`);
    }
    if (path === real && (mode & constants.S_IFMT) !== constants.S_IFREG) throw new Error('it is not a file');
  }
  await access(real, constants.X_OK).catch(() => {
    throw new Error(`it is not executable; run: chmod +x ${real}`);
  });
  return real;
}
