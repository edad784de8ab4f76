import { createInterface } from 'node:readline';
import { type VifEvent, where } from '../observe/events.js';
import { ask, open } from './control-client.js';
import { CommandError, exit } from './exit-status.js';
import { lines } from './table.js';

/** `vifd events [VIF] [--follow] [--json]`: prints the events that the daemon keeps, oldest first, then new ones. */
export async function eventsCommand(
  vif: string | undefined,
  options: { json: boolean; follow: boolean },
): Promise<number> {
  const path = vif === undefined ? '/events' : `/events/${encodeURIComponent(vif)}`;
  const print = (event: VifEvent): void => {
    process.stdout.write(options.json ? `${JSON.stringify(event)}\n` : printEvent(event));
  };
  // Opened before the past is requested, so that no event is missed; new ones wait in the stream.
  const coming = options.follow ? await open(`${path}?follow`) : undefined;
  const past = ((await ask(path)) as VifEvent[]).map((event) => JSON.stringify(event));
  for (const line of past) print(JSON.parse(line) as VifEvent);
  if (coming === undefined) return exit.ok;
  try {
    for await (const line of createInterface({ input: coming })) {
      // An event between the two requests is in both answers.
      if (!past.includes(line)) print(JSON.parse(line) as VifEvent);
    }
  } catch (error) {
    // The answer ends with ECONNRESET when the daemon ends.
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
  throw new CommandError(
    'the daemon has ended; run "vifd events --follow" again when it runs',
    exit.notRunning,
  );
}

function printEvent({
  time,
  kind,
  vif,
  topology,
  bridge,
  mtu,
  ms,
  error,
  actions,
  missing,
  by,
}: VifEvent): string {
  const words = [
    time,
    vif,
    kind,
    where({ topology, bridge }, kind === 'adopted' ? 'on' : 'to'),
    mtu === undefined ? undefined : `mtu ${mtu}`,
    ms === undefined ? undefined : `in ${ms} ms`,
    by === undefined ? undefined : `by ${by}`,
    error === undefined ? undefined : `- ${error}`,
    actions === undefined ? undefined : `- ${actions.join('; ')}`,
    missing === undefined ? undefined : `- ${missing.join('; ')}`,
  ];
  return lines([words.filter((word) => word !== undefined && word !== '').join(' ')]);
}
