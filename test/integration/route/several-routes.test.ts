import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import {
  configure,
  connectUplink,
  guest,
  keysOf,
  outer,
  pingFrom,
  reaches,
} from '../../support/net/guests.js';
import { Neighbours } from '../../support/net/neighbours.js';
import { answers } from '../../support/net/ping.js';
import { exec, until } from '../../support/process/exec.js';
import { aSecond, connected, missing } from '../../support/process/status.js';
import { TrustedDir } from '../../support/process/trusted-dir.js';

// Several guests at once: what one does, or what is done to it, reaches no other.

let domnet: Domnet;
beforeEach(async () => {
  domnet = await Domnet.start();
  await connectUplink(domnet);
});
afterEach(() => domnet.stop());

const debug = { config: '[log]\nlevel = "debug"\n' };

const routeTo = async (address: string): Promise<string[]> =>
  (await domnet.ip(`route show ${address}`))
    .split('\n')
    .map((line) => line.trim())
    .filter(Boolean);

const ours = (vif: Vif): string =>
  `192.0.2.${vif.domid} dev ${vif.name} proto 120 scope link src 192.0.2.1 metric 2`;

describe('a vif that goes', () => {
  let dir: TrustedDir;
  beforeEach(() => {
    dir = new TrustedDir();
  });
  afterEach(() => dir.remove());

  test.each(['asked by dom0', 'its netdev first', 'its directory deleted'])(
    '%s: the others keep their network, and their hooks hear nothing',
    async (how) => {
      const notes = join(dir.path, 'notes.');
      dir.script('10-note', `cat >> ${notes}`);
      const daemon = await domnet.vifd({ config: `[hooks]\ndirectory = "${dir.path}"\n` });
      const leaving = await guest(domnet, 'route', 5, { ip: '192.0.2.5 2001:db8::5' });
      const beside = await Neighbours.of(daemon, domnet, 'route');
      const told = (vif: Vif): string[] =>
        readFileSync(notes, 'utf8')
          .split('\n')
          .filter((line) => line.includes(`"${vif.name}"`));
      await until(
        'attach',
        () => existsSync(notes) && [leaving, ...beside.vifs].every((vif) => told(vif).length === 1),
      );

      if (how === 'its netdev first') await leaving.removeNetdev();
      if (how === 'its directory deleted') await domnet.xenstore.rm(leaving.backend);
      else await leaving.unplug();
      await daemon.logged('vif removed', leaving.name);
      await until('detach', () => told(leaving).length === 2);
      // A look that it caused at another has been taken by now: this one came later.
      await guest(domnet, 'route', 6);

      await connected(...beside.vifs);
      await beside.untouched();
      for (const vif of beside.vifs) expect(told(vif)).toHaveLength(1);
      const { status, stdout } = await domnet.command('status');
      expect([status, stdout]).toEqual([0, expect.not.stringContaining('failed')]);
    },
  );
});

test('twelve domids come and go by NAT and route, and in each quiet moment all that are there are connected', async () => {
  const daemon = await domnet.vifd();
  const random = mulberry32(20261127);
  const present = new Map<number, Vif>();
  const kindOf = (domid: number) => (domid % 2 === 0 ? 'nat' : 'route');
  const end = performance.now() + 12_000;
  for (let moment = 0; performance.now() < end; moment++) {
    // Of each moment's changes some are at the same time.
    const changes = Array.from(
      { length: 1 + Math.floor(random() * 4) },
      () => 11 + Math.floor(random() * 12),
    );
    await Promise.all(
      [...new Set(changes)].map(async (domid) => {
        const vif = present.get(domid);
        if (vif === undefined) {
          present.set(domid, await domnet.plug({ domid, keys: keysOf(kindOf(domid), domid) }));
        } else {
          present.delete(domid);
          await vif.unplug();
        }
      }),
    );
    // Those that are new have a moment, and those that were there are connected throughout.
    for (const vif of present.values()) await vif.connected();
    if (moment % 4 === 3) await sleep(300);
    const statuses = await Promise.all(
      [...present.values()].map(async (vif) => [
        vif.name,
        await vif.read('hotplug-status'),
        await vif.read('hotplug-error'),
      ]),
    );
    expect(statuses, `moment ${moment}`).toEqual(
      [...present.values()].map(({ name }) => [name, 'connected', undefined]),
    );
  }
  expect(daemon.log.filter(({ msg }) => msg === 'vif not attached')).toEqual([]);
  expect(daemon.log.filter(({ msg }) => msg === 'vif repaired')).toEqual([]);
  const [one, two] = [30, 31];
  const last = [await guest(domnet, kindOf(one), one), await guest(domnet, kindOf(two), two)] as const;
  for (const vif of present.values()) {
    await configure(kindOf(vif.domid), vif);
    await reaches(vif, outer);
  }
  await connected(...present.values(), ...last);
});

