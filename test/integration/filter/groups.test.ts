import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { addressOf, guest, type Kind, outer, prepareTopologies } from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { until } from '../../support/process/exec.js';

// Two groups of guests, guests that meet no other, and guests in no group, on every topology.

/** The guests by name: the last letter is the group, f for none and n for the one whose guests meet no other. */
const plan: Record<string, [Kind, number]> = {
  ...{ ba: ['bridge', 1], b2a: ['bridge', 2], bb: ['bridge', 3], bn: ['bridge', 4] },
  ...{ bf: ['bridge', 5], b2f: ['bridge', 6] },
  ...{ of: ['openvswitch', 15], o2f: ['openvswitch', 16] },
  ...{ ra: ['route', 21], rb: ['route', 22], rf: ['route', 23] },
  ...{ na: ['nat', 31], nn: ['nat', 32], nf: ['nat', 33] },
};
const names = Object.keys(plan);
const table = (name: string, talk: string, members: string[]): string =>
  `[[group]]\nname = "${name}"\ntalk = "${talk}"\nmembers = [${members.map((one) => `{ domid = ${plan[one]?.[1]} }`).join(', ')}]\n`;
const of = (group: string): string[] => names.filter((name) => name.endsWith(group));
const groups = (b: string[], set = 'inet own a'): string =>
  `${table('a', 'group', of('a'))}sets = "${set}"\n` +
  table('b', 'group', b) +
  table('alone', 'none', of('n'));
let domnet: Domnet;
let ovs: OpenVswitch;
let vifd: Vifd;
const guests = new Map<string, Vif>();

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  await domnet.ip('address add 10.7.0.254/24 dev xenbr0');
  vifd = await domnet.vifd({ config: `${ovs.config}\n${groups(of('b'))}` });
  await Promise.all(
    Object.entries(plan).map(async ([name, [kind, domid]]) =>
      guests.set(name, await guest(domnet, kind, domid)),
    ),
  );
}, 60_000);
afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

const vifOf = (name: string): Vif => guests.get(name) as Vif;
const addressIn = (name: string): string => {
  const [kind = 'bridge', domid = 0] = plan[name] ?? [];
  return addressOf(kind, { domid });
};
const answered = (from: string, to: string): Promise<boolean> =>
  vifOf(from)
    .guestExec('ping', ['-n', '-q', '-c', '2', '-i', '0.2', '-W', '0.6', to])
    .then(
      () => true,
      () => false,
    );

/** Those of the pairs `from to` that do not get through, `to` a guest or an address. */
async function unreached(pairs: string[]): Promise<string[]> {
  const found = pairs.map(async (pair) => {
    const [from = '', to = ''] = pair.split(' ');
    return (await answered(from, plan[to] === undefined ? to : addressIn(to))) ? [] : [pair];
  });
  return (await Promise.all(found)).flat();
}
/** Those of the pairs of letters on a switch of its own, with the letter that names it. */
const on = (letter: string, pairs: string): string[] =>
  pairs.split(', ').map((pair) => pair.replace(/\b(?=\w)/g, letter));

const switched = 'a b, b a, a f, f a, n f, f n, a n, b f';
const apart = [
  ...on('b', switched),
  ...['ra rb', 'rb ra', 'ra rf', 'rf ra', 'na nf', 'nf na', 'nn nf', 'nf nn', 'rb na', 'nn ra'],
];
const together = [
  ...['ba b2a', 'b2a ba', 'bf b2f', 'b2f bf', 'of o2f', 'ra na', 'na ra', 'rf nf'],
  ...['a', 'b', 'n', 'f'].map((group) => `b${group} 10.7.0.254`),
  ...['ra', 'rb', 'na', 'nn', 'nf'].map((name) => `${name} ${outer}`),
];

test('guests meet those of their group, those in none each other, and all their router', async () => {
  expect(await unreached([...apart, ...together])).toEqual(apart);
  // By broadcast too nothing came, or it would be known who had asked.
  for (const name of ['bf', 'b2f', 'bn']) {
    const known = await vifOf(name).guestExec('ip', ['neighbour']);
    expect(known, name).not.toMatch(/10\.7\.0\.[13] .*lladdr/);
  }
  for (const [vif, kept] of [
    ['vif1.0', 'guests outside of group a'],
    ['vif4.0', 'all other guests'],
  ]) {
    const { stdout } = await domnet.command('status', `${vif}`);
    expect(stdout).toMatch(new RegExp(`kept from: +${kept}`));
  }
  for (const vif of ['vif1.0', 'vif5.0', 'vif21.0', 'vif33.0'])
    expect((await domnet.command('status', vif)).stdout, vif).toMatch(/another group [1-9]/);
});

