import {
  chmodSync,
  copyFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';
import { childrenOf, processesWith, wordsOf } from '../../support/process/processes.js';

let domnet: Domnet;
let clients: Client[];

beforeEach(async () => {
  domnet = await Domnet.start();
  // dnsmasq, which gives up root, reads below it.
  chmodSync(domnet.dir, 0o755);
  clients = [];
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.stop()));
  await domnet.stop();
});

/** A DHCP client that runs in a guest until the end of the test. */
class Client {
  readonly #client: Background;

  private constructor(client: Background) {
    this.#client = client;
  }

  /** Resolves when it has its lease. */
  static async in(vif: Vif): Promise<Client> {
    const script = `${domnet.dir}/udhcpc`;
    writeFileSync(
      script,
      `#!/bin/sh
[ "$1" != bound ] || ip address add "$ip/$mask" dev "$interface"
echo "$1 $ip"
`,
      { mode: 0o755 },
    );
    const words = ['busybox', 'udhcpc', '-i', 'eth0', '-f', '-t', '3', '-T', '1', '-A', '1', '-s', script];
    const guest = await domnet.guestNamespace(vif.domid);
    const client = new Client(new Background('ip', ['netns', 'exec', guest, ...words]));
    clients.push(client);
    await until(`a lease of ${vif.name}`, () => client.#said('bound').length > 0, 20_000);
    return client;
  }

  get address(): string | undefined {
    return this.#said('bound').at(-1);
  }

  /** Asks the server for its lease again, and resolves with the address when that has agreed. */
  async renew(): Promise<string | undefined> {
    const before = this.#said('renew').length;
    const answered = (): boolean => this.#said('renew').length > before;
    // It asks once, and a server that has just been started may not listen yet.
    await until('a renewal', async () => {
      this.#client.signal('SIGUSR1');
      return await until('an answer', answered, 500).catch(() => false);
    });
    return this.#said('renew').at(-1);
  }

  async stop(): Promise<void> {
    await this.#client.stop('SIGKILL');
  }

  #said(what: string): string[] {
    return this.#client.lines
      .filter((line) => line.startsWith(`${what} `))
      .map((line) => line.slice(what.length + 1));
  }
}

const config = '[nat]\ndhcp = "dnsmasq"\n';
/** It looks after its files three times a second. */
const watched = { WATCHDOG_USEC: '1000000' };

const plug = async (domid: number, keys: Record<string, string> = {}): Promise<Vif> => {
  const vif = await domnet.plug({ domid, keys: { script: 'vif-nat', bridge: undefined, ...keys } });
  await vif.connected();
  return vif;
};

/** The dnsmasq that run with this configuration; not a shell that is about to become one. */
const servers = (): number[] =>
  processesWith(`--conf-file=${domnet.dir}/dhcp/dnsmasq.conf`).filter((pid) => wordsOf(pid)[0] === 'dnsmasq');

/** Waits for exactly one, and that it is not one of these. @returns its pid */
const oneServer = (but: readonly number[] = [], timeoutMs = 1000): Promise<number> =>
  until(
    'exactly one dnsmasq',
    () => {
      const [pid, ...more] = servers();
      return more.length === 0 && pid !== undefined && !but.includes(pid) && pid;
    },
    timeoutMs,
  );

const gone = (what: string, pid: number): Promise<unknown> =>
  until(`the end of ${what}`, () => wordsOf(pid).length === 0, 1000);

const guardOf = (vifd: Vifd): number => {
  const guards = childrenOf(vifd.pid).filter((pid) => wordsOf(pid).includes('vifd-guard'));
  expect(guards).toHaveLength(1);
  return guards[0] as number;
};

async function twoGuests(): Promise<void> {
  const vifs = [await plug(5), await plug(6)];
  const [one, two] = await Promise.all(vifs.map((vif) => Client.in(vif)));
  expect([one?.address, two?.address]).toEqual(['10.0.5.1', '10.0.6.1']);
}

