import type { Logger } from 'pino';
import { type Action, type ActionTable, byKind } from '../model/action.js';
import { type Dependency, type News, netdev } from '../model/dependency.js';
import { type ObservedState, type Traffic, vifOfLink } from '../model/observed.js';
import { ChangedMeanwhile, OperationError } from '../model/operation-error.js';
import type { DesiredScript } from '../model/script.js';
import { parseVifName, type VifId } from '../model/vif-id.js';
import { nameAction } from '../plan/print/print.js';
import type { HostPort } from '../reconcile/ports/ports.js';
import { dhcpDirectory, namedSetsFile } from '../runtime/runtime-dir.js';
import { Announcer } from './announcer.js';
import { Dnsmasq } from './dhcp/dnsmasq.js';
import { Resolvers } from './dhcp/resolvers.js';
import { Conntrack } from './netfilter/conntrack.js';
import { everyVif } from './netfilter/contents.js';
import type { Drops } from './netfilter/drops.js';
import { Firewall } from './netfilter/firewall.js';
import { NamedSetMirror } from './netfilter/named-sets.js';
import { NftTables } from './netfilter/tables.js';
import { Offloads } from './offload.js';
import { OpenVswitch } from './ovsdb/openvswitch.js';
import { errorCodes, type Parts, performers } from './performers.js';
import { type ScriptOptions, Scripts } from './process/scripts.js';
import { Links } from './rtnetlink/links.js';
import { readSysctlsOnce } from './sysctl.js';
import { readTraffic } from './traffic.js';

/** Is told what came, changed or went, and the names of the vifs that it belongs to. */
export type HostListener = (news: readonly News[], owners: readonly string[]) => void;

export interface HostOptions {
  /** Where Open vSwitch's database is; without it nothing is known of Open vSwitch. */
  readonly openvswitch?: { readonly database: string };
  /** How operators' scripts are run; without it none can be. */
  readonly scripts?: ScriptOptions;
  readonly log?: Logger;
  /** Whether to read the offloads of vifs, for which ethtool is run for each of them. */
  readonly offloads?: boolean;
  /** The administrator's sets that vifs may be elements of. */
  readonly sets?: readonly string[];
  /** Whether to run what serves the guests, which is the daemon's part. */
  readonly serves?: boolean;
}