describe('a route to a guest by others', () => {
  test('of our metric that leads elsewhere is replaced by ours within a second', async () => {
    const daemon = await domnet.vifd();
    const vif = await guest(domnet, 'route', 5);
    const beside = await Neighbours.of(daemon, domnet, 'route');
    const replacing = ['192.0.2.5/32 dev eth0', '192.0.2.5/32 via 192.0.2.254', 'blackhole 192.0.2.5/32'];
    for (const route of replacing) {
      await domnet.ip(`route replace ${route} metric 2`);
      await until('our route', async () => (await routeTo('192.0.2.5')).join() === ours(vif), aSecond);
      await reaches(vif, outer);
    }
    await connected(vif);
    const { actions } = await daemon.logged('vif repaired', vif.name);
    expect(actions).toEqual(['ip route replace 192.0.2.5 dev vif5.0 src 192.0.2.1 proto 120 metric 2']);
    await beside.untouched();
  });

  test('of our metric over IPv6 is replaced by ours within a second', async () => {
    await domnet.vifd();
    const vif = await guest(domnet, 'route', 5, { ip: '192.0.2.5 2001:db8::5' });
    await domnet.ip('-6 route replace 2001:db8::5/128 dev eth0 metric 2');
    const routes = async () => await domnet.ip('-6 route show 2001:db8::5');
    await until('our route', async () => (await routes()).includes('dev vif5.0 proto 120'), aSecond);
    await connected(vif);
  });

  test('of a lower metric is told within a second, once, and so is its end', async () => {
    const daemon = await domnet.vifd();
    const vif = await guest(domnet, 'route', 5);
    const beside = await Neighbours.of(daemon, domnet, 'route');
    const of = (msg: string) => daemon.log.filter((line) => line.msg === msg);
    await missing([vif], []);

    for (let round = 1; round <= 2; round++) {
      await domnet.ip('route add 192.0.2.5/32 dev eth0');
      const sentence =
        /192\.0\.2\.5.*eth0.*metric 0|metric 0.*192\.0\.2\.5.*eth0|192\.0\.2\.5.*metric 0.*eth0/;
      await missing([vif], [sentence]);
      await until('the line about it', () => of('vif degraded').length === round, aSecond);
      expect(of('vif degraded').at(-1)).toMatchObject({ level: 'warn', vif: 'vif5.0' });
      expect(JSON.stringify(of('vif degraded').at(-1))).toMatch(sentence);
      // It is still our guest's, and nothing is off.
      await connected(vif);
      expect(await routeTo('192.0.2.5')).toContain(ours(vif));
      const { status, stdout } = await domnet.command('status', 'vif5.0', '--json');
      expect([status, JSON.parse(stdout).missing]).toEqual([0, [expect.stringMatching(sentence)]]);
      // Something else that happens to it is no news about this.
      await vif.write({ mtu: `${1400 + round}` });
      await until('the MTU', async () => (await domnet.link('vif5.0'))?.mtu === 1400 + round);
      await missing([vif], [sentence]);
      expect(of('vif degraded')).toHaveLength(round);

      await domnet.ip('route delete 192.0.2.5/32 dev eth0');
      await missing([vif], []);
      await until('the line about its end', () => of('vif no longer degraded').length === round, aSecond);
      expect(of('vif no longer degraded').at(-1)).toMatchObject({ level: 'info', vif: 'vif5.0' });
      await reaches(vif, outer, aSecond);
    }
    expect(of('vif not attached')).toEqual([]);
    await beside.untouched();
  });

  test.each(['replaced', 'replaced while the daemon is stopped', 'deleted'])(
    '%s, and then a key that is wrong: the vif is taken off, and its link is down',
    async (how) => {
      const daemon = await domnet.vifd(debug);
      const vif = await guest(domnet, 'route', 5);
      const beside = await Neighbours.of(daemon, domnet, 'route');
      if (how !== 'replaced') process.kill(daemon.pid, 'SIGSTOP');
      try {
        if (how === 'deleted') await domnet.ip('route delete 192.0.2.5/32');
        else await domnet.ip('route replace 192.0.2.5/32 dev eth0 metric 2');
        await vif.write({ ip: 'nonsense' });
      } finally {
        process.kill(daemon.pid, 'SIGCONT');
      }
      await vif.status('error');
      expect(await vif.read('hotplug-error')).toMatch(/ip.*nonsense/);
      expect((await domnet.link('vif5.0'))?.flags).not.toContain('UP');
      await until('our routes to go', async () => (await domnet.ip('route show dev vif5.0')) === '');
      await beside.untouched();
    },
  );
});

