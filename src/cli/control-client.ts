import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { controlSocket } from '../runtime/runtime-dir.js';
import { CommandError, exit } from './exit-status.js';

/** The running daemon's answer to a GET of this path. @throws CommandError with the remedy when there is none */
export const ask = (path: string): Promise<unknown> => askControl(path).catch(explain);

/** The running daemon's answer to a POST of this path. @throws CommandError with the remedy when there is none */
export const tell = (path: string): Promise<unknown> => askControl(path, 'POST').catch(explain);

/** The running daemon's answer as a stream. @throws CommandError with the remedy when there is none */
export const open = (path: string): Promise<IncomingMessage> => openControl(path).catch(explain);

function explain(error: NodeJS.ErrnoException): never {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    throw new CommandError(
      `the daemon is not running: nothing answers on ${controlSocket()}; start it with "systemctl start vifd", or see "journalctl -u vifd" for why it ended`,
      exit.notRunning,
    );
  }
  if (error.code === 'EACCES')
    throw new CommandError(`only root may open ${controlSocket()}; run it as root`, exit.failed);
  throw new CommandError(error.message, exit.failed);
}

/** How long the daemon may take to answer, in ms. */
const answerMs = 5000;

const noAnswer = (): Error =>
  new Error(
    `the daemon does not answer within ${answerMs / 1000} s: "systemctl status vifd" shows what it does; ` +
      '"systemctl restart vifd" starts it anew, which touches no vif that is attached',
  );

/** The daemon's answer; rejects with ENOENT or ECONNREFUSED when none runs. */
export async function askControl(path: string, method = 'GET'): Promise<unknown> {
  const answer = await openControl(path, method);
  // Also for a daemon that stops in the middle of an answer.
  const late = setTimeout(() => answer.destroy(noAnswer()), answerMs);
  let text = '';
  try {
    for await (const chunk of answer.setEncoding('utf8')) text += chunk as string;
  } finally {
    clearTimeout(late);
  }
  const body = JSON.parse(text) as { error?: string };
  if (answer.statusCode !== 200) throw new Error(body.error ?? `the daemon answered ${answer.statusCode}`);
  return body;
}

/** The daemon's answer as a stream; rejects with ENOENT or ECONNREFUSED when none runs. */
export async function openControl(path: string, method = 'GET'): Promise<IncomingMessage> {
  const asking = request({ socketPath: controlSocket(), method, path, timeout: answerMs }).end();
  asking.on('timeout', () => asking.destroy(noAnswer()));
  const [answer] = (await once(asking, 'response')) as [IncomingMessage];
  // From here on silence is no error: there may be no event for days.
  asking.setTimeout(0);
  // Errors from here on reach the reader of the answer.
  asking.on('error', () => undefined);
  return answer;
}
