import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { addressOf, connectUplink, guest, outer, reaches } from '../../support/net/guests.js';
import { exec } from '../../support/process/exec.js';
import { compile } from '../agents.js';
import type { Session } from '../session.js';

/** Packets of one sample: less than a second of a processor. */
const packets = 200_000;
const modes = {
  held: '',
  free: '[antispoof]\nmode = "off"\ncontrol_frames = true\n',
} as const;

/** What a packet takes of a processor on its way from a guest, in ns: held to its addresses, and held to nothing. */
export async function measureDatapath(session: Session): Promise<void> {
  const domnet = await Domnet.start();
  const receivers: { end(): Promise<unknown> }[] = [];
  try {
    const program = await compile('packets', domnet.dir);
    const outside = await connectUplink(domnet, { version6: false });
    await domnet.addBridge('xenbr0');
    const first = await domnet.vifd();
    const ip = (domid: number) => ({ ip: addressOf('bridge', { domid }) });
    const peer = await guest(domnet, 'bridge', 12, ip(12));
    const ways: Record<string, { from: Vif; to: string }> = {
      bridge: { from: await guest(domnet, 'bridge', 11, ip(11)), to: addressOf('bridge', peer) },
      route: { from: await guest(domnet, 'route', 13), to: outer },
      nat: { from: await guest(domnet, 'nat', 14), to: outer },
    };
    await first.terminate();
    for (const namespace of [await domnet.guestNamespace(peer.domid), outside.namespace]) {
      const child = spawn('ip', ['netns', 'exec', namespace, program]);
      const exit = once(child, 'exit');
      receivers.push({
        end: () => {
          child.kill();
          return exit;
        },
      });
    }
    for (session.turn = 0; session.turn < 2; session.turn++)
      for (const [mode, config] of Object.entries(modes)) {
        session.say(`data path, ${mode}`);
        // It finds the vifs connected, and gives them what they are held to by this configuration.
        const daemon = await domnet.vifd({ config });
        for (const [way, { from, to }] of Object.entries(ways)) {
          await reaches(from, to);
          for (let i = 0; i < 4; i++) {
            const namespace = await domnet.guestNamespace(from.domid);
            const output = await exec('ip', ['netns', 'exec', namespace, program, to, `${packets}`]);
            // The first sample finds caches and frequencies of other work.
            if (i > 0) session.add(`path.${way}.${mode}`, 'vifd', Number(output));
          }
        }
        await daemon.terminate();
      }
    session.turn = 0;
  } finally {
    for (const { end } of receivers) await end();
    await domnet.stop();
  }
}
