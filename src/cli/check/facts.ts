import type { Config } from '../../config/config.js';
import { setsNamed } from '../../decide/named-sets.js';
import { Blocks } from '../../host/blocks.js';
import { Host } from '../../host/host.js';
import { readRuleset } from '../../host/netfilter/ruleset.js';
import { readSupport } from '../../host/netfilter/support.js';
import { readSenders, type Senders } from '../../host/rtnetlink/senders.js';
import type { Block } from '../../model/block.js';
import type { LinkView, ObservedState } from '../../model/observed.js';
import type { VifId } from '../../model/vif-id.js';
import { blocksDirectory } from '../../runtime/runtime-dir.js';
import { observeNow } from '../plan-now.js';
import { readIngress } from './ahead.js';
import { answers, askXenstore, vifdAnswers, type XenstoreFacts } from './daemons.js';
import { exists, type Files, files, inPath, isExecutable, processes, read, sysctls } from './files.js';
import { type Stopped, stoppedVifs } from './firewalls.js';
import { type Listening, listeningSockets } from './listening.js';
import { stalledQueues } from './rings.js';
import type { IngressQdisc, IpLink, WayFacts } from './way/facts.js';
import { jsonOf } from './way/run.js';

/** The state of the machine that `vifd check` judges. The text of an absent file is undefined. */
export interface Facts {
  readonly xenstore: XenstoreFacts;
  readonly links: LinkView;
  /** All that a decision about a vif depends on; absent where there is nothing but links. */
  readonly observed?: ObservedState;
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
  /** Absent where no port is forwarded, so that nothing depends on them. */
  readonly listening?: readonly Listening[];
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

/** Reads the state of the machine; changes nothing. */
export async function gatherFacts(config: Config): Promise<Facts> {
  const { openvswitch } = config;
  const host = await Host.open(() => undefined, { openvswitch, sets: setsNamed(config) });
  try {
    const observed = observeNow(host);
    const { links, ip, openvswitch: ovs } = observed;
    const xenstore = await askXenstore(config);
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
      observed,
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
      nft: (await readSupport()).whyNotFilter,
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
      ...(config.forwards.length === 0 ? {} : { listening: listeningSockets() }),
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
