import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Agent, write } from './agents.js';
import { Guest, type GuestOptions } from './guest.js';
import { Journal } from './journal.js';
import { rig } from './rig.js';
import { Store } from './store.js';

/*
 * The Xen host that scenarios run on: commands in dom0, domnet and the guests, and two followers, of xenstore and of
 * domnet's journal. Neither depends on the agent.
 */

/** A vif for xl, with the keys that all vifs have; one that is routed has no bridge. */
function vifSpec(vif: string, address: string): string {
  const given = vif.split(/,\s*/).filter((part) => part !== '');
  const has = (key: string) => given.some((part) => part.startsWith(`${key}=`));
  if (!has('bridge') && !/script=vif-(route|nat)/.test(vif)) given.push('bridge=xenbr0');
  if (!has('backend')) given.push('backend=domnet');
  return given.join(',').replace('@', address);
}

/** A Xen host with an agent in its driver domain. */
export class XenHost {
  readonly store = new Store();
  #journal = new Journal();
  readonly agent: Agent;
  domnetId = 0;
  #guests = 0;
  #resident: Guest | undefined;
  /** Whether there may be guests or vifs to end. */
  #inUse = true;
  #configured = false;
  #marks = 0;
  /** How many entries of the journal have been checked for complaints of the agent, and of the kernel. */
  #heard = 0;
  #kernelHeard = 0;
  readonly #left: string[] = [];

  private constructor(agent: Agent) {
    this.agent = agent;
  }

  /**
   * A host with `agent` running in domnet, no other agent, and no guest but the resident.
   * @param prepare installs the agent; the resident boots meanwhile
   */
  static async open(agent: Agent, prepare?: () => Promise<void>): Promise<XenHost> {
    const host = new XenHost(agent);
    try {
      await host.findDomnet();
      await host.endGuests();
      if (prepare !== undefined) await Promise.all([prepare(), host.resident([])]);
      await host.clean();
    } catch (error) {
      // What follows a domain would keep the event loop from its end.
      host.close();
      throw error;
    }
    host.kernelTrouble();
    return host;
  }

  close(): void {
    this.store.close();
    this.#journal.close();
  }

  dom0(command: string): Promise<string> {
    return rig(['dom0', command]);
  }

  domnet(command: string): Promise<string> {
    return rig(['domnet', command]);
  }

  async findDomnet(): Promise<void> {
    this.domnetId = Number(await this.dom0('xl domid domnet'));
  }

  /** Waits for the domnet that comes after the one with the id `old`. What watched that one ended with it. */
  async domnetIsBack(old: number): Promise<void> {
    await this.dom0(
      `for i in {1..300}; do id=$(xl domid domnet 2>/dev/null); [ "\${id:-${old}}" != ${old} ] && exit; sleep 0.5; done; exit 1`,
    ).catch(() => Promise.reject(new Error('domnet was not started again')));
    await this.findDomnet();
    this.#journal.close();
    for (const end = Date.now() + 600_000; ; ) {
      const up = await rig(['domnet', 'systemctl is-system-running --wait; true']).catch(() => undefined);
      if (up !== undefined) break;
      if (Date.now() > end) throw new Error('domnet did not come back');
      await sleep(1000);
    }
    this.#journal = new Journal();
    this.#heard = 0;
    this.#kernelHeard = 0;
  }

  /** Installs in dom0 what plugs vifs in again, as its documentation says, and starts it. */
  async startReconnect(): Promise<void> {
    const from = (name: string) => readFileSync(new URL(`../../systemd/dom0/${name}`, import.meta.url));
    const [program, unit] = ['vifd-dom0-reconnect', 'vifd-dom0-reconnect.service'];
    await write(`/usr/local/bin/${program}`, from(program), 'dom0');
    await write(`/etc/systemd/system/${unit}`, from(unit), 'dom0');
    await this.dom0(
      `chmod 755 /usr/local/bin/${program}; systemctl daemon-reload; systemctl restart ${unit}; date +%s >/run/reconnect.since`,
    );
  }

  async stopReconnect(): Promise<void> {
    await this.dom0('systemctl stop vifd-dom0-reconnect');
  }

