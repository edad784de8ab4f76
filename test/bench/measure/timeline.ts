import { Probe } from '../../support/process/probe.js';
import type { Bar } from '../results.js';
import type { Session } from '../session.js';

/** What vifd does in one attach of a vif with an address, in ms from its keys to the end; of a warm daemon. */
export async function measureTimeline({ domnet, scene, say }: Session): Promise<Bar[]> {
  say('time line');
  const probe = new Probe(domnet.dir);
  const daemon = await domnet.vifd({ env: probe.env });
  try {
    for (let i = 0; i < 20; i++) await scene.time('ipv4');
    await probe.take();
    let bars: Bar[] = [];
    await scene.time('ipv4', 1, async ({ from, to }) => {
      const { spans } = await probe.take();
      bars = [
        { what: 'keys to connected', from: 0, to: to - from },
        ...spans
          .filter((span) => span.from >= from - 1 && span.from <= to)
          .map((span) => ({ what: span.kind, from: span.from - from, to: Math.min(span.to, to + 1) - from })),
      ];
    });
    return bars;
  } finally {
    await daemon.terminate();
  }
}
