import { journalSend } from 'node-libsystemd';
import type { EventDetail } from '../model/vif-event.js';
import { where } from './events.js';

/** Syslog priorities of pino's levels (sd-daemon(3)). */
const priorities: Readonly<Record<string, number>> = {
  fatal: 2,
  error: 3,
  warn: 4,
  info: 6,
  debug: 7,
  trace: 7,
};

/** Messages of pino's level `info` whose priority is that of a notice, for which pino has no level. */
const notices: ReadonlySet<string> = new Set(['vif has packets dropped']);

/**
 * MESSAGE_ID of the entries that have a help text in systemd/catalog/vifd.catalog, by constant message. They are random
 * and never change, because searches and alerts rely on them.
 */
const messageIds: Readonly<Record<string, string>> = {
  ready: '8e7b98ff975a448397e99b7b2f0cb546',
  'vif attached': '02feb0ab7eea46038efb5452ff7e4c88',
  'vif adopted': '7d895a861ee94f83adf079702491284e',
  'vif repaired': 'db97cc391c5e4297a0489d48346d93f4',
  'vif degraded': '3b6e0a52c1f84d0f9a1d7d0c4e8b52f7',
  'vif not attached': '5deba6f69fd946e0bd405353c98a2ef2',
  'vif has packets dropped': 'ba7c1a06346b4b4caa3405c578ac831e',
  'vif removed': '95dbe655ad7641a9b761c5641994258f',
  'vif blocked': '3b9a073d2e04469986fe798fcb03ced3',
  'vif allowed': '955adebeb1454e6b958064c0600667ed',
  'xenstore lost': 'd7005591d9894617b0e2f048174d3675',
  'configuration not reloaded': 'b27f0d9dd49241569dd1d03b618ca78b',
};

/** Names of a log line's fields in the journal; any other field has its own name in capitals. */
const fieldNames: Readonly<Record<string, string>> = {
  domid: 'XEN_DOMID',
  devid: 'XEN_DEVID',
  errorKind: 'ERROR_KIND',
  errorCode: 'ERROR_CODE',
};

/** A line of the log, as pino wrote it. */
export interface LogRecord {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

type JournalEntry = Record<string, string | string[]> & { readonly MESSAGE: string };

/** Fields of which an entry has one for each value, so that it is found by any of them. */
const repeated: ReadonlySet<string> = new Set(['errorCode', 'errorKind']);

/** A log line as the fields of a journal entry: MESSAGE for people, the rest to search by. */
export function journalFields(record: LogRecord): JournalEntry {
  const { level, msg, time: _, err, ms, ...rest } = record;
  const fields: JournalEntry = {
    MESSAGE: sentence(record),
    PRIORITY: String(notices.has(msg) ? 5 : (priorities[level] ?? 6)),
    SYSLOG_IDENTIFIER: 'vifd',
  };
  const id = messageIds[msg];
  if (id !== undefined) fields.MESSAGE_ID = id;
  if (typeof ms === 'number') fields.DURATION_USEC = String(Math.round(ms * 1000));
  if (err !== undefined) fields.ERROR = errorText(err);
  for (const [name, value] of Object.entries(rest)) {
    const field = fieldNames[name] ?? name.replace(/[^a-z0-9]/gi, '_').toUpperCase();
    fields[field] = Array.isArray(value)
      ? repeated.has(name)
        ? value.map(String)
        : value.join('; ')
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value);
  }
  return fields;
}

/** The text of an entry, such as `vif5.0 attached to bridge xenbr0 in 1.2 ms`. */
function sentence(record: LogRecord): string {
  const { msg, vif, ms, error, err, actions, missing, leftOut, script, line, reason, cure, lost } = record;
  const { bridge, topology, by } = record as EventDetail;
  const why = error ?? (err === undefined ? undefined : errorText(err));
  // The error's message names the vif itself.
  if (msg === 'vif not attached' && why !== undefined) return String(why);
  if (typeof line === 'string') return `${vif}: ${script}: ${line}`;
  if (typeof lost === 'number') return `${lost} ${msg}`;
  const to = msg === 'vif attached' ? 'to' : 'on';
  const words = [
    typeof vif === 'string' ? msg.replace(/^vif /, `${vif} `) : msg,
    where({ topology, bridge }, to),
    ms === undefined ? '' : `in ${ms} ms`,
    by === undefined ? '' : `by ${by}`,
  ].filter(Boolean);
  const tail = [
    why === undefined ? '' : `: ${why}`,
    msg === 'vif has packets dropped' ? `: ${[reason, cure].filter(Boolean).join('; ')}` : '',
    Array.isArray(actions) ? `: ${actions.join('; ')}` : '',
    Array.isArray(missing) ? `: ${missing.join('; ')}` : '',
    leftOut === undefined ? '' : ` (${leftOut} lines about it left out before)`,
  ];
  return words.join(' ') + tail.join('');
}

function errorText(err: unknown): string {
  const message = (err as { message?: unknown } | null)?.message;
  return typeof message === 'string' ? message : JSON.stringify(err);
}

/** Sends log lines to journald, and to `other` where that cannot be reached; false when a line was not taken. */
export const journalSender =
  (other: { write(line: string): boolean }) =>
  (line: string): boolean => {
    try {
      return journalSend(journalFields(JSON.parse(line) as LogRecord));
    } catch (error) {
      return other.write(`${error instanceof Error ? error.message : error}: ${line}`);
    }
  };
