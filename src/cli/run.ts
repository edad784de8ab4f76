import { readConfig } from '../config/config.js';
import { version } from '../runtime/version.js';
import { exit, messageOf } from './exit-status.js';

/** `vifd run`: serves the vifs of this domain until SIGTERM or SIGINT; SIGHUP reloads the configuration. */
export async function run(configFile: string | undefined): Promise<number> {
  const config = readConfig(configFile);
  const [{ createLog }, { Daemon }] = await Promise.all([
    import('../observe/log.js'),
    import('../daemon/daemon.js'),
  ]);
  const log = await createLog(config.log);
  const daemon = new Daemon(config, log);
  const stopping = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping');
      stopping.abort();
    });
  }
  process.on('SIGHUP', () => {
    Promise.resolve()
      .then(() => daemon.reload(readConfig(configFile)))
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
