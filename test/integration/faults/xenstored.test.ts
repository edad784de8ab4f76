import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet } from '../../support/net/domnet.js';
import { answers, pingBetween } from '../../support/net/ping.js';
import { Background } from '../../support/process/background.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
let manager: Background;
/** As systemd sets it: 300 ms here, where the unit has 30 s. */
let env: Record<string, string>;

beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  const socket = `${domnet.dir}/notify`;
  manager = new Background('python3', [
    '-uc',
    `import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${JSON.stringify(socket)})
print('listening')
while True:
    print(s.recv(4096).decode().replace('\\n', ' '))`,
  ]);
  await until('the receiver to listen', () => manager.lines.includes('listening'));
  env = { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '300000' };
});
afterEach(async () => {
  await manager.stop('SIGTERM');
  await domnet.stop();
});

/** Waits until systemd's watchdog has been fed this often since now. */
async function fed(times: number): Promise<string[]> {
  const before = manager.lines.length;
  const since = (): string[] => manager.lines.slice(before);
  await until(
    'the watchdog to be fed',
    () => since().filter((line) => /WATCHDOG=1/.test(line)).length >= times,
  );
  return since();
}

test('a xenstored that stands still: the watchdog is fed, it is said, and nothing happens to the guests', async () => {
  const daemon = await domnet.vifd({ env });
  const guests = [await domnet.plug({ domid: 5 }), await domnet.plug({ domid: 6 })] as const;
  for (const guest of guests) await guest.connected();
  const ping = await pingBetween(...guests);
  domnet.xenstored.signal('SIGSTOP');
  await daemon.logged('xenstored does not answer; the vifs stay as they are');
  // Twice the watchdog's time.
  await fed(8);
  expect(manager.lines.at(-1)).not.toContain('STOPPING');
  expect((await domnet.command('status')).status).toBe(0);
  domnet.xenstored.signal('SIGCONT');
  await daemon.logged('xenstored answers again');
  const next = await domnet.plug({ domid: 7 });
  await next.connected();
  await answers(ping, 5);
  expect((await ping.stop()).lost).toBe(0);
  expect(daemon.log.filter(({ msg }) => msg === 'xenstore lost')).toEqual([]);
});

test('a daemon that starts beside it waits, has systemd wait, and serves when it answers', async () => {
  domnet.xenstored.signal('SIGSTOP');
  const daemon = await domnet.vifd({ env, wait: false });
  await daemon.logged('xenstored does not answer; the vifs stay as they are');
  expect((await fed(4)).every((line) => line.includes('EXTEND_TIMEOUT_USEC='))).toBe(true);
  domnet.xenstored.signal('SIGCONT');
  await daemon.logged('ready');
  const guest = await domnet.plug({ domid: 5 });
  await guest.connected();
});
