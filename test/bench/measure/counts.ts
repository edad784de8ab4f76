import { Counting } from '../../support/process/counting.js';
import type { Session } from '../session.js';

/** A domid that no other measurement has. */
const domid = 5;

/** What a vif with an address costs in messages and so on, when it is born as libxl and netback do it, and when it dies. */
export async function measureCounts(session: Session): Promise<void> {
  const { domnet } = session;
  session.say('counts');
  const counting = await Counting.start(domnet);
  try {
    const spec = { domid, keys: { ip: '172.21.0.1' } };
    // The first one differs: what it needs is there afterwards.
    const first = await domnet.plug(spec);
    await first.connected();
    await first.unplug();
    let vif = first;
    const birth = await counting.during(async () => {
      vif = await domnet.plug(spec);
      await vif.connected();
      await vif.setState(4);
    });
    const death = await counting.during(() => vif.unplug());
    for (const [row, counts] of Object.entries({ birth, death }))
      for (const [what, count] of Object.entries(counts)) session.add(`${row}.${what}`, 'vifd', count);
  } finally {
    await counting.stop();
  }
}