test('a line of the journal names the vif that was touched, and no other', async () => {
  const daemon = await domnet.vifd();
  const vifs = [
    await guest(domnet, 'route', 5),
    await guest(domnet, 'nat', 6),
    await guest(domnet, 'route', 7),
  ];
  const beside = await Neighbours.of(daemon, domnet, 'route');
  const ping = await pingFrom(vifs[2] as Vif, outer);
  const before = daemon.log.length;
  await domnet.ip('route delete 192.0.2.5');
  await until('the repair', async () => (await routeTo('192.0.2.5')).length === 1);
  await domnet.ip('address delete 10.0.6.128/32 dev vif6.0');
  await until('the repair', async () => (await domnet.ip('address show dev vif6.0')).includes('10.0.6.128'));
  await domnet.ip('link set vif5.0 down');
  await until('the repair', async () => (await domnet.link('vif5.0'))?.flags.includes('UP'));
  await until('the route', async () => (await routeTo('192.0.2.5')).length === 1);
  await answers(ping, 3);
  expect((await ping.stop()).lost).toBe(0);
  const repaired = daemon.log.slice(before).map(({ msg, vif }) => `${msg}: ${vif}`);
  expect([...new Set(repaired)].sort()).toEqual(['vif repaired: vif5.0', 'vif repaired: vif6.0']);
  await connected(...vifs);
  await beside.untouched();
});

test('addresses flushed while they are put back: with the neighbours, each time, and those of others stay', async () => {
  const daemon = await domnet.vifd();
  const [routed, nat] = [await guest(domnet, 'route', 5), await guest(domnet, 'nat', 6)];
  const beside = await Neighbours.of(daemon, domnet, 'route');
  const isWhole = async ({ name }: Vif, address: string): Promise<boolean> =>
    (await domnet.ip(`route show ${address}`)).includes(name) &&
    (await domnet.ip(`neighbour show ${address} dev ${name}`)).includes('PERMANENT');
  // Each of them comes at another moment of what vifd does about those before.
  const flushed = [routed, nat]
    .map(({ name }) => `address flush dev ${name}\n`)
    .join('')
    .repeat(1000);
  for (let round = 0; round < 8; round++) {
    await exec('ip', ['-n', domnet.namespace, '-batch', '-'], { input: flushed });
    const isBack = async () => (await isWhole(routed, '192.0.2.5')) && (await isWhole(nat, '10.0.6.1'));
    await until('what was flushed', isBack, aSecond);
  }
  await connected(routed, nat);
  await beside.untouched();
});

/** A generator of numbers from 0 to 1 that a seed repeats. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
