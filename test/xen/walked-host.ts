import { readFileSync } from 'node:fs';
import { nameOf } from '../walk/addresses.js';
import { guestLines, storedKeys } from '../walk/dom0.js';
import { type PortsReply, portsOf, portsRequest } from '../walk/eyes.js';
import { type Model, type Step, vifOf } from '../walk/model.js';
import type { Probe } from '../walk/probes.js';
import type { Snapshot } from '../walk/snapshot.js';
import { write } from './agents.js';
import type { Guest } from './guest.js';
import type { XenHost } from './xen-host.js';

/** A step that only a Xen host has: a guest is destroyed and another created, or one does not run for some seconds. */
export type XenStep =
  | Step
  | { readonly do: 'reborn'; readonly vif: number }
  | { readonly do: 'pause'; readonly vif: number };

const eyesFile = '/root/eyes.py';

/** What the walk of test/walk needs of a domain, of a domnet on a Xen host, its guests and dom0. */
export class WalkedHost {
  readonly #host: XenHost;
  /** The guests, each with the first vif as the slot of its domid. */
  readonly #guests = new Map<number, Guest>();
  /** How the guests are configured now. */
  readonly #configured = new Map<number, string>();

  constructor(host: XenHost) {
    this.#host = host;
  }

  get slots(): number[] {
    return [...this.#guests.keys()];
  }

  async prepare(): Promise<void> {
    await write(eyesFile, readFileSync(new URL('../walk/eyes.py', import.meta.url)));
    await this.#host.domnet('ip netns attach self 1');
    await this.#host.configure('[nat]\ndhcp = "dnsmasq"\ndns = ["192.0.2.53"]');
  }

  async end(): Promise<void> {
    await this.#host.domnet(`ip netns del self; rm -f ${eyesFile}; true`);
  }

  /** Boots a guest without a vif. @returns its slot */
  async create(): Promise<number> {
    const guest = await this.#host.guest({ vifs: [], memory: 96 });
    await guest.run('true');
    // Together they would take the one emulated processor from domnet.
    await this.#host.dom0(`xl sched-credit2 -d ${guest.name} -w 16`);
    this.#guests.set(guest.domid, guest);
    return guest.domid;
  }

  /** Takes a step, but for the guest that comes in place of one that was destroyed. */
  async perform(step: XenStep, model: Model): Promise<void> {
    const host = this.#host;
    switch (step.do) {
      case 'come': {
        const { script, ...keys } = storedKeys(step.vif, step.topology, step.keys);
        const given = Object.entries(keys).filter(([, value]) => value !== undefined);
        const words = given.map(([key, value]) => `${key}=${value}`);
        return await host.attach(this.#guest(step.vif), [`script=vif-${step.topology}`, ...words].join());
      }
      case 'go':
        await host.dom0(`xl network-detach ${this.#guest(step.vif).name} 0`);
        this.#configured.delete(step.vif);
        return;
      case 'rewrite': {
        const { topology, keys } = vifOf(model, step.vif);
        const then = Object.fromEntries(
          Object.entries({ ...keys, ...step.keys }).filter(([, value]) => value !== null),
        );
        const [before, after] = [keys, then].map((each) => storedKeys(step.vif, topology, each));
        return await this.#rewrite(step.vif, before ?? {}, after ?? {});
      }
      case 'reconnect':
        await this.#guest(step.vif).run('modprobe -r xen-netfront; netfront');
        this.#configured.delete(step.vif);
        return;
      case 'vifd':
        await host.domnet(restarts[step.how] ?? 'false');
        return;
      case 'reborn':
        await host.dom0(`xl destroy ${this.#guest(step.vif).name}`);
        this.#guests.delete(step.vif);
        this.#configured.delete(step.vif);
        return;
      case 'pause':
        await host.dom0(`n=${this.#guest(step.vif).name}; xl pause $n; sleep 4; xl unpause $n`);
        return;
      default:
        throw new Error(`a Xen host has no step ${step.do}`);
    }
  }

  /** The guests that are there have the addresses they should, and their routes. */
  async configure(model: Model): Promise<void> {
    await Promise.all(
      model.vifs.map(async (vif) => {
        const lines = guestLines(vif).map((line) => `ip ${line.replace(/ nodad$/, '')}`);
        // Its address follows when it is connected, and its interface is there.
        if (!vif.present || this.#configured.get(vif.slot) === lines.join()) return;
        const commands = lines.map((line) => (line.includes(':') ? line.replace('ip ', 'ip -6 ') : line));
        await this.#guest(vif.slot).run(
          `netfront; ip link set eth0 up; ip addr flush dev eth0; ip -6 route del default 2>/dev/null; ${commands.join('; ').replaceAll('route replace', 'route add')}`,
        );
        this.#configured.set(vif.slot, lines.join());
      }),
    );
  }

  /** What is in domnet now. */
  async snapshot(): Promise<Snapshot> {
    const request = JSON.stringify({ do: 'snapshot' });
    const said = await this.#host.domnet(`echo '${request}' | python3 ${eyesFile} self /run/vifd | tail -n 1
      ovsdb-client transact '${JSON.stringify(portsRequest)}'
      cd /run/vifd/dhcp 2>/dev/null && grep -s . hosts/* options/* /dev/null || :`);
    const [kernel = '', ports = '', ...files] = said.split('\n');
    const dhcp: Record<string, string> = {};
    for (const line of files) {
      const [, name, text] = /^\w+\/([^:]+):(.*)$/.exec(line) ?? [];
      if (name !== undefined) dhcp[name] = `${dhcp[name] ?? ''}${text}\n`;
    }
    return { ...JSON.parse(kernel), ports: portsOf(JSON.parse(ports) as PortsReply), dhcp };
  }

  /** What `hotplug-status` and `hotplug-error` of a vif are; undefined without a directory. */
  stored(slot: number): { status: string | undefined; error: string | undefined } | undefined {
    const { store, domnetId } = this.#host;
    const backend = `/local/domain/${domnetId}/backend/vif/${slot}/0`;
    if (store.under(backend).length === 0) return undefined;
    return { status: store.get(`${backend}/hotplug-status`), error: store.get(`${backend}/hotplug-error`) };
  }

  /** The probes that went otherwise than they must, as sentences. */
  async probe(probes: readonly Probe[]): Promise<string[]> {
    const places = new Map<Probe['in'], Probe[]>();
    for (const probe of probes) places.set(probe.in, [...(places.get(probe.in) ?? []), probe]);
    const lines = await Promise.all(
      [...places].map(async ([place, those]) => {
        const commands = those.map((probe, at) => `{ ${commandOf(probe)} && echo P${at}P; } &`);
        const command = `{ ${commands.join(' ')} wait; } 2>&1`;
        const said =
          typeof place === 'number'
            ? await this.#guest(place).run(command)
            : await this.#host.dom0(`ip netns exec ${place} bash -c '${command}'`);
        return those.flatMap(({ must, what }, at) =>
          said.includes(`P${at}P`) === must
            ? []
            : [`${what}: ${must ? 'no answer' : 'answered, and must not be'}`],
        );
      }),
    );
    return lines.flat();
  }

  async #rewrite(
    slot: number,
    before: Readonly<Record<string, string | undefined>>,
    after: Readonly<Record<string, string | undefined>>,
  ): Promise<void> {
    const backend = `/local/domain/${this.#host.domnetId}/backend/vif/${slot}/0`;
    const changed = Object.keys(after).filter((key) => before[key] !== after[key]);
    const commands = changed.map((key) =>
      after[key] === undefined
        ? `xenstore-rm ${backend}/${key}`
        : `xenstore-write ${backend}/${key} '${after[key]}'`,
    );
    await this.#host.dom0(commands.join(' && '));
  }

  #guest(slot: number): Guest {
    const guest = this.#guests.get(slot);
    if (guest === undefined) throw new Error(`there is no guest of ${nameOf(slot)}`);
    return guest;
  }
}

const restarts: Readonly<Record<string, string>> = {
  reload: 'systemctl reload vifd',
  restart: 'systemctl restart vifd',
  crash: `old=$(systemctl show -P MainPID vifd); systemctl reset-failed vifd; kill -KILL $old
    for i in {1..300}; do systemctl is-active -q vifd && [ "$(systemctl show -P MainPID vifd)" != $old ] && exit; sleep 0.2; done; exit 1`,
};

/** A command line that succeeds when a probe is answered. What must not be is asked once, what must be often. */
function commandOf({ kind, from, to, must }: Probe): string {
  if (kind === 'dhcp') {
    const [address, router] = to.split(' ');
    return `udhcpc -i eth0 -n -q -t 5 -T 2 -s /bin/true 2>&1 | grep -q "lease of ${address} obtained from ${router}"`;
  }
  const ping = `ping ${to.includes(':') ? '-6 ' : ''}-q -c ${must ? 3 : 1} -W ${must ? 5 : 2} ${from === undefined ? '' : `-I ${from} `}${to} >/dev/null`;
  return must ? `{ ${ping} || ${ping}; }` : ping;
}
