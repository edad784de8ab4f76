import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Which thread was woken how often, and for how long it ran, in ms. */
export interface Wakes {
  readonly thread: string;
  readonly times: number;
}

/** Waits, and tells how often each thread of a process gave up the CPU by itself meanwhile: once for each wake-up. */
export async function wakesOf(pid: number, seconds: number): Promise<Wakes[]> {
  const before = switches(pid);
  await sleep(1000 * seconds);
  const after = switches(pid);
  return [...after]
    .map(([id, { thread, times }]) => ({
      thread: `${thread} ${id}`,
      times: times - (before.get(id)?.times ?? 0),
    }))
    .filter(({ times }) => times > 0);
}

function switches(pid: number): Map<string, Wakes> {
  return new Map(
    readdirSync(`/proc/${pid}/task`).map((id) => {
      const status = readFileSync(`/proc/${pid}/task/${id}/status`, 'utf8');
      const times = Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1]);
      return [id, { thread: readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').trim(), times }];
    }),
  );
}
