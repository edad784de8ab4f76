import type { IncomingMessage } from 'node:http';
import { askControl, openControl } from '../observe/control.js';
import { controlSocket } from '../observe/runtime-dir.js';
import { CommandError, exit } from './exit.js';

/** The running daemon's answer. @throws CommandError that says what to do when there is none */
export const ask = (path: string): Promise<unknown> => askControl(path).catch(explain);

/** The same, read as it comes. */
export const open = (path: string): Promise<IncomingMessage> => openControl(path).catch(explain);

function explain(error: NodeJS.ErrnoException): never {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    throw new CommandError(
      `the daemon is not running: nobody answers on ${controlSocket()}; start it with "systemctl start vifd", or see "journalctl -u vifd" for why it ended`,
      exit.notRunning,
    );
  }
  if (error.code === 'EACCES') throw new CommandError('the control socket is for root only', exit.failed);
  throw new CommandError(error.message, exit.failed);
}
