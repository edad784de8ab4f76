import { setTimeout as sleep } from 'node:timers/promises';
import { connecting, counted, livingOn, makeNetworks, unmakeNetworks } from './four-networks.js';
import type { Guest } from './guest.js';
import { answered, crash } from './restarts.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * What a guest's own operating system does when its interface goes and comes, as vifd-dom0-reconnect makes it when domnet was
 * started anew: Debian with each of the programs that configure networks there. image/root/systems has how each is configured.
 */

/** An interface of a guest, as its system calls it. */
interface Interface {
  readonly system: string;
  readonly name: string;
  readonly devid: number;
  /** Whether the system configures it when it comes back. */
  readonly returns: boolean;
}

const guests: readonly { readonly system: string; readonly interfaces: readonly Interface[] }[] = [
  {
    system: 'networkd',
    interfaces: [{ system: 'systemd-networkd', name: 'enX0', devid: 0, returns: true }],
  },
  {
    system: 'networkmanager',
    interfaces: [{ system: 'NetworkManager', name: 'enX0', devid: 0, returns: true }],
  },
  {
    system: 'ifupdown net.ifnames=0',
    interfaces: [
      { system: 'ifupdown with auto', name: 'eth0', devid: 0, returns: false },
      { system: 'ifupdown with allow-hotplug', name: 'eth1', devid: 1, returns: true },
    ],
  },
];

/** The address in dom0 that the guest's interface `devid` reaches through domnet. */
const peerOf = (devid: number) => `10.9.${devid}.254`;

/** Runs a command line in the guest until it succeeds. */
async function succeeds(guest: Guest, command: string, timeoutMs: number): Promise<void> {
  for (const end = Date.now() + timeoutMs; ; await sleep(2000)) {
    const error = await guest.run(command).then(
      () => undefined,
      (reason: Error) => reason,
    );
    if (error === undefined) return;
    if (Date.now() > end) throw error;
  }
}

const answers = (devid: number) => `ping -q -c 1 -W 5 ${peerOf(devid)} >/dev/null`;

/** The interfaces of the guest, by name. */
const names = async (guest: Guest) =>
  (await guest.run('ls /sys/class/net'))
    .split(/\s+/)
    .filter((name) => !['', 'lo'].includes(name))
    .join(' ');

/** A guest that boots alone, as libxl gives its scripts in dom0 ten seconds; with pings and a connection by each interface. */
async function booted(host: XenHost, system: string, interfaces: readonly Interface[]): Promise<Guest> {
  const create = () => host.guest({ vifs: interfaces.map(() => ''), memory: 256, system });
  const guest = await create().catch(create);
  await host.dom0(`xl sched-credit2 -d ${guest.name} -w 16`);
  await succeeds(guest, 'true', 600_000);
  for (const { devid } of interfaces) {
    const [peer, file] = [peerOf(devid), `/traffic${devid}`];
    await succeeds(guest, answers(devid), 300_000);
    await guest.run(`pings ${peer} 500 >${file} 2>&1 & echo $! >${file}.pid; ${connecting({ peer })}`);
  }
  return guest;
}

const addresses = async (guest: Guest, { name }: Interface) =>
  (await guest.run(`ip -4 -o addr show dev ${name}`)).trim();

/** When the vif was connected last, in seconds of the clock that all domains share. */
function connectedAt(host: XenHost, guest: Guest, devid: number): number {
  const key = `${guest.backend(devid)}/hotplug-status`;
  const event = host.store.events.filter(({ path, value }) => path === key && value === 'connected').at(-1);
  if (event === undefined) throw new Error(`${key} was never "connected"`);
  return event.at;
}

/** Expects that the interface is back, with nothing done to it, or has no address until it is made to have one. */
async function isBack(guest: Guest, one: Interface): Promise<void> {
  if (!one.returns) {
    mustBe(`the address of ${one.name}, ${one.system}`, await addresses(guest, one), '');
    await guest.run(`ifdown --force ${one.name}; ifup ${one.name}`);
  }
  await succeeds(guest, answers(one.devid), 240_000);
}

/** What became of an interface after its vif was plugged in again, as a line. */
async function outcome(
  host: XenHost,
  guest: Guest,
  one: Interface,
  alive: readonly string[],
): Promise<string> {
  const { at, silent } = await answered(guest, `/traffic${one.devid}`);
  const lives = alive.some((name) => name.startsWith(`${guest.address(one.devid)}-`));
  const after = (at - connectedAt(host, guest, one.devid)).toFixed(1);
  const how = one.returns ? `${after} s after its vif was connected` : 'when told ifdown --force and ifup';
  return `${one.system}: ${one.name} answered again ${how}, silent for ${silent.toFixed(1)} s, its connection ${lives ? 'lives on' : 'is dead'}`;
}

export const guestSystems: readonly Scenario[] = [
  {
    name: "domnet crashes, and guests' own systems, systemd-networkd, NetworkManager and ifupdown, have their network back",
    only: 'vifd',
    fault: true,
    async run(host) {
      await host.startReconnect();
      await makeNetworks(host);
      await host.dom0(`ip addr add ${peerOf(1)}/24 dev mgmt.30`);
      try {
        const running: { guest: Guest; interfaces: readonly Interface[]; names: string }[] = [];
        for (const { system, interfaces } of guests) {
          const guest = await booted(host, system, interfaces);
          running.push({ guest, interfaces, names: await names(guest) });
        }
        const old = host.domnetId;
        await crash(host);
        await host.domnetIsBack(old);
        for (const { guest, interfaces } of running)
          await guest.connected(
            interfaces.map(({ devid }) => devid),
            480_000,
          );
        // Those that need help come last: by then the others tell that there was time enough without it.
        for (const returns of [true, false])
          for (const { guest, interfaces } of running)
            for (const one of interfaces) if (one.returns === returns) await isBack(guest, one);
        const alive = await livingOn(host, await counted(host));
        const lines: string[] = [];
        for (const { guest, interfaces, names: before } of running) {
          mustBe(`the interfaces of ${guest.name}`, await names(guest), before);
          for (const one of interfaces) lines.push(await outcome(host, guest, one, alive));
        }
        return lines.join('; ');
      } finally {
        await host.stopReconnect();
        await host.endGuests();
        await unmakeNetworks(host);
      }
    },
  },
];
