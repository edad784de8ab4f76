import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { Domnet } from '../support/net/domnet.js';
import { Screen } from './screen.js';
import { Show } from './show.js';
import { story } from './story.js';

// Shows, step by step and on a machine without Xen, how a guest's interface comes up on a bridge. After the last step, a
// failure or a signal `Domnet.stop` is called, so that no process, namespace or directory stays behind. With `--picture`
// (`npm --silent run picture`) docs/vifd-graph.svg is what is written to the standard output, and all else goes to the other one.

const { picture } = parseArgs({ options: { picture: { type: 'boolean' } } }).values;

const intro = `vifd: a guest's network interface, from its configuration to a ping

  real        the daemon, Debian's xenstored, the kernel's bridge, every packet
  stand-ins   a network namespace for the driver domain, and one for each guest
              a veth pair for netback's interface and the guest's end of it
              this program for libxl, netback, systemd and the admin, who do what is shown
              a small shim for the hypervisor, which xenstored asks little of
  │           the daemon's own log`;

const screen = new Screen(picture ? process.stderr : process.stdout);
const interrupted = new AbortController();
let signal: NodeJS.Signals | undefined;
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => {
    signal ??= name;
    interrupted.abort();
  });
}
// The output is closed (`npm run demo | head`): the demo stops and cleans up.
process.stdout.on('error', () => interrupted.abort());

async function play(): Promise<number> {
  screen.text(intro);
  const began = performance.now();
  const domnet = await Domnet.start();
  try {
    const show = new Show(domnet, screen, interrupted.signal);
    for (const step of story) {
      interrupted.signal.throwIfAborted();
      await step(show);
    }
    if (picture) process.stdout.write(show.picture ?? '');
    screen.text(
      `\nDone in ${((performance.now() - began) / 1000).toFixed(1)} s; nothing of it stays behind.`,
    );
    return 0;
  } catch (error) {
    // A Ctrl-C reaches the daemon and xenstored too, so any step may fail with any error.
    if (interrupted.signal.aborted) screen.text('\nInterrupted; cleaning up.');
    else screen.failed(error instanceof Error ? error.message : String(error));
    return signal === undefined ? 1 : 128 + constants.signals[signal];
  } finally {
    await domnet.stop();
  }
}

process.exitCode = await play();
