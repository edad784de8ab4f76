import { isJournal } from 'node-libsystemd';
import pino, { type DestinationStream, type Level, type Logger } from 'pino';
import { journalStream } from './journal.js';

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

async function destination(): Promise<DestinationStream> {
  if (isJournal(1)) return journalStream;
  if (process.stdout.isTTY) {
    // Loaded on demand: it takes a tenth of the daemon's start.
    const { default: pretty } = await import('pino-pretty');
    return pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
  }
  return pino.destination({ fd: 1, sync: true });
}
