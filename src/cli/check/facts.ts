import { accessSync, constants, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { Xenstore } from 'node-xenstore';
import type { Config } from '../../config/config.js';
import { Blocks } from '../../host/blocks.js';
import { Host } from '../../host/host.js';
import { readRuleset } from '../../host/netfilter/ruleset.js';
import { whyNotNft } from '../../host/netfilter/why-not.js';
import { recordedRuns } from '../../host/process/scripts.js';
import { readSenders, type Senders } from '../../host/rtnetlink/senders.js';
import type { Block } from '../../model/block.js';
import type { LinkView } from '../../model/observed.js';
import type { VifSnapshot } from '../../model/snapshot.js';
import type { VifId } from '../../model/vif-id.js';
import { blocksDirectory, controlSocket } from '../../runtime/runtime-dir.js';
import { Backend } from '../../xenstore/backend.js';
import { readIngress } from './ahead.js';
import { type Stopped, stoppedVifs } from './firewalls.js';
import type { IngressQdisc, IpLink, WayFacts } from './way/facts.js';
import { jsonOf } from './way/run.js';

/** In ms: how long xenstored may take to answer, and the pause between two readings of netback's queues. */
const timeouts = { xenstore: 3000, ring: 300 };

/** The state of the machine that `vifd check` judges. The text of an absent file is undefined. */
export interface Facts {
  /** This domain's id and its vifs; or the reason why xenstore did not answer. */
  readonly xenstore:
    | { readonly domid: number; readonly vifs: readonly VifSnapshot[] }
    | { readonly reason: string };
  readonly links: LinkView;
  /** The devices with all their addresses, those that the kernel makes by itself included. */
  readonly devices?: readonly IpLink[];
  readonly ingress?: readonly IngressQdisc[];
  /** What of other programs' filters, which are `rules`, stops vifs. */
  readonly stopped?: readonly Stopped[];
  readonly rules?: Pick<WayFacts, 'ruleset' | 'unreadLegacy'>;
  /** The bridges of Open vSwitch, with the names of their ports. */
  readonly switches?: readonly { readonly bridge: string; readonly ports: readonly string[] }[];
  /** What was learned of the hosts around, guests included. */
  readonly senders: Senders;
  /** The vifs that have state on this host, such as a netdev, a route or a filter. */
  readonly vifsWithState: readonly VifId[];
  /** The blocked vifs, by what they are remembered by. */
  readonly blocks?: ReadonlyMap<string, Block>;
  readonly netback: boolean;
  /** Command lines of running processes. */
  readonly processes: readonly string[];
  /** Names and texts of the files by which another program may configure a vif's interface. */
  readonly files: { readonly udev: Files; readonly networkd: Files; readonly networkManager: Files };
  readonly networkdRuns: boolean;
  readonly networkManagerRuns: boolean;
  /** Whether the daemon runs. */
  readonly vifd: boolean;
  /** Why filters cannot be installed; undefined when they can. */
  readonly nft: string | undefined;
  /** Devices that do not forward IPv4, and the one the default route leads through. */
  readonly forwarding: { readonly off: ReadonlySet<string>; readonly uplink: string | undefined };
  /** Values by name, as sysctl(8) has it. */
  readonly sysctls: Readonly<Record<string, string | undefined>>;
  readonly programs: { readonly dnsmasq: boolean };
  /** The hooks that the stock scripts source at their end (call_hooks in xen-hotplug-common.sh). */
  readonly postHooks?: readonly string[];
  readonly openvswitch: boolean;
  /** Queues of netback in which packets wait and none was consumed between two readings; undefined without debugfs. */
  readonly stalled: readonly string[] | undefined;
}

export type Files = readonly { readonly path: string; readonly text: string }[];

/** Reads the state of the machine; changes nothing. */
export async function gatherFacts(config: Config): Promise<Facts> {
  const { openvswitch } = config;
  const host = await Host.open(() => undefined, { openvswitch });
  try {
    const observed = { ...host.observe(), scripts: recordedRuns() };
    const { links, ip, openvswitch: ovs } = observed;
    const xenstore = await askXenstore();
    const rules = await readRuleset();
    const uplink = ip?.routes.defaultDevice(4);
    return {
      xenstore,
      stopped:
        'reason' in xenstore || 'reason' in rules
          ? []
          : stoppedVifs(xenstore.vifs, config, observed, rules.ruleset),
      rules: 'reason' in rules ? { ruleset: rules, unreadLegacy: [] } : rules,
      links,
      devices: await jsonOf<IpLink>('ip', ['-d', '-j', 'address', 'show']),
      ingress: await readIngress(),
      switches: [...(ovs?.bridges() ?? [])]
        .filter(({ name, parent }) => name === parent)
        .map(({ name: bridge }) => ({
          bridge,
          ports: [...(ovs?.ports() ?? [])].filter((port) => port.bridge === bridge).map(({ name }) => name),
        })),
      senders: await readSenders(),
      vifd: await vifdAnswers(),
      nft: whyNotNft(),
      forwarding: {
        off: new Set(
          [...links.all()]
            .map(({ name }) => name)
            .filter((name) => read(`/proc/sys/net/ipv4/conf/${name}/forwarding`)?.trim() === '0'),
        ),
        uplink: uplink === undefined ? undefined : links.byIndex(uplink)?.name,
      },
      blocks: Blocks.open(blocksDirectory()).all(),
      vifsWithState: host.vifsWithState(),
      netback: exists('/sys/module/xen_netback') || exists('/sys/bus/xen-backend/drivers/vif'),
      processes: processes(),
      files: {
        udev: files(['/etc/udev/rules.d', '/run/udev/rules.d', '/usr/lib/udev/rules.d'], '.rules'),
        networkd: files(
          ['/etc/systemd/network', '/run/systemd/network', '/usr/lib/systemd/network'],
          '.network',
        ),
        networkManager: files(
          [
            '/etc/NetworkManager',
            '/etc/NetworkManager/conf.d',
            '/run/NetworkManager/conf.d',
            '/usr/lib/NetworkManager/conf.d',
          ],
          '.conf',
        ),
      },
      networkdRuns: exists('/run/systemd/netif/state'),
      networkManagerRuns:
        exists('/run/NetworkManager/NetworkManager.pid') || exists('/run/NetworkManager/devices'),
      sysctls: sysctls([
        'net.bridge.bridge-nf-call-iptables',
        'net.bridge.bridge-nf-call-ip6tables',
        'net.ipv6.conf.all.disable_ipv6',
        'net.ipv6.conf.all.forwarding',
      ]),
      programs: { dnsmasq: inPath('dnsmasq') },
      postHooks: files(['/etc/xen/scripts/vif-post.d'], '.hook')
        .map(({ path }) => path)
        .filter(isExecutable),
      openvswitch: await answers(openvswitch.database.replace(/^unix:/, '')),
      stalled: await stalledQueues(),
    };
  } finally {
    host.close();
  }
}

async function askXenstore(): Promise<Facts['xenstore']> {
  const late = new Promise<never>((_, reject) => {
    setTimeout(
      () => reject(new Error(`no answer in ${timeouts.xenstore / 1000} s`)),
      timeouts.xenstore,
    ).unref();
  });
  try {
    const xenstore = await Promise.race([Xenstore.open(), late]);
    try {
      return await Promise.race([readVifs(new Backend(xenstore)), late]);
    } finally {
      await xenstore.close();
    }
  } catch (error) {
    return { reason: error instanceof Error ? error.message : String(error) };
  }
}

async function readVifs(backend: Backend): Promise<{ domid: number; vifs: VifSnapshot[] }> {
  const snapshots = await Promise.all((await backend.list()).map((id) => backend.read(id)));
  return { domid: await backend.domid(), vifs: snapshots.filter((one) => one !== undefined) };
}

function exists(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** The files of these directories; of files of one name the first directory's is used, as systemd does. */
function files(directories: readonly string[], suffix: string): Files {
  const found = new Map<string, { path: string; text: string }>();
  for (const directory of directories) {
    for (const name of list(directory).filter((one) => one.endsWith(suffix) && !found.has(one))) {
      found.set(name, { path: join(directory, name), text: read(join(directory, name)) ?? '' });
    }
  }
  return [...found.values()];
}

const processes = (): string[] =>
  list('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => (read(`/proc/${pid}/cmdline`) ?? '').replaceAll('\0', ' ').trim())
    .filter(Boolean);

const sysctls = (names: readonly string[]): Record<string, string | undefined> =>
  Object.fromEntries(names.map((name) => [name, read(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim()]));

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function inPath(program: string): boolean {
  // A service's PATH often lacks sbin.
  return [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'].some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Whether the daemon runs. */
export const vifdAnswers = (): Promise<boolean> => answers(controlSocket());

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    const end = (result: boolean): void => {
      socket.destroy();
      resolve(result);
    };
    socket
      .once('connect', () => end(true))
      .once('error', () => end(false))
      .setTimeout(1000, () => end(false));
  });
}

/** netback's queues in debugfs (`xenvif_read_io_ring`): the request counters of the guest and of netback. */
const rings = (): Map<string, { produced: number; consumed: number }> => {
  const root = '/sys/kernel/debug/xen-netback';
  const found = new Map<string, { produced: number; consumed: number }>();
  for (const vif of list(root)) {
    for (const queue of list(join(root, vif)).filter((name) => name.startsWith('io_ring'))) {
      const match = /TX:.*?req prod (\d+).*?cons (\d+)/s.exec(read(join(root, vif, queue)) ?? '');
      if (match) found.set(`${vif} ${queue}`, { produced: Number(match[1]), consumed: Number(match[2]) });
    }
  }
  return found;
};

async function stalledQueues(): Promise<string[] | undefined> {
  if (!exists('/sys/kernel/debug/xen-netback')) return undefined;
  const before = rings();
  if (before.size === 0) return [];
  await new Promise((resolve) => setTimeout(resolve, timeouts.ring));
  const after = rings();
  return [...before]
    .filter(
      ([queue, { produced, consumed }]) => produced !== consumed && after.get(queue)?.consumed === consumed,
    )
    .map(([queue]) => queue);
}
