import { constants } from 'node:fs';
import { access, lstat, realpath } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Mode bits that let group and others write. */
const writable = 0o022;

/**
 * The real path of a program that only root can have put there or can change: it and every directory above belong to root
 * and are writable by root alone, and no symbolic link leads out of `directories`. The caller must run the returned path,
 * because a link in `file` may change.
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
  // From the file upwards, so that the message is about the file itself where that is wrong.
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