  /** What it has written to the journal since it was started, each line with its time in front. */
  async reconnectJournal(): Promise<string[]> {
    const said = await this.dom0(
      'journalctl --sync; journalctl -u vifd-dom0-reconnect -o short-unix --no-pager --since @$(cat /run/reconnect.since)',
    );
    return said.split('\n');
  }

  /** vifd's configuration, until the end of the scenario, applied by a reload. */
  async configure(toml: string): Promise<void> {
    this.#configured = true;
    await this.domnet(
      `cd /etc/vifd; [ -e rig.orig ] || cp vifd.toml rig.orig; cat >vifd.toml <<'END'\n${toml}\nEND\nsystemctl reload vifd`,
    );
  }

  /**
   * Boots a guest, and returns when `xl create` does. Its vifs are on xenbr0 unless they say otherwise; an `@` in one is
   * the guest's address on it.
   */
  async guest(options: GuestOptions = {}): Promise<Guest> {
    this.#inUse = true;
    const guest = new Guest(this, ++this.#guests);
    const vifs = (options.vifs ?? ['']).map((vif, devid) => vifSpec(vif, guest.address(devid)));
    const domid = await rig(['mkguest', guest.name, ...vifs], {
      GUEST_ADDRESS: guest.address(0),
      GUEST_MEMORY: `${options.memory ?? 160}`,
      GUEST_TYPE: options.type ?? 'pv',
      GUEST_PAUSED: options.paused ? '-p' : '',
      GUEST_SYSTEM: options.system ?? '',
    });
    guest.domid = Number(domid);
    return guest;
  }

  /**
   * The guest that is kept between scenarios, with these vifs attached: hot-plugging takes a fifth of the time of a boot.
   */
  async resident(vifs: readonly string[] = ['']): Promise<Guest> {
    if (this.#resident === undefined) {
      this.#resident = await this.guest({ vifs: [] });
      await this.#resident.run('true');
    }
    for (const [devid, vif] of vifs.entries()) await this.attach(this.#resident, vif, devid);
    return this.#resident;
  }

  /** Attaches the guest's vif `devid` by `xl network-attach`, which takes words where xl.cfg has commas. */
  async attach(guest: Guest, vif = '', devid = 0): Promise<void> {
    this.#inUse = true;
    const words = vifSpec(vif, guest.address(devid)).split(',');
    const attach = `xl network-attach ${guest.name} ${words.map((word) => `'${word}'`).join(' ')}`;
    // libxl gives netback ten seconds, which an emulated host that shares its machine may not have; it takes back what it did.
    await this.dom0(
      `for i in 1 2 3; do said=$(${attach} 2>&1) && exit; grep -q 'rc -9' <<<"$said" || break; done; echo "$said" >&2; exit 1`,
    );
  }

  /** Calls `look` until it returns a value, and returns that; fails with `what` when it never does. */
  async until<T>(what: string, look: () => T | undefined | false, timeoutMs = 60_000): Promise<T> {
    for (const end = Date.now() + timeoutMs; ; ) {
      const found = look();
      if (found !== undefined && found !== false) return found;
      if (Date.now() > end) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`);
      await sleep(20);
    }
  }

  /** Asks until the answer is `wanted`; fails with the last one when it never is. */
  async becomes<T>(what: string, wanted: T, ask: () => Promise<T>, timeoutMs = 60_000): Promise<void> {
    for (const end = Date.now() + timeoutMs; ; await sleep(200)) {
      const found = await ask();
      if (found === wanted) return;
      if (Date.now() > end)
        throw new Error(`${what} is ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`);
    }
  }

  /** The control group of the agent's unit, in domnet. */
  get cgroup(): string {
    return `/sys/fs/cgroup/system.slice/${this.agent.unit}`;
  }

  /** The problems that the agent's unit has written to the journal since the last call. */
  async complaints(): Promise<string[]> {
    const mark = this.#mark();
    await this.domnet(Journal.sync(mark));
    return await this.#complaintsUntil(mark);
  }

  async #complaintsUntil(mark: string): Promise<string[]> {
    const { entries } = this.#journal;
    await this.until('the journal', () => entries.some(({ message }) => message === mark));
    const { unit, complains } = this.agent;
    const heard = entries.slice(this.#heard).filter((entry) => entry.unit === unit);
    this.#heard = entries.length;
    return heard.filter((entry) => complains(entry.message, entry.priority)).map(({ message }) => message);
  }

  #mark = () => `mark-${process.pid}-${++this.#marks}`;

  /** Bugs and warnings of domnet's kernel in the entries that `complaints` has read. */
  kernelTrouble(): string[] {
    const heard = this.#journal.entries.slice(this.#kernelHeard, this.#heard);
    this.#kernelHeard = this.#heard;
    return heard.map(({ message }) => message).filter((text) => /BUG:|Oops|Call Trace|WARNING:/.test(text));
  }

  /** The messages in domnet's journal and kernel log that match, since `complaints` was called last. */
  heard(pattern: RegExp): string[] {
    const since = this.#journal.entries.slice(this.#heard);
    return since.map(({ message }) => message).filter((message) => pattern.test(message));
  }

  /** Waits for a matching message in domnet's journal since `complaints` was called last. */
  told(pattern: RegExp): Promise<string> {
    return this.until(`the journal to say ${pattern}`, () => this.heard(pattern)[0]);
  }

  /** The time in seconds of the clock that all domains share. */
  async now(): Promise<number> {
    return Number(await this.domnet('date +%s.%N'));
  }

  /**
   * Ends all guests, removes what the last scenario left, and starts the agent if it does not run.
   * @param spoilt whether the resident must not be used by another scenario
   * @returns objects that should not have been left, and the agent's complaints, as text
   */
  async clean(spoilt = false): Promise<{ left: string[]; complaints: string[] }> {
    if (spoilt) {
      this.#resident = undefined;
      this.#inUse = true;
    }
    await this.endGuests();
    const restore = this.#configured
      ? 'cd /etc/vifd; mv rig.orig vifd.toml; systemctl reload vifd || systemctl start vifd'
      : ':';
    this.#configured = false;
    const mark = this.#mark();
    const links = await this.domnet(`${restore}
      ip -br link show | awk '$1 !~ /^(lo|eth0|xenbr0|ovs-system)$/ { print $1 }' | while read -r link; do echo $link; ip link del $link; done 2>/dev/null
      ${this.#scriptsEnd}; ${this.agent.start}; ${Journal.sync(mark)}`);
    return {
      left: [...this.#left.splice(0), ...words(links)],
      complaints: await this.#complaintsUntil(mark),
    };
  }

  /** Waits until the agent's scripts have ended. */
  async scriptsEnded(): Promise<void> {
    await this.domnet(this.#scriptsEnd);
  }

  get #scriptsEnd(): string {
    return `for i in {1..100}; do [ "$(wc -l <${this.cgroup}/cgroup.procs)" -gt 1 ] || break; sleep 0.3; done`;
  }

  /**
   * Ends all guests but the resident, whose vifs are detached. The next `clean` reports those that xenstore still has
   * afterwards.
   */
  async endGuests(): Promise<void> {
    if (!this.#inUse) return;
    this.#inUse = false;
    const backends = `/local/domain/${this.domnetId}/backend`;
    const stays = this.#resident?.name ?? 'none';
    const said = await this.dom0(`
        guests=$(xl list | awk 'NR > 1 && $2 > 0 && $1 != "domnet" { print $1, $2 }')
        for id in $(awk '$1 != "${stays}" { print $2 }' <<<"$guests"); do xl destroy $id >/dev/null 2>&1 & done; wait
        grep -q '^${stays} ' <<<"$guests" || gone=gone
        for n in $(xl network-list ${stays} 2>/dev/null | awk 'NR > 1 { print $1 }'); do
          xl network-detach ${stays} $n >/dev/null 2>&1 || { xl destroy ${stays}; gone=gone; break; }
        done
        for i in {1..5}; do left=$(xenstore-ls -f ${backends} 2>/dev/null | grep -oE '/vif/[0-9]+/[0-9]+ ') || break; sleep 0.2; done
        echo "$left $gone"; xenstore-rm ${backends} 2>/dev/null || :`);
    const left = words(said);
    if (left.at(-1) === 'gone') {
      left.pop();
      this.#resident = undefined;
    }
    this.#left.push(...left);
  }
}

const words = (text: string) => text.split(/\s+/).filter((word) => word !== '');
