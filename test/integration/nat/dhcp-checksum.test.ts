import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { Background } from '../../support/process/background.js';

// DHCP clients that check the UDP checksum of answers themselves, on a raw socket.

const client = fileURLToPath(new URL('../../support/packets/dhcp.py', import.meta.url));

let domnet: Domnet;

beforeAll(async () => {
  domnet = await Domnet.start();
  // dnsmasq, which gives up root, reads below it.
  chmodSync(domnet.dir, 0o755);
  await domnet.addBridge('xenbr0');
  await domnet.vifd({
    config: '[nat]\ndhcp = "dnsmasq"\n[[vif]]\ndomid = 12\noffload = { tx = false }\n',
  });
});
afterAll(() => domnet.stop());

const dhcp = async (vif: Vif, mode: 'lease' | 'renew'): Promise<string[]> =>
  (await vif.guestExec('python3', [client, mode, 'eth0'])).trim().split('\n');

test('the answers of vifd have no checksum, to renewals by unicast neither', async () => {
  const vifs = await Promise.all(
    [5, 6, 7].map((domid) => domnet.plug({ domid, keys: { script: 'vif-nat', bridge: undefined } })),
  );
  for (const vif of vifs) await vif.connected();
  const said = await Promise.all(vifs.map((vif) => dhcp(vif, 'renew')));
  for (const [i, lines] of said.entries()) {
    const address = `10.0.${i + 5}.1`;
    expect(new Set(lines)).toEqual(new Set([`offer ${address} none`, `ack ${address} none`, address]));
    expect(lines.filter((line) => line.startsWith('ack')).length).toBeGreaterThanOrEqual(2);
  }
});

test('those of a server elsewhere on a bridge are whole where tx is off, and only there', async () => {
  const [server, strict, other] = (await Promise.all(
    [11, 12, 13].map((domid) => domnet.plug({ domid })),
  )) as [Vif, Vif, Vif];
  for (const vif of [server, strict, other]) await vif.connected();
  await server.guestIp('address add 10.7.0.11/24 dev eth0');
  const words = [
    '--keep-in-foreground',
    '--conf-file=/dev/null',
    '--port=0',
    '--pid-file=',
    '--leasefile-ro',
  ];
  const dnsmasq = new Background('ip', [
    ...['netns', 'exec', await domnet.guestNamespace(11), 'dnsmasq', ...words, '--no-ping'],
    ...['--interface=eth0', '--bind-interfaces', '--dhcp-range=10.7.0.100,10.7.0.200,1h'],
  ]);
  domnet.atEnd(() => dnsmasq.stop('SIGTERM'));
  const lines = await dhcp(strict, 'lease');
  expect(lines.at(-1)).toMatch(/^10\.7\.0\.1\d\d$/);
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/ whole$/);
  expect(await dhcp(other, 'lease')).toContainEqual(expect.stringMatching(/^offer .* wrong$/));
});