const renewed = async (): Promise<void> => {
  expect(await Promise.all(clients.map((client) => client.renew()))).toEqual(
    clients.map(({ address }) => address),
  );
};

test('it ends with a daemon that is killed, and the next daemon has exactly one', async () => {
  const first = await domnet.vifd({ config });
  await twoGuests();
  const before = await oneServer();
  await first.kill();
  await gone('dnsmasq', before);
  expect(servers()).toEqual([]);
  await domnet.vifd({ config });
  await oneServer([before], 5000);
  await renewed();
});

test('one that a daemon has left is ended by the next, also when there is nothing to serve', async () => {
  const first = await domnet.vifd({ config });
  await twoGuests();
  const before = await oneServer();
  const guard = guardOf(first);
  first.suspend();
  process.kill(guard, 'SIGKILL');
  await gone('the guard', guard);
  await first.kill();
  expect(servers()).toEqual([before]);
  const second = await domnet.vifd({ config });
  await gone('the old dnsmasq', before);
  const after = await oneServer([before]);
  await renewed();

  const another = guardOf(second);
  second.suspend();
  process.kill(another, 'SIGKILL');
  await gone('the guard', another);
  await second.kill();
  expect(servers()).toEqual([after]);
  await domnet.xenstore.rm('backend');
  for (const name of ['vif5.0', 'vif6.0']) await domnet.ip(`link delete ${name}`);
  await domnet.vifd({ config });
  await until('the end of dnsmasq', () => servers().length === 0);
});

/** Has the address of a NAT guest's router and port 53 of it, and sockets that take the kernel some time each to close. */
const slow = `
use Socket;
$| = 1;
socket(my $dns, AF_INET, SOCK_DGRAM, 0) or die;
bind($dns, pack_sockaddr_in(53, inet_aton("10.0.5.128"))) or die;
my @packets = map { socket(my $packet, 17, SOCK_RAW, 0) or die; $packet } 1 .. 20;
print "ready\\n";
sleep;
`;

test('one that takes its time to end is waited for', async () => {
  const first = await domnet.vifd({ config });
  for (const domid of [5, 6]) await plug(domid);
  const before = await oneServer();
  await first.terminate();
  await gone('dnsmasq', before);
  copyFileSync('/usr/bin/perl', `${domnet.dir}/dnsmasq`);
  chmodSync(`${domnet.dir}/dnsmasq`, 0o755);
  const words = ['-e', slow, '--', `--conf-file=${domnet.dir}/dhcp/dnsmasq.conf`];
  const left = new Background('ip', ['netns', 'exec', domnet.namespace, `${domnet.dir}/dnsmasq`, ...words]);
  domnet.atEnd(() => left.stop());
  await until('the one that is left', () => left.lines.includes('ready'));
  const second = await domnet.vifd({ config: `${config}[log]\nlevel = "debug"\n` });
  await until('a server that serves', () =>
    second.log.some(({ line }) => /started, version/.test(`${line}`)),
  );
  await oneServer([left.pid]);
  expect(second.log.filter(({ msg }) => msg === 'dnsmasq ended')).toEqual([]);
  expect(second.log.some(({ msg }) => msg === 'dnsmasq of another vifd ended')).toBe(true);
});

test('a guard that is killed is replaced, and knows of what ran before', async () => {
  const vifd = await domnet.vifd({ config });
  await twoGuests();
  const server = await oneServer();
  const guard = guardOf(vifd);
  process.kill(guard, 'SIGKILL');
  await until('another guard', () =>
    childrenOf(vifd.pid).some((pid) => pid !== guard && wordsOf(pid).includes('vifd-guard')),
  );
  await vifd.kill();
  await gone('dnsmasq', server);
});

