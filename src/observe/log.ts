import pino, { type Logger } from 'pino';
import pretty from 'pino-pretty';
import type { Config } from '../config.js';

/**
 * The daemon's log on stdout: a line of JSON an event, or for a person where stdout is a terminal. A message is
 * constant; what varies is in fields (`vif`, `domid`, `devid`, `bridge`, `ms`, `error`).
 */
export function createLog({ level }: Config['log']): Logger {
  const options = {
    level,
    base: null,
    formatters: { level: (label: string) => ({ level: label }) },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  return process.stdout.isTTY
    ? pino(options, pretty({ sync: true, translateTime: 'SYS:HH:MM:ss.l', singleLine: true }))
    : pino(options, pino.destination({ fd: 1, sync: true }));
}
