import type { Domnet } from '../support/net/domnet.js';
import { bridges } from '../support/net/guests.js';
import { exec, until } from '../support/process/exec.js';

/** The group of the netdevs (IFLA_GROUP), by which the kernel deletes them in one request. */
const group = 4711;
/** Domids that guests may have. */
const domids = { first: 100, last: 32_000 };

/** Guests that come and go in batches, a third each on a bridge, routed, and behind NAT; each has a domid of its own. */
export class Population {
  readonly #domnet: Domnet;
  readonly #peers: string;
  #last = domids.first - 1;

  private constructor(domnet: Domnet, peers: string) {
    this.#domnet = domnet;
    this.#peers = peers;
  }

  /** @param domnet with an uplink and a bridge */
  static async of(domnet: Domnet): Promise<Population> {
    return new Population(domnet, await domnet.guestNamespace(1));
  }

  /** What dom0 and netback do for guests that come; resolves when all are connected. @returns their domids */
  async come(count: number): Promise<number[]> {
    const ids = Array.from({ length: count }, () => this.#next());
    const links = ids.map(
      (domid) =>
        `link add vif${domid}.0 group ${group} address fe:ff:ff:ff:ff:ff type veth peer name eth${domid} netns ${this.#peers}`,
    );
    await exec('ip', ['-n', this.#domnet.namespace, '-batch', '-'], { input: links.join('\n') });
    await this.#domnet.xenstore.writeMany(ids.flatMap(keysOf));
    await this.#all(ids, (domid) => this.#read(domid, 'hotplug-status').then((text) => text === 'connected'));
    return ids;
  }

  /** What they do for all guests that there are, which go; resolves when vifd has deleted their directories. */
  async go(ids: readonly number[]): Promise<void> {
    const { xenstore } = this.#domnet;
    await xenstore.writeMany(
      ids.flatMap((domid) => [
        [`${backend(domid)}/online`, '0'],
        [`${backend(domid)}/state`, '6'],
      ]),
    );
    await this.#domnet.ip(`link delete group ${group}`);
    await this.#all(ids, async (domid) => !(await xenstore.exists(backend(domid))));
    const left = ids.flatMap((domid) => [`backend/vif/${domid}`, `/local/domain/${domid}`]);
    await xenstore.commit(left.map((path) => ({ op: 'rm', path })));
  }

  #next(): number {
    this.#last = this.#last === domids.last ? domids.first : this.#last + 1;
    return this.#last;
  }

  #read(domid: number, key: string): Promise<string> {
    return this.#domnet.xenstore.read(`${backend(domid)}/${key}`);
  }

  /** Waits until something holds of each guest; those of which it held are not asked again. */
  async #all(ids: readonly number[], holds: (domid: number) => Promise<boolean>): Promise<void> {
    let left = [...ids];
    const what = (): string => `${left.length} of ${ids.length} guests, vif${left[0]}.0 for one`;
    try {
      await until(
        'the guests',
        async () => {
          const answers = await Promise.all(left.map(holds));
          left = left.filter((_, i) => answers[i] !== true);
          return left.length === 0;
        },
        120_000,
      );
    } catch (error) {
      throw new Error(`${what()}: ${(error as Error).message}`);
    }
  }
}

const backend = (domid: number): string => `backend/vif/${domid}/0`;

/** The keys that libxl writes for a vif, with netback's state 2. */
function keysOf(domid: number): [path: string, value: string][] {
  const [high, low] = [domid >> 8, domid & 255];
  const frontend = `/local/domain/${domid}/device/vif/0`;
  const keys = {
    frontend,
    'frontend-id': `${domid}`,
    online: '1',
    mac: `00:16:3e:00:${high.toString(16).padStart(2, '0')}:${low.toString(16).padStart(2, '0')}`,
    handle: '0',
    type: 'vif',
    'hotplug-status': '',
    state: '2',
    ...[
      { script: '/etc/xen/scripts/vif-bridge', bridge: bridges.bridge, ip: `10.7.${high}.${low}` },
      { script: '/etc/xen/scripts/vif-route', ip: `198.18.${high}.${low}` },
      { script: '/etc/xen/scripts/vif-nat' },
    ][domid % 3],
  };
  return [
    [`${frontend}/backend`, `/local/domain/0/${backend(domid)}`],
    ...Object.entries(keys).map(([key, value]): [string, string] => [`${backend(domid)}/${key}`, value]),
  ];
}