/** The machine: what is on it, and the only way to change it. */
export class Host implements HostPort {
  readonly #parts: Parts;
  readonly #performers: ActionTable<Promise<void> | void>;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#performers = performers(parts);
  }

  /** @param listener told of every change on the host, ours included */
  static async open(listener: HostListener, options: HostOptions = {}): Promise<Host> {
    // What is open already is closed again when the rest cannot be opened: each attempt to reconnect would leave a thread.
    const opened: { close(): void }[] = [];
    try {
      return await Host.#open(listener, options, opened);
    } catch (error) {
      for (const part of opened) part.close();
      throw error;
    }
  }

  static async #open(
    listener: HostListener,
    { openvswitch, scripts, log, offloads: readsOffloads = false, sets = [], serves = false }: HostOptions,
    opened: { close(): void }[],
  ): Promise<Host> {
    const newsOf = (vif: string): News => (vif === everyVif ? { kind: 'anything' } : netdev(vif));
    const firewall = new Firewall(serves ? () => listener([{ kind: 'anything' }], []) : undefined, log);
    opened.push(firewall);
    await firewall.read();
    const namedSets = new NamedSetMirror(
      namedSetsFile(),
      serves ? (vif = everyVif) => listener([newsOf(vif)], []) : undefined,
      log,
    );
    opened.push(namedSets);
    await namedSets.follow(sets);
    const nft = await NftTables.open((vifs) => listener(vifs.map(newsOf), vifs), {
      serves,
      log,
      foreignChanged: () => {
        if (!serves) return;
        firewall.change();
        namedSets.change();
      },
    });
    opened.push(nft);
    const links = await Links.open(
      (news) => listener(news, []),
      (index) => nft.deviceGone(index),
      (error) => log?.error({ err: error }, 'network devices not read; tried again'),
    );
    opened.push(links);
    const offloads = new Offloads();
    if (readsOffloads) await offloads.read([...links.view.all()].filter(vifOfLink));
    const resolvers = new Resolvers();
    const dnsmasq = new Dnsmasq(dhcpDirectory(), log);
    opened.push(resolvers, dnsmasq);
    if (serves) {
      dnsmasq.serve();
      resolvers.follow(() => {
        dnsmasq.resolversChanged();
        listener([{ kind: 'anything' }], []);
      });
    }
    const database = openvswitch && new OpenVswitch(openvswitch.database, listener, log);
    if (database) opened.push(database);
    await database?.begin();
    return new Host({
      links,
      announcer: new Announcer(links, log),
      offloads,
      nft,
      namedSets,
      conntrack: new Conntrack(),
      firewall,
      serves,
      dnsmasq,
      resolvers,
      openvswitch: database,
      scripts: scripts && new Scripts(scripts),
    });
  }

  observe(): ObservedState {
    const { links, offloads, nft, namedSets, firewall, dnsmasq, resolvers, openvswitch, scripts } =
      this.#parts;
    return {
      links: links.view,
      nft: nft.view,
      namedSets,
      canFilter: nft.canFilter,
      ip: {
        routes: links.routes,
        sysctl: readSysctlsOnce(),
        masquerades: nft.view.masquerades,
        resolvers: resolvers.addresses,
        dhcp: dnsmasq.entries,
      },
      offloads: offloads.known,
      // Asked of routed vifs only: it reads /proc.
      get othersFilter() {
        return !firewall.isAlone;
      },
      ...(firewall.view && { firewall: firewall.view }),
      ...(openvswitch && { openvswitch }),
      ...(scripts && { scripts: scripts.runs }),
    };
  }

  /** Waits until every change of the links that was under way has been observed. */
  whenQuiet(): Promise<void> {
    return this.#parts.links.whenQuiet();
  }

  /** Has what a vif's netdev refused to the frontend before asked of it again. */
  frontendCame(id: VifId): void {
    const { links } = this.#parts;
    const link = links.view.ofVif(id);
    if (link !== undefined) links.askMtuAgain(link.index);
  }

  /** Reads again what is not announced, and has every vif looked at. */
  refresh(): Promise<void> {
    this.#parts.firewall.refresh();
    this.#parts.namedSets.refresh();
    this.#parts.resolvers.refresh();
    return this.#parts.links.refresh();
  }

  /** Writes again what has been deleted of the DHCP server's files. */
  keepFiles(): void {
    this.#parts.dnsmasq.keepFiles();
  }

  /** The vifs that something on the host belongs to, known to xenstore or not. */
  vifsWithState(): VifId[] {
    const { links, nft, namedSets, dnsmasq, openvswitch, scripts } = this.#parts;
    const names = [
      ...namedSets.owners(),
      ...[...(openvswitch?.ports() ?? [])].map(({ owner }) => owner),
      ...[...(openvswitch?.bridges() ?? [])].flatMap(({ notes = {} }) => Object.keys(notes)),
      ...(scripts?.runs.keys() ?? []),
      ...nft.view.owners(),
      ...links.routes.proxies().map(({ owner }) => owner),
      ...dnsmasq.entries.keys(),
    ];
    const ofNames = names.map((name) => parseVifName(name ?? ''));
    return [...[...links.view.all()].map(vifOfLink), ...ofNames].filter((id) => id !== undefined);
  }

  /** Follows these sets of the administrator's, and those that vifd has elements in, and no others. */
  followSets(sets: readonly string[]): Promise<void> {
    return this.#parts.namedSets.follow(sets);
  }

  /** What others have put into our tables of nf_tables, which is left as it is. */
  foreign(): string[] {
    return this.#parts.nft.foreign();
  }

  /** The packets that each vif's filter dropped, by the vif's name and the reason. */
  drops(): Promise<ReadonlyMap<string, Drops>> {
    return this.#parts.nft.drops();
  }

  /** Those of one vif; the kernel is asked for them alone. */
  dropsOf(vif: string): Promise<Drops | undefined> {
    return this.#parts.nft.dropsOf(vif);
  }

  /** Begins to look after what verdicts depend on, where that is not done all the time. */
  startWatching(dependsOn: readonly Dependency[]): void {
    if (dependsOn.some(({ kind }) => kind === 'openvswitch')) void this.#parts.openvswitch?.start();
  }

  /** @throws OperationError when an operator's script may not be run */
  async checkScript({ file }: DesiredScript): Promise<void> {
    await this.#parts.scripts?.trusted(file);
  }

  /** Performs one action. @throws OperationError */
  async perform(action: Action): Promise<void> {
    try {
      await byKind(this.#performers, action);
    } catch (error) {
      if (error instanceof OperationError || error instanceof ChangedMeanwhile) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new OperationError(errorCodes[action.kind], 'run', nameAction(action), reason, { waits: false });
    }
  }

  /** What the netdevs have counted, by their names; the kernel is asked for it. */
  traffic(): ReadonlyMap<string, Traffic> {
    return readTraffic();
  }

  /** What the netdev with this index has counted; the kernel is asked for it alone. */
  trafficOf(index: number): Promise<Traffic | undefined> {
    return this.#parts.links.traffic(index);
  }

  close(): void {
    const {
      links,
      announcer,
      nft,
      namedSets,
      conntrack,
      firewall,
      dnsmasq,
      resolvers,
      openvswitch,
      scripts,
    } = this.#parts;
    announcer.close();
    conntrack.close();
    resolvers.close();
    firewall.close();
    namedSets.close();
    dnsmasq.close();
    openvswitch?.close();
    scripts?.close();
    links.close();
    nft.close();
  }
}
