import { cpuMs, startAgent } from '../agents.js';
import type { Agent } from '../rows.js';
import type { Shape } from '../scene.js';
import type { Session } from '../session.js';

/** What each agent is given: shapes, how often each, and how often a burst; `warm` vifs before that are not counted. */
interface Work {
  readonly warm: number;
  readonly next: readonly Shape[];
  readonly times: number;
  readonly bursts: readonly Shape[];
  readonly burstTimes: number;
}

const atOnce = 64;

function workOf(agent: Agent, quick: boolean): Work {
  switch (agent) {
    case 'vifd':
    case 'before':
      return quick
        ? {
            warm: 10,
            next: ['plain', 'ipv4', 'both', 'nat'],
            times: 7,
            bursts: ['plain', 'ipv4'],
            burstTimes: 2,
          }
        : {
            warm: 30,
            next: ['plain', 'ipv4', 'both', 'route', 'nat'],
            times: 10,
            bursts: ['plain', 'ipv4'],
            burstTimes: 3,
          };
    case 'floor':
      return { warm: 2, next: ['plain'], times: 10, bursts: ['plain'], burstTimes: quick ? 2 : 3 };
    case 'stock':
      return quick
        ? { warm: 1, next: ['plain'], times: 3, bursts: [], burstTimes: 0 }
        : { warm: 1, next: ['plain', 'route', 'nat'], times: 5, bursts: ['plain'], burstTimes: 1 };
  }
}

/** The next vif of each shape, and 64 at once, of each agent; they take turns, so that other load affects all of them. */
export async function measureAttach(session: Session): Promise<void> {
  const { scene, domnet, before, config, isQuick } = session;
  const agents: Agent[] = before === undefined ? ['vifd', 'floor', 'stock'] : ['vifd', 'before', 'floor'];
  for (const name of agents) {
    session.say(`attach, ${name}`);
    const work = workOf(name, isQuick);
    const agent = await startAgent(name, domnet, {
      main: before,
      ...(name === 'vifd' && config !== undefined && { config }),
    });
    try {
      for (let i = 0; i < work.warm; i++) await scene.time(i % 2 === 0 ? 'plain' : 'ipv4');
      for (const shape of work.next)
        for (let i = 0; i < work.times; i++) session.add(`next.${shape}`, name, await scene.time(shape));
      // The first is not counted: the code has seen no burst yet.
      for (const shape of work.bursts)
        for (let i = name === 'stock' ? 1 : 0; i <= work.burstTimes; i++) {
          const before = cpuMs(agent.pid);
          let cpu = 0;
          const ms = await scene.time(shape, atOnce, async () => {
            cpu = cpuMs(agent.pid) - before;
          });
          if (i === 0) continue;
          session.add(`burst.${shape}`, name, ms);
          if (name === 'vifd' || name === 'before') session.add(`cpu.${shape}`, name, cpu);
        }
    } finally {
      await agent.stop();
    }
  }
}
