import { setTimeout as sleep } from 'node:timers/promises';
import {
  connecting,
  counted,
  livingOn,
  makeNetworks,
  type Place,
  places,
  unmakeNetworks,
} from './four-networks.js';
import type { Guest } from './guest.js';
import { type NetworkSetup, bridge as onBridge } from './network-setups.js';
import { mustBe, type Note, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios in which the driver domain itself ends and another takes its place, on a real Xen host: its guests have their
 * network back with nothing done to them but what vifd-dom0-reconnect does in dom0.
 */

/** Ends domnet. @returns when, in seconds of the clock that all domains share */
type End = (host: XenHost) => Promise<number>;

/** A panic of its kernel: xl starts it anew by itself, as domnet.cfg has on_crash="restart". */
export const crash: End = async (host) => {
  await host.domnet('sync; sysctl -qw kernel.sysrq=1');
  return Number(await host.dom0('date +%s.%N; xl sysrq domnet c'));
};

/** `xl destroy`, after which it has to be created again. */
const destroy: End = async (host) => {
  await host.domnet('sync');
  return Number(
    await host.dom0('date +%s.%N; { xl destroy domnet && xl create -q /root/domnet.cfg; } >/dev/null 2>&1'),
  );
};

/** No memory left, which its kernel is told to take for a panic. */
const outOfMemory: End = async (host) =>
  Number(await host.domnet('sync; sysctl -qw vm.panic_on_oom=2; date +%s.%N; setsid tail /dev/zero &'));

/**
 * It does not run any more, and so does not feed Xen's watchdog, by which Xen ends it. What feeds it is systemd, by the
 * kernel's own driver.
 */
const hang: End = async (host) => {
  await host.domnet(`modprobe xen_wdt; mkdir -p /etc/systemd/system.conf.d
    printf '[Manager]\\nRuntimeWatchdogSec=20\\n' >/etc/systemd/system.conf.d/hang.conf; sync
    systemctl daemon-reexec; ls -l /proc/1/fd | grep -q watchdog || { echo 'systemd does not feed the watchdog' >&2; exit 1; }
    rm /etc/systemd/system.conf.d/hang.conf; sync`);
  return Number(await host.dom0('date +%s.%N; xl pause domnet'));
};

/** Ends domnet and creates it with other lines in its configuration. */
async function createdWith(host: XenHost, ...lines: string[]): Promise<void> {
  await host.domnet('sync');
  const old = host.domnetId;
  const quoted = lines.map((line) => `'${line}'`).join(' ');
  await host.dom0(`{ xl destroy domnet && xl create -q /root/domnet.cfg ${quoted}; } 2>&1`);
  await host.domnetIsBack(old);
}

interface Placed {
  readonly guest: Guest;
  readonly setup: Pick<NetworkSetup, 'name' | 'peer' | 'join'>;
}

/** A guest's own system, which configures an interface that is hot-plugged; and its traffic. */
const system = ({ guest, setup }: Placed, everyMs: number) => `
  printf '#!/bin/sh\\n[ "$ACTION $SUBSYSTEM" != "add net" ] || { netfront; ${setup.join(guest)}; }\\n' >/bin/plugged
  chmod +x /bin/plugged; ACTION=add SUBSYSTEM=net /bin/plugged; uevent /bin/plugged >/dev/null 2>&1 &
  until ping -c 1 -W 5 ${setup.peer}; do sleep 0.2; done >/dev/null
  pings ${setup.peer} ${everyMs} >/traffic 2>&1 & echo $! >/traffic.pid`;

/** What dom0 has given the vif, and the address that the guest has: the same before and after. */
async function given(host: XenHost, { guest }: Placed): Promise<string> {
  const keys = /^(mac|ip|bridge|script|handle|type|gatewaydev|mtu|vlan|rate|vifname|frontend(-id)?) = /;
  const listed = await host.dom0(`xenstore-ls ${guest.backend(0)}`);
  const own = await guest.run('cat /sys/class/net/eth0/address');
  return [...listed.split('\n').filter((line) => keys.test(line)), own.trim()].sort().join(', ');
}

/** The moments of domnet's boot, by its journal. */
async function bootOf(host: XenHost): Promise<Record<'kernel' | 'unit' | 'node' | 'ready', number>> {
  const said = await host.domnet(`
    echo "$(date +%s.%N) - $(cut -d' ' -f1 /proc/uptime)" | awk '{ printf "%.2f ", $1 - $3 }'
    journalctl --sync; journalctl -u vifd -b -o short-unix --no-pager |
      awk '/: Starting vifd/ { u = $1 } /: starting$/ { s = $1 } /: ready$/ { r = $1 } END { print u, s, r }'`);
  const [kernel = Number.NaN, unit = Number.NaN, node = Number.NaN, ready = Number.NaN] = said
    .trim()
    .split(' ')
    .map(Number);
  return { kernel, unit, node, ready };
}

interface Answers {
  /** When a guest was answered again, for how long it was not, and how many of its pings had no answer. */
  readonly at: number;
  readonly silent: number;
  readonly lost: number;
}

/** Ends a guest's pings, which write to `file`. @returns what they say of the time that domnet was away */
export async function answered(guest: Guest, file = '/traffic'): Promise<Answers> {
  const said = await guest.run(
    `for i in $(seq 80); do grep -q silent ${file} && break; sleep 0.5; done; kill $(cat ${file}.pid); wait $(cat ${file}.pid); cat ${file}`,
  );
  const silences = [...said.matchAll(/silent for ([\d.]+) until ([\d.]+)/g)].map(([, silent, at]) => ({
    at: Number(at),
    silent: Number(silent),
  }));
  const longest = silences.sort((a, b) => b.silent - a.silent)[0];
  if (longest === undefined) throw new Error(`${guest.name} was not answered again: ${said.trim()}`);
  return { ...longest, lost: [...said.matchAll(/^lost/gm)].length };
}

/** Ends domnet under its guests' pings, and waits until another one's vifd serves them all. @returns the time line */
async function comesBack(host: XenHost, end: End, placed: readonly Placed[]): Promise<Note> {
  const before: string[] = [];
  for (const one of placed) {
    await one.guest.connected();
    await one.guest.run(system(one, placed.length > 1 ? 500 : 50));
    before.push(await given(host, one));
  }
  const old = host.domnetId;
  const began = await end(host);
  await host.domnetIsBack(old);
  for (const { guest } of placed) await guest.connected([0], 480_000);
  const answers: Answers[] = [];
  for (const [n, one] of placed.entries()) {
    answers.push(await answered(one.guest));
    mustBe(`the vif of ${one.guest.name}`, await given(host, one), before[n]);
    await one.guest.reaches([0], { peer: one.setup.peer });
  }
  const again = / on domnet \((\d+)\) again after ([\d.]+) s/;
  let lines: string[] = [];
  // Of one that vifd did not answer for in time it tells within some seconds that vifd has it connected.
  for (let time = 0; lines.length < placed.length && time < 20; time++) {
    if (time > 0) await sleep(1000);
    lines = (await host.reconnectJournal()).filter((line) => again.test(line));
  }
  mustBe('how many vifs it plugged in', lines.length, placed.length);
  const { kernel, unit, node, ready } = await bootOf(host);
  const took = lines.map((line) => Number(again.exec(line)?.[2]));
  const plugged = lines.map((line) => Number(line.split(' ')[0]));
  const at = (...times: readonly number[]) =>
    [...new Set([Math.min(...times), Math.max(...times)].map((time) => (time - began).toFixed(1)))].join(
      ' to ',
    );
  const span = (digits: number, ...times: readonly number[]) =>
    [...new Set([Math.min(...times), Math.max(...times)].map((time) => time.toFixed(digits)))].join(' to ');
  const line = `seconds after it ended: kernel ${at(kernel)}, systemd starts vifd ${at(unit)}, its first line ${at(node)}, ready ${at(ready)}, vifs plugged in (${lines.length} of ${placed.length}) ${at(...plugged)} (each took ${span(1, ...took)}), first answers ${at(...answers.map((one) => one.at))}; silent for ${span(1, ...answers.map((one) => one.silent))}, pings lost ${span(0, ...answers.map((one) => one.lost))}`;
  const moments = [began, kernel, unit, node, ready, Math.max(...answers.map((one) => one.at))];
  const spans = [
    'xl creates it again',
    'its system boots',
    'Node starts',
    'vifd sweeps',
    'vifs plugged in',
  ].map((name, n) => ({ name, from: (moments[n] ?? 0) - began, to: (moments[n + 1] ?? 0) - began }));
  return { line, spans };
}

const alone =
  (end: End): Scenario['run'] =>
  async (host) => {
    await host.startReconnect();
    try {
      const guest = await host.resident();
      return await comesBack(host, end, [{ guest, setup: onBridge }]);
    } finally {
      await host.stopReconnect();
    }
  };

/** How many connections of each place bring bytes, of how many there were. */
async function connections(host: XenHost, before: ReadonlyMap<string, number>): Promise<string> {
  const alive = new Set(await livingOn(host, before));
  const placeOf = (name: string) =>
    name.startsWith('10.9.')
      ? 'bridge'
      : name.startsWith('10.10.')
        ? 'Open vSwitch'
        : name.startsWith('10.0.2.16-')
          ? 'NAT'
          : 'routed';
  const of = (names: readonly string[], { name }: Place) =>
    names.filter((one) => placeOf(one) === name).length;
  return places
    .map((place) => `${place.name} ${of([...alive], place)} of ${of([...before.keys()], place)}`)
    .join(', ');
}

/** Two guests on each network, with pings and a connection each to a host beyond domnet. */
const everywhere: Scenario['run'] = async (host) => {
  await host.startReconnect();
  await makeNetworks(host);
  try {
    const placed: Placed[] = [];
    for (const place of [...places, ...places]) {
      const guest = placed.length === 0 ? await host.resident([]) : await host.guest({ vifs: [] });
      await guest.run('true');
      await host.attach(guest, place.vifOf(guest));
      await guest.connected();
      await guest.run(`netfront; ${place.join(guest)}; ${connecting(place)}`);
      placed.push({ guest, setup: place });
    }
    // What eight guests do is a large part of the one emulated processor, which is domnet's meanwhile.
    await host.dom0(
      `for g in ${placed.map(({ guest }) => guest.name).join(' ')}; do xl sched-credit2 -d $g -w 16; done`,
    );
    const { line, spans } = await comesBack(host, crash, placed);
    const living = await connections(host, await counted(host));
    return { line: `${line}; connections that live on: ${living}`, spans };
  } finally {
    await host.stopReconnect();
    await host.endGuests();
    await unmakeNetworks(host);
  }
};

export const restarts: readonly Scenario[] = [
  {
    name: 'domnet crashes under traffic, and its guest is back without help',
    short: true,
    only: 'vifd',
    fault: true,
    run: alone(crash),
  },
  {
    name: 'domnet destroyed under traffic and created again, and its guest is back',
    only: 'vifd',
    fault: true,
    run: alone(destroy),
  },
  {
    name: 'domnet runs out of memory under traffic, and its guest is back without help',
    only: 'vifd',
    fault: true,
    run: alone(outOfMemory),
  },
  {
    name: 'domnet, a PVH domain, crashes under traffic, and its guest is back without help',
    only: 'vifd',
    fault: true,
    async run(host) {
      // QEMU emulates SVM without the next-RIP that Xen needs for rdtscp.
      await createdWith(host, 'type="pvh"', 'cpuid="host,rdtscp=0"');
      try {
        return await alone(crash)(host);
      } finally {
        await host.endGuests();
        await createdWith(host);
      }
    },
  },
  {
    name: 'domnet hangs under traffic, and its guest is back without help',
    only: 'vifd',
    fault: true,
    async run(host) {
      await createdWith(host, 'on_watchdog="restart"');
      try {
        return await alone(hang)(host);
      } finally {
        await host.endGuests();
        await createdWith(host);
      }
    },
  },
  {
    name: 'domnet crashes under the traffic of 8 guests on all four networks, and all are back without help',
    only: 'vifd',
    fault: true,
    run: everywhere,
  },
];
