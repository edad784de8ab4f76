import type { Guest } from './guest.js';
import { type NetworkSetup, networkSetups, bridge as onBridge } from './network-setups.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios in which the driver domain itself ends and is created again, on a real Xen host: its guests have their network
 * back with nothing done to them but what vifd-dom0-reconnect does in dom0.
 */

/** How domnet ends: command lines for domnet or for dom0. */
const ends = {
  crash: { domnet: '(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &' },
  destroy: { dom0: 'xl destroy domnet' },
} as const;

/**
 * A guest's own system, which configures an interface that is hot-plugged; and a look for the moment when it has its
 * network back, once it has lost it.
 */
const system = (peer: string, join: string) => `
  (while sleep 0.5; do netfront; ${join}; done) >/dev/null 2>&1 &
  rm -f /back; (while ping -c 1 -W 2 ${peer}; do sleep 0.2; done; until ping -c 1 -W 2 ${peer}; do sleep 0.2; done; date +%s >/back) >/dev/null 2>&1 &`;

/** Ends domnet under the pings of its guests, creates it again, and waits until each of them is answered. */
async function comesBack(
  host: XenHost,
  how: keyof typeof ends,
  setup: NetworkSetup,
  count: number,
): Promise<string> {
  await host.startReconnect();
  await host.domnet(setup.make);
  try {
    const guests: Guest[] = [];
    for (let n = 0; n < count; n++) guests.push(await host.guest({ vifs: [setup.vif] }));
    for (const guest of guests) {
      await guest.connected();
      await guest.run(`netfront; ${setup.join(guest)}; ping -c 1 -W 5 ${setup.peer}`);
      await guest.run(system(setup.peer, setup.join(guest)));
    }
    const old = host.domnetId;
    const began = Number(await host.dom0('date +%s.%N'));
    const way: { domnet?: string; dom0?: string } = ends[how];
    if (way.domnet !== undefined) await host.domnet(way.domnet);
    if (way.dom0 !== undefined) await host.dom0(way.dom0);
    await host.dom0(
      'for i in {1..100}; do xl domid domnet >/dev/null 2>&1 || exit 0; sleep 0.5; done; exit 1',
    );
    const gone = Number(await host.dom0('date +%s.%N'));
    // What xl does by itself with on_crash="restart", which would restart the machine's own domnet after each failure, too.
    await host.dom0('xl create -q /root/domnet.cfg');
    await host.domnetIsBack();
    if (host.domnetId === old) throw new Error('domnet is the old one');
    if (setup !== onBridge) await host.domnet(setup.make);
    for (const guest of guests) await guest.connected([0], 240_000);
    const back: number[] = [];
    for (const guest of guests) {
      await guest.run('for i in $(seq 100); do [ -s /back ] && break; sleep 0.5; done; [ -s /back ]');
      back.push(Number(await guest.run('cat /back')));
      await guest.reaches([0], { peer: setup.peer });
    }
    const [started = Number.NaN, ready = Number.NaN] = (
      await host.domnet(
        "journalctl -u vifd -b -o short-unix --no-pager | awk '/: starting$/ { s = $1 } /: ready$/ { r = $1 } END { print s, r }'",
      )
    )
      .trim()
      .split(' ')
      .map(Number);
    const lines = (await host.reconnectJournal()).filter((line) =>
      /: on domnet \(\d+\) again after /.test(line),
    );
    mustBe('the vifs that were plugged in', lines.length, count);
    const plugged = lines.map((line) => Number(line.split(' ')[0]));
    const after = (at: number) => `${(at - began).toFixed(0)} s`;
    return `domnet gone ${after(gone)}, vifd starts ${after(started)}, ready ${after(ready)}, vifs plugged in ${after(Math.min(...plugged))} to ${after(Math.max(...plugged))}, first pings ${after(Math.min(...back))} to ${after(Math.max(...back))} after the ${how}`;
  } finally {
    await host.stopReconnect();
    await host.endGuests();
    if (setup !== onBridge) await host.domnet(`${setup.unmake}; true`);
  }
}

export const restarts: readonly Scenario[] = [
  {
    name: 'domnet crashes under traffic, and its guest is back without help',
    short: true,
    only: 'vifd',
    fault: true,
    run: (host) => comesBack(host, 'crash', onBridge, 1),
  },
  ...networkSetups.map(
    (setup): Scenario => ({
      name: `domnet destroyed under traffic, 8 guests of ${setup.name} are back without help`,
      only: 'vifd',
      fault: true,
      run: (host) => comesBack(host, 'destroy', setup, 8),
    }),
  ),
];
