import { isatty } from 'node:tty';
import { isJournal } from 'node-libsystemd';
import pino, { type DestinationStream, type Level, type Logger } from 'pino';
import { onItsLines } from '../model/one-line.js';
import { journalSender } from './journal.js';
import { LossyLog } from './lossy-log.js';
import { Output } from './output.js';

/**
 * The daemon's log: journal entries with fields where stdout leads to the journal, readable lines on a terminal, else one
 * line of JSON an entry. A message is constant; what varies is in fields (`vif`, `domid`, `devid`, `bridge`, `ms`,
 * `error`).
 */
export async function createLog({ level }: { readonly level: Level }): Promise<Logger> {
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  return pino(options, await destination());
}

/** Never waits for a reader: journald may be stopped, a terminal held, a pipe left unread. */
async function destination(): Promise<DestinationStream> {
  if (isJournal(1)) return new LossyLog(journalSender(new Output(2)));
  const stdout = new Output(1);
  if (!isatty(1)) return new LossyLog((line) => stdout.write(line));
  // Loaded on demand: it takes a tenth of the daemon's start.
  const { prettyFactory } = await import('pino-pretty');
  const pretty = prettyFactory({ translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
  return new LossyLog((line) => stdout.write(pretty(JSON.parse(line, steersNothing))));
}

/** A value of an entry, for a terminal. */
const steersNothing = (_key: string, value: unknown): unknown =>
  typeof value === 'string' ? onItsLines(value) : value;
