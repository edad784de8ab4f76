import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { addressOf, connectUplink, guest, type Kind } from '../../support/net/guests.js';
import type { Outside } from '../../support/net/outside.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// Routed guests and those behind NAT that are kept from each other, and from private networks.

const program = fileURLToPath(new URL('../../support/packets/whois.py', import.meta.url));
const nat = '[nat]\ndns = ["192.168.7.1"]\n';
const tables = [
  '[[vif]]\nip = "10.0.5.0/24"\nisolated = true',
  '[[vif]]\nip = "10.0.6.0/24"\nisolated = true',
  '[[vif]]\ndomid = 8\nisolated = true',
  '[[vif]]\ndomid = 9\nlan = false',
  '[[vif]]\ndomid = 10\nlan = false',
];
const config = nat + tables.join('\n');
const kinds: Record<number, Kind> = { 5: 'nat', 6: 'nat', 7: 'nat', 8: 'route', 9: 'route', 10: 'nat' };
/** A private and a public address outside. */
const [lan, world] = ['192.168.7.1', '198.51.100.80'];
let domnet: Domnet;
let vifd: Vifd;
let outside: Outside;
const guests = new Map<number, Vif>();

beforeAll(async () => {
  domnet = await Domnet.start();
  outside = await connectUplink(domnet, { version6: false });
  for (const address of [lan, world]) await outside.ip(`address add ${address}/32 dev lan0`);
  vifd = await domnet.vifd({ config });
  for (const [domid, kind] of Object.entries(kinds))
    guests.set(Number(domid), await guest(domnet, kind, Number(domid)));
}, 30_000);
afterAll(() => domnet.stop());

/** Whether an address answers; the kernel takes up to 0.8 s to answer ARP for a routed guest (proxy_delay). */
const answered = (namespace: string, to: string): Promise<boolean> =>
  exec('ip', ['netns', 'exec', namespace, 'ping', '-n', '-c', '3', '-i', '0.2', '-W', '2', to]).then(
    () => true,
    () => false,
  );
const addressIn = (domid: number): string => addressOf(kinds[domid] ?? 'nat', { domid });

/** The pairs `from to` of these that do not get through, `to` a guest or an address. */
async function unreached(pairs: string): Promise<string[]> {
  const found = pairs.split(', ').map(async (pair): Promise<string[]> => {
    const [from, to = ''] = pair.split(' ');
    const address = /^\d+$/.test(to) ? addressIn(Number(to)) : to;
    return (await answered(await domnet.guestNamespace(Number(from)), address)) ? [] : [pair];
  });
  return (await Promise.all(found)).flat();
}

const apart = `5 6, 6 5, 5 8, 8 6, 9 5, 9 ${lan}, 10 ${lan}, 10 7`;
const together = `5 7, 7 5, 7 6, 8 7, 9 8, 8 9, 5 ${lan}, 7 ${lan}, 9 ${world}, 10 ${world}, 6 ${world}, 9 192.0.2.1, 10 10.0.10.128`;

test('isolated guests meet all but each other; without private networks a guest has the rest, its router and answers', async () => {
  expect(await unreached(`${apart}, ${together}`)).toEqual(apart.split(', '));
  // Begun there, not by the guest.
  expect(await answered(outside.namespace, '192.0.2.9')).toBe(true);
  expect(
    await exec('ip', ['netns', 'exec', outside.namespace, 'ping', '-c', '1', '-I', lan, '192.0.2.9']),
  ).toContain('1 received');
  const { stdout } = await domnet.command('status', 'vif9.0');
  expect(stdout).toMatch(/kept from: +private networks/);
  expect(stdout).toMatch(/private network [1-9]/);
});

test('its resolver is served to a guest in a private network, and nothing else there', async () => {
  const server = new Background('ip', [
    ...['netns', 'exec', outside.namespace, 'python3', program],
    ...['serve', 'resolver', '53', '54'],
  ]);
  domnet.atEnd(() => server.stop('SIGKILL'));
  await until('the server', async () => server.lines.length > 0);
  const targets = [`tcp/${lan}/53`, `tcp/${lan}/54`, `tcp/${world}/54`];
  const namespace = await domnet.guestNamespace(10);
  const told = await exec('ip', ['netns', 'exec', namespace, 'python3', program, 'ask', ...targets]);
  const reply = 'resolver 192.0.2.1';
  expect(told.trim().split('\n')).toEqual([reply, 'none', reply]);
});

/** The sets that these keys fill, with the vifs that are in them. */
async function elements(): Promise<string> {
  const names = ['isolated', 'unreached', 'no_lan', 'lan_drops', 'resolvers'];
  const listed = await Promise.all(
    names.map((name) => domnet.exec('nft', ['-s', 'list', 'set', 'inet', 'vifd', name])),
  );
  return listed
    .map((text, i) => `${names[i]}: ${[...text.matchAll(/comment "(vif\d+)/g)].map(([, vif]) => vif).sort()}`)
    .join('; ');
}
const all =
  'isolated: vif5,vif6,vif8; unreached: vif5,vif6,vif8; no_lan: vif10,vif9; lan_drops: vif10,vif9; resolvers: vif10';

test('what others delete comes back, a restart changes nothing, and without the keys all meet', async () => {
  expect(await elements()).toBe(all);
  await domnet.exec('nft', ['flush set inet vifd unreached; flush set inet vifd lan_drops']);
  await until('the repair', async () => (await elements()) === all);
  await vifd.kill();
  vifd = await domnet.vifd({ config });
  await vifd.logged('vif adopted', 'vif10.0');
  expect(await elements()).toBe(all);
  expect(await unreached('5 6, 5 7')).toEqual(['5 6']);
  writeFileSync(`${domnet.dir}/vifd.toml`, nat);
  vifd.hangUp();
  await until('the change', async () => !/vif/.test(await elements()));
  expect(await unreached(`${apart}, ${together}`)).toEqual([]);
});

test('a guest on a bridge is not had without private networks, which is said', async () => {
  await domnet.addBridge('xenbr0');
  writeFileSync(`${domnet.dir}/vifd.toml`, '[[vif]]\nbridge = "xenbr0"\nlan = false\n');
  vifd.hangUp();
  const vif = await domnet.plug({ domid: 20 });
  await vif.status('error');
  expect(await vif.read('hotplug-error')).toContain('lan: vif-bridge gives frames to a switch');
  expect(await unreached('5 7')).toEqual([]);
});
