import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Domnet, type Vifd } from '../../support/net/domnet.js';
import { openTables } from '../../support/net/open-tables.js';
import { until } from '../../support/process/exec.js';

let domnet: Domnet;
/** Whether nft and the kernel of this machine know tables that have an owner and survive it. */
let known: boolean;
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  await domnet.ip('link add eth0 type veth peer name peer0');
  await domnet.ip('address add 192.0.2.1/24 dev eth0');
  for (const name of ['eth0', 'peer0']) await domnet.ip(`link set ${name} up`);
  await domnet.ip('route add default via 192.0.2.254');
  known = await nft('add table ip try { flags owner, persist; }; delete table ip try');
});
afterEach(() => domnet.stop());

/** Whether nft was let do this. */
const nft = (command: string): Promise<boolean> =>
  domnet.exec('nft', [command]).then(
    () => true,
    () => false,
  );
/** The ruleset with the handles of all that is in it, which something made anew would not have, and without counters. */
const handles = async (): Promise<string> => {
  // A guest's frames count in `drops` as they come.
  const passing = / (# )?progname.*|\tflags.*\n\n?|(?<=\tset drops \{[^}]*)\telements = \{[^}]*\}\n/g;
  return (await domnet.exec('nft', ['-a', '-s', 'list', 'ruleset'])).replace(passing, '');
};
const tables = async (): Promise<string[]> =>
  (await domnet.exec('nft', ['list', 'tables'])).trim().split('\n').filter(Boolean).sort();
const ours = ['table inet vifd', 'table netdev vifd'];
const debug = { config: '[log]\nlevel = "debug"\n' };

/** Two vifs for which all our tables are needed. */
async function twoVifs() {
  const keys = { ip: '10.0.0.1' };
  const bridged = await domnet.plug({ domid: 1, keys });
  const nat = await domnet.plug({ domid: 2, keys: { script: '/etc/xen/scripts/vif-nat', ip: '10.0.0.2' } });
  await Promise.all([bridged.connected(), nat.connected()]);
  return [bridged, nat] as const;
}

/** The tables that a daemon took to be its own alone. */
const taken = ({ log }: Vifd): unknown[] =>
  log
    .filter(({ msg }) => msg === 'nft table is ours alone')
    .map(({ table }) => `table ${table}`)
    .sort();

describe('the tables', () => {
  it('are closed to others where the kernel can, and put back at once where not', async () => {
    const daemon = await domnet.vifd(debug);
    await twoVifs();
    expect(await tables()).toEqual(ours);
    expect(taken(daemon)).toEqual(known ? ours : []);
    const before = await handles();
    for (const table of ours) expect(await nft(`delete ${table}`)).toBe(!known);
    expect(await nft('flush ruleset')).toBe(true);
    if (known) expect(await handles()).toBe(before);
    else await until('the tables', async () => (await tables()).length === ours.length);
  });

  it('outlive the daemon, belong to the next, and are open while none runs', async () => {
    const first = await domnet.vifd(debug);
    await twoVifs();
    const before = await handles();
    await first.kill();
    expect(await handles()).toBe(before);
    const second = await domnet.vifd(debug);
    expect(taken(second)).toEqual(known ? ours : []);
    expect(second.log.filter(({ msg }) => msg === 'host change')).toEqual([]);
    expect(await handles()).toBe(before);
    if (known) {
      expect(await nft('flush ruleset')).toBe(true);
      expect(await handles()).toBe(before);
    }
    await second.terminate();
    for (const table of ours) expect(await nft(`delete ${table}`)).toBe(true);
    expect(await tables()).toEqual([]);
  });

  it('are left as they are when others have made them, and are ours when they come next', async () => {
    await openTables(domnet, 'netdev vifd', 'inet vifd');
    const daemon = await domnet.vifd(debug);
    const vifs = await twoVifs();
    expect(taken(daemon)).toEqual([]);
    for (const vif of vifs) await vif.unplug();
    await until('the tables to go', async () => (await tables()).length === 0);
    await twoVifs();
    expect(taken(daemon)).toEqual(known ? ours : []);
  });

  it('go with the last vif that needs them', async () => {
    await domnet.vifd();
    const [bridged, nat] = await twoVifs();
    await nat.unplug();
    await until('what is for routers to go', async () => (await tables()).join() === 'table netdev vifd');
    await bridged.unplug();
    await until('the last to go', async () => (await tables()).length === 0);
    const again = await twoVifs();
    expect(await tables()).toEqual(ours);
    // At once, and beside others that come.
    await Promise.all([
      ...again.map((vif) => vif.unplug()),
      domnet.plug({ domid: 3, keys: { ip: '10.0.0.3' } }),
    ]);
    await until('what is left', async () => (await tables()).join() === 'table netdev vifd');
    expect(await domnet.exec('nft', ['list', 'ruleset'])).toMatch(/chain vif3\.0_/);
  });
});