test('it ends with a daemon that is stopped, also one that is about to start it', async () => {
  const first = await domnet.vifd({ config });
  await twoGuests();
  const server = await oneServer();
  expect(await first.terminate()).toBe(0);
  await gone('dnsmasq', server);
  for (let i = 0; i < 5; i++) {
    const vifd = await domnet.vifd({ config });
    expect(await vifd.terminate()).toBe(0);
    await until('none', () => servers().length === 0, 1000);
  }
});

test('killed by hand, by any signal and again and again, it is back within a second', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  let server = await oneServer();
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const) {
    // A second one that dies at once is waited for longer: what does not last is not worth a processor.
    const lasted = Number(statSync(`/proc/${server}`).ctimeMs) + 1100;
    await until('it to have lasted', () => Date.now() > lasted);
    process.kill(server, signal);
    server = await oneServer([server]);
    await renewed();
  }
});

test('one that hangs is killed when the next vif needs another, and all guests have their leases', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  const hanging = await oneServer();
  process.kill(hanging, 'SIGSTOP');
  // dnsmasq takes a new file by itself, and is told of an entry that goes.
  const third = await plug(7);
  await third.unplug();
  await oneServer([hanging], 5000);
  await renewed();
});

test('vifs that come and go quickly: one dnsmasq, and every guest that stays has its lease', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  const domids = Array.from({ length: 6 }, (_, i) => 10 + i);
  for (let round = 0; round < 2; round++) {
    const vifs = await Promise.all(domids.map((domid) => plug(domid)));
    // While some go, another comes.
    const [late] = await Promise.all([plug(20 + round), ...vifs.map((vif) => vif.unplug())]);
    await Client.in(late);
    expect(servers().length).toBeLessThanOrEqual(1);
  }
  await oneServer();
  await renewed();
  expect(readdirSync(`${domnet.dir}/dhcp/hosts`).sort()).toEqual(['vif20.0', 'vif21.0', 'vif5.0', 'vif6.0']);
  expect(readdirSync(`${domnet.dir}/dhcp/options`).sort()).toEqual([
    'vif20.0',
    'vif21.0',
    'vif5.0',
    'vif6.0',
  ]);
});

test('its files deleted by hand: written again, and the next guests have their leases as well', async () => {
  const vifd = await domnet.vifd({ config, env: watched });
  await twoGuests();
  const before = await oneServer();
  rmSync(join(domnet.dir, 'dhcp'), { recursive: true });
  expect(await vifd.logged('DHCP files lost, written again')).toMatchObject({ vifs: ['vif5.0', 'vif6.0'] });
  await oneServer([before]);
  const third = await Client.in(await plug(7));
  expect(third.address).toBe('10.0.7.1');
  await renewed();
  const now = await oneServer();
  rmSync(join(domnet.dir, 'dhcp/hosts/vif6.0'));
  await until('its file', () => existsSync(join(domnet.dir, 'dhcp/hosts/vif6.0')), 1000);
  await oneServer([now]);
  await renewed();
});

test('a lease leaves what vifd has set for a guest as it is', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  // What dnsmasq sends to an address that its guest has yet to take needs a neighbour; by SIOCSARP that would be its own.
  const permanent = await domnet.ip('neighbour show nud permanent');
  expect(permanent.match(/^10\.0\.\d\.1/gm)?.sort()).toEqual(['10.0.5.1', '10.0.6.1']);
});

test('a vif that goes costs the others no restart, and leaves its name and its address to others', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  const goes = async (vif: Vif): Promise<void> => {
    await clients.pop()?.stop();
    await vif.unplug();
    await renewed();
  };
  const first = await plug(7);
  await Client.in(first);
  const server = await oneServer();
  // One that has just been started is left alone for a moment.
  const grown = Number(statSync(`/proc/${server}`).ctimeMs) + 600;
  await until('it to have grown up', () => Date.now() > grown);
  await goes(first);
  const second = await plug(7, { ip: '10.9.0.7' });
  expect((await Client.in(second)).address).toBe('10.9.0.7');
  const mac = (await second.read('mac')) as string;
  await goes(second);
  // A guest that is started anew has another vif. dnsmasq takes no second entry for an address.
  const same = await plug(8, { ip: '10.9.0.7', mac });
  expect((await Client.in(same)).address).toBe('10.9.0.7');
  expect(servers()).toEqual([server]);
  await goes(same);
  expect(servers()).toEqual([server]);
  // dnsmasq remembers the lease of another MAC, and would give the address to no other.
  const third = await plug(9, { ip: '10.9.0.7' });
  expect((await Client.in(third)).address).toBe('10.9.0.7');
  await oneServer([server]);
  await renewed();
});

