import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LinkView, vifOfLink } from '../../model/observed.js';
import { exists, list, read } from './files.js';
import { type Finding, note, ok, warning } from './finding.js';

/** What is known of netback's queues; `stalled` is undefined where they cannot be seen. */
interface RingFacts {
  readonly netback: boolean;
  readonly links: LinkView;
  readonly stalled: readonly string[] | undefined;
}

/** The pause between two readings of netback's queues, in ms. */
const pauseMs = 300;

/** netback's queues in debugfs (`xenvif_read_io_ring`): the request counters of the guest and of netback. */
const rings = (): Map<string, { produced: number; consumed: number }> => {
  const root = '/sys/kernel/debug/xen-netback';
  const found = new Map<string, { produced: number; consumed: number }>();
  for (const vif of list(root)) {
    for (const queue of list(join(root, vif)).filter((name) => name.startsWith('io_ring'))) {
      const match = /TX:.*?req prod (\d+).*?cons (\d+)/s.exec(read(join(root, vif, queue)) ?? '');
      if (match) found.set(`${vif} ${queue}`, { produced: Number(match[1]), consumed: Number(match[2]) });
    }
  }
  return found;
};

/** The queues of netback in which packets wait and none was consumed between two readings; undefined without debugfs. */
export async function stalledQueues(): Promise<string[] | undefined> {
  if (!exists('/sys/kernel/debug/xen-netback')) return undefined;
  const before = rings();
  if (before.size === 0) return [];
  await sleep(pauseMs);
  const after = rings();
  return [...before]
    .filter(
      ([queue, { produced, consumed }]) => produced !== consumed && after.get(queue)?.consumed === consumed,
    )
    .map(([queue]) => queue);
}

/** Whether guests' packets wait in netback's queues. */
export function aboutRings({ stalled, netback, links }: RingFacts): Finding[] {
  const some = [...links.all()].some((link) => vifOfLink(link) !== undefined);
  if (stalled === undefined) {
    return netback && some
      ? [
          note(
            'rings',
            "netback's queues cannot be seen",
            'mount -t debugfs none /sys/kernel/debug, and ask again',
          ),
        ]
      : [];
  }
  if (stalled.length === 0) return [ok('rings', "none of netback's queues stands still")];
  return stalled.map((queue) =>
    warning(
      'rings',
      `the guest's packets wait in netback's ${queue}, and none was taken`,
      `see dmesg for xen-netback's complaints; detach and attach the vif in dom0`,
    ),
  );
}
