import { closeSync, openSync } from 'node:fs';
import { readConfig } from '../config/config.js';
import { version } from '../runtime/version.js';
import { exit, messageOf } from './exit-status.js';

/** `vifd run`: serves the vifs of this domain until SIGTERM, SIGINT or the end of its terminal; SIGHUP reloads the configuration. */
export async function run(configFile: string | undefined): Promise<number> {
  const config = readConfig(configFile);
  const [{ createLog }, { Daemon }] = await Promise.all([
    import('../observe/log.js'),
    import('../daemon/daemon.js'),
  ]);
  const log = await createLog(config.log);
  // Warnings of Node itself go there; a reader that is gone (EPIPE) is no reason to end.
  process.stderr.on('error', () => undefined);
  const daemon = new Daemon(config, log);
  const stopping = new AbortController();
  const stop = (signal: string): void => {
    log.info({ signal }, 'stopping');
    stopping.abort();
  };
  process.once('SIGTERM', stop).once('SIGINT', stop);
  const onTerminal = hasTerminal();
  const reloads = { last: Promise.resolve(), waiting: false };
  process.on('SIGHUP', (signal) => {
    if (onTerminal && !hasTerminal()) return stop(signal);
    // One reload at a time, and one more for all signals that come during it.
    if (reloads.waiting) return;
    reloads.waiting = true;
    reloads.last = reloads.last
      .then(() => {
        reloads.waiting = false;
        return daemon.reload(readConfig(configFile));
      })
      .then(
        () => log.info('configuration reloaded'),
        (error: unknown) => log.error({ error: messageOf(error) }, 'configuration not reloaded'),
      );
  });
  log.info({ version: version() }, 'starting');
  try {
    await daemon.run(stopping.signal);
  } catch (error) {
    log.fatal({ error: messageOf(error) }, 'cannot run');
    return exit.failed;
  }
  log.info('stopped');
  return exit.ok;
}

/** Whether this process has a controlling terminal. The kernel takes it away before it sends SIGHUP for a hangup. */
function hasTerminal(): boolean {
  try {
    closeSync(openSync('/dev/tty', 'r'));
    return true;
  } catch {
    return false;
  }
}