test('what is kept of a vif that has gone goes, and what is kept of another is not written', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  const file = (kind: string, vif: string) => `${domnet.dir}/dhcp/${kind}/${vif}`;
  const ofFive = () =>
    ['hosts', 'options'].map((kind) => {
      const { ino, mtimeMs } = statSync(file(kind, 'vif5.0'));
      return [ino, mtimeMs, readFileSync(file(kind, 'vif5.0'), 'utf8')];
    });
  const before = ofFive();
  const six = clients.pop();
  await six?.stop();
  await domnet.ip('link delete vif6.0');
  await domnet.xenstore.rm('backend/vif/6');
  await until('its files to go', () => !existsSync(file('hosts', 'vif6.0')));
  expect(existsSync(file('options', 'vif6.0'))).toBe(false);
  expect(ofFive()).toEqual(before);
  await oneServer();
  await renewed();
});

test('half an entry, of a daemon that was killed, is completed or removed', async () => {
  const first = await domnet.vifd({ config });
  const vif = await plug(5);
  const file = (kind: string, name: string) => `${domnet.dir}/dhcp/${kind}/${name}`;
  await first.kill();
  await exec('mv', [file('hosts', 'vif5.0'), file('options', 'vif9.0')]);
  await domnet.vifd({ config });
  await until('the half to go', () => !existsSync(file('options', 'vif9.0')));
  await until('the whole', () => existsSync(file('hosts', 'vif5.0')));
  await Client.in(vif);
});

test('where another server has port 53 of every address, guests have their leases and ask that one', async () => {
  const words = ['--keep-in-foreground', '--conf-file=/dev/null', '--pid-file=', '--no-resolv', '--no-hosts'];
  const other = new Background('ip', [
    ...['netns', 'exec', domnet.namespace, 'dnsmasq', ...words, '--address=/test.example/192.0.2.53'],
  ]);
  try {
    await until('the other server', async () =>
      (await domnet.exec('cat', ['/proc/net/udp'])).includes(' 00000000:0035 '),
    );
    const vifd = await domnet.vifd({ config });
    await twoGuests();
    await vifd.logged(
      'another server has port 53 of all addresses: it answers guests, and no resolver of vifd',
    );
    for (const domid of [5, 6]) {
      const script = `busybox nslookup test.example 10.0.${domid}.128 || :`;
      const namespace = await domnet.guestNamespace(domid);
      expect(await exec('ip', ['netns', 'exec', namespace, 'sh', '-c', script])).toContain('192.0.2.53');
    }
    await oneServer();
  } finally {
    await other.stop('SIGKILL');
  }
});

test('a dnsmasq of the same words in another network is left alone', async () => {
  await domnet.vifd({ config });
  await twoGuests();
  const own = await oneServer();
  // Another machine of this one may have the same file: a container.
  const words = ['dnsmasq', '--keep-in-foreground', `--conf-file=${domnet.dir}/dhcp/dnsmasq.conf`];
  const other = new Background('ip', ['netns', 'exec', await domnet.guestNamespace(99), ...words]);
  try {
    await until('two', () => servers().length === 2);
    process.kill(own, 'SIGKILL');
    await until('a new one', () => servers().some((pid) => pid !== own && pid !== other.pid));
    await gone('the old one', own);
    expect(servers()).toContain(other.pid);
    expect(servers()).toHaveLength(2);
  } finally {
    await other.stop('SIGKILL');
  }
});