test('neither do they by IPv6, nor under the MAC and the address of another', async () => {
  const local = async (name: string): Promise<string> =>
    /inet6 (fe80\S+)\//.exec(
      await vifOf(name).guestExec('ip', ['-6', 'address', 'show', 'dev', 'eth0']),
    )?.[1] ?? '';
  const [own, friend, stranger] = await Promise.all(['a', '2a', 'f'].map((name) => local(`b${name}`)));
  expect(own).not.toBe('');
  await until('an answer of the group', () => answered('ba', `${friend}%eth0`));
  expect(await answered('ba', `${stranger}%eth0`)).toBe(false);
  expect(await answered('bf', `${own}%eth0`)).toBe(false);
  // Nothing holds these guests to their MAC.
  const forger = vifOf('bb');
  const victim = vifOf('b2f');
  const ownMac = (await forger.guestExec('cat', ['/sys/class/net/eth0/address'])).trim();
  const mac = await victim.guestExec('cat', ['/sys/class/net/eth0/address']);
  await victim.guestIp('link set eth0 down');
  await forger.guestIp('link set eth0 down');
  await forger.guestIp(`link set eth0 address ${mac.trim()} up`);
  await forger.guestIp(`address replace ${addressIn('b2f')}/24 dev eth0`);
  await until('the forger at its router', () => answered('bb', '10.7.0.254'));
  expect(await unreached(['bb bf'])).toEqual(['bb bf']);
  await forger.guestIp(`address delete ${addressIn('b2f')}/24 dev eth0`);
  await forger.guestIp(`link set eth0 address ${ownMac}`);
  await victim.guestIp('link set eth0 up');
  await until('the victim at its router', () => answered('b2f', '10.7.0.254'));
});

const inTables = async (): Promise<string[]> => {
  const sets = ['bridge vifd ports', 'bridge vifd parted', 'bridge vifd port_members', 'inet vifd grouped'];
  const listed = await Promise.all(
    sets.map((set) => domnet.exec('nft', ['-s', 'list', 'set', ...set.split(' ')]).catch(() => '')),
  );
  return listed.flatMap((text, i) =>
    [...text.matchAll(/comment "(vif\d+)/g)].map(([, vif]) => `${sets[i]} ${vif}`).sort(),
  );
};

/** The interfaces in the administrator's own set, by the beginning of their names. */
const inOwnSet = async (): Promise<string> =>
  [...(await domnet.exec('nft', ['list set inet own a'])).matchAll(/"(vif\d+)\.0"/g)]
    .map(([, vif]) => vif)
    .sort()
    .join();

test('the guests of a group are in a set of rules that are not vifd’s, as soon as it is there, and no others', async () => {
  const check = async (): Promise<string> =>
    (await domnet.command('check', '--config', `${domnet.dir}/vifd.toml`)).stdout;
  expect(await check()).toMatch(/^WARNING +sets +inet own a: no such set; make it/m);
  expect((await domnet.command('status', 'vif21.0')).stdout).toMatch(
    /goes without: +put vif21\.0 into set inet own a: no such set/,
  );
  await domnet.exec('nft', ['add table inet own; add set inet own a { type ifname; }']);
  const ofA = 'vif1,vif2,vif21,vif31';
  await until('them in the set', async () => (await inOwnSet()) === ofA);
  expect(await check()).toMatch(/^ok +sets +inet own a$/m);
  await domnet.exec('nft', ['flush set inet own a']);
  await until('them in it again', async () => (await inOwnSet()) === ofA);
  await domnet.exec('nft', ['add set inet own b { type ipv4_addr; timeout 1h; }']);
  writeFileSync(`${domnet.dir}/vifd.toml`, `${ovs.config}\n${groups(of('b'), 'inet own b')}`);
  vifd.hangUp();
  await until('none in it', async () => (await inOwnSet()) === '');
  expect(await check()).toMatch(
    /^WARNING +sets +inet own b: its elements end by a timeout; make another set/m,
  );
});

test('a group is joined and left live; what others delete comes back, and a restart changes nothing', async () => {
  const all = await inTables();
  expect(all).toContain('bridge vifd ports vif5');
  expect(all).not.toContain('bridge vifd parted vif5');
  await domnet.exec('nft', ['delete table bridge vifd; flush set inet vifd grouped']);
  await until('the repair', async () => (await inTables()).join() === all.join());
  await vifd.kill();
  vifd = await domnet.vifd({ config: `${ovs.config}\n${groups(of('b'))}` });
  await vifd.logged('vif adopted', 'vif33.0');
  expect(await inTables()).toEqual(all);
  // A guest of none joins, and one that was in it leaves.
  writeFileSync(`${domnet.dir}/vifd.toml`, `${ovs.config}\n${groups(['bf', 'b2f', 'rf', 'rb'])}`);
  vifd.hangUp();
  await until('the routed ones to meet', () => answered('rb', addressIn('rf')));
  await until('those on the bridge to meet', () => answered('bf', addressIn('b2f')));
  const left = ['bf bb', 'bb bf', 'bf ba', 'rf nf', 'nf rf'];
  expect(await unreached([...left, 'rf rb', 'bf 10.7.0.254'])).toEqual(left);
  writeFileSync(`${domnet.dir}/vifd.toml`, ovs.config);
  vifd.hangUp();
  await until('the end of the groups', async () => (await inTables()).length === 0);
  expect(await domnet.exec('nft', ['list', 'tables'])).not.toContain('bridge vifd');
  const met = ['ba b2f', 'bn ba', 'of o2f', 'ra rb', 'na nn', 'rf nf'];
  expect(await unreached(met)).toEqual([]);
});

test('a guest on a switch that nf_tables does not see is not had in a group that parts it', async () => {
  writeFileSync(`${domnet.dir}/vifd.toml`, `${ovs.config}\n${table('o', 'group', ['of'])}`);
  vifd.hangUp();
  await vifOf('of').status('error');
  expect(await vifOf('of').read('hotplug-error')).toContain(
    '[[group]] does not work with its datapath_type=netdev',
  );
  expect(await unreached(['bf b2f', 'of o2f'])).toEqual(['of o2f']);
});
