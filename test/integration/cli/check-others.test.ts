import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Finding } from '../../../src/cli/check/finding.js';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { addressOf, guest, outer, prepareTopologies, reaches } from '../../support/net/guests.js';
import type { OpenVswitch } from '../../support/net/openvswitch.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

// `vifd check` about what others have made of the machine: each is named with the vifs it touches and no others, and its remedy helps.

let domnet: Domnet;
let ovs: OpenVswitch;
const vifs = {} as Record<'bridge' | 'route', readonly [Vif, Vif]>;

beforeAll(async () => {
  domnet = await Domnet.start();
  ovs = await prepareTopologies(domnet);
  await domnet.exec('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=0']);
  await domnet.ip('link add wire0 type veth peer name wire1');
  await domnet.ip('link set wire0 up master xenbr0');
  await domnet.vifd({ config: ovs.config });
  vifs.bridge = [await guest(domnet, 'bridge', 5), await guest(domnet, 'bridge', 6)];
  vifs.route = [await guest(domnet, 'route', 7), await guest(domnet, 'route', 8)];
  await guest(domnet, 'openvswitch', 9);
}, 60_000);
afterAll(async () => {
  await ovs.stop();
  await domnet.stop();
});

const nft = (text: string) =>
  exec('ip', ['netns', 'exec', domnet.namespace, 'nft', '-f', '-'], { input: text });
const tc = (words: string) => domnet.exec('tc', words.split(' '));
/** Runs a command of a remedy, as an administrator would paste it. */
const paste = (command: string) => domnet.exec('sh', ['-c', command]);

async function found(check: string): Promise<Finding[]> {
  const { stdout } = await domnet.command('check', '--json', '--config', join(domnet.dir, 'vifd.toml'));
  return (JSON.parse(stdout) as Finding[]).filter((one) => one.check === check && one.severity !== 'ok');
}
const unreached = (vif: Vif, address: string) => expect(reaches(vif, address, 300)).rejects.toThrow();

test('bridges with an address are open to their guests, and the remedy closes them', async () => {
  await domnet.ip('address add 10.7.0.254/24 dev xenbr0');
  await domnet.ip('address add 10.6.0.254/24 dev ovsbr0');
  const open = await found('open bridge');
  expect(open.map(({ severity, message }) => `${severity} ${message}`).sort()).toEqual([
    expect.stringMatching(/^note ovsbr0 has 10\.6\.0\.254\/24.*every guest on it, held or not/),
    expect.stringMatching(/^note xenbr0 has 10\.7\.0\.254\/24.*every guest on it, held or not/),
  ]);
  const [one, two] = vifs.bridge;
  await reaches(one, '10.7.0.254');
  const { remedy = '' } = open.find(({ message }) => message.startsWith('xenbr0')) ?? {};
  await paste(/nft '[^']*'/.exec(remedy)?.[0] ?? 'false');
  await unreached(one, '10.7.0.254');
  await reaches(one, addressOf('bridge', two));
  await nft('delete table bridge host');
  await reaches(one, '10.7.0.254');
  for (const command of /ip address flush dev xenbr0; sysctl -w \S+=1/.exec(remedy)?.[0].split('; ') ?? [])
    await paste(command);
  expect((await found('open bridge')).map(({ message }) => message.split(' ')[0])).toEqual(['ovsbr0']);
  await reaches(one, addressOf('bridge', two));
});

test("XDP and tc at one vif's ingress", async () => {
  const [one, two] = vifs.bridge;
  expect(await found('ingress')).toEqual([]);
  await tc(`qdisc add dev ${one.name} clsact`);
  expect((await found('ingress')).map(({ message }) => message)).toEqual([
    `tc has clsact on ${one.name}: a filter that is added at its ingress comes before anti-spoofing`,
  ]);
  await tc(`filter add dev ${one.name} ingress u32 match u32 0 0`);
  const [filters, ...more] = await found('ingress');
  expect(more).toEqual([]);
  expect(filters?.message).toMatch(`tc has filters at the ingress of ${one.name} (clsact)`);
  await paste(filters?.remedy.replace(/^.* and (tc .*) takes them off$/, '$1') ?? 'false');
  expect((await found('ingress'))[0]?.message).toMatch(`tc has clsact on ${one.name}:`);
  await reaches(one, addressOf('bridge', two));
  await tc(`qdisc del dev ${one.name} clsact`);

  const script = fileURLToPath(new URL('../../support/packets/xdp.py', import.meta.url));
  const program = new Background('ip', ['netns', 'exec', domnet.namespace, 'python3', script, two.name]);
  try {
    await until('the XDP program', () => program.lines.includes('attached'));
    expect((await found('ingress')).map(({ severity, message }) => `${severity} ${message}`)).toEqual([
      expect.stringContaining(`warning an XDP program is on ${two.name}, before everything else`),
    ]);
  } finally {
    await program.stop();
  }
});

test('firewalls of others that drop at forward, of routed and bridged vifs', async () => {
  const [one, two] = vifs.route;
  for (const vif of vifs.route) await reaches(vif, outer);
  expect(await found('firewall')).toEqual([]);
  await nft(`table ip filter {
    chain FORWARD { type filter hook forward priority 0; policy drop
      iifname "${two.name}" accept
      oifname "${two.name}" accept
    }
  }
  table bridge fw {
    chain f { type filter hook forward priority 0; iifname "${vifs.bridge[0].name}" drop; }
  }`);
  await unreached(one, outer);
  await reaches(two, outer);
  const stopped = await found('firewall');
  expect(stopped.map(({ severity, message }) => `${severity} ${message}`)).toEqual([
    expect.stringMatching(
      `^warning the chain bridge fw f drops bridged packets of the guest by the rule .* on xenbr0: ${vifs.bridge[0].name}$`,
    ),
    `warning the chain ip filter FORWARD drops packets of the guest by its policy by eth0: ${one.name}`,
  ]);
  const remedy = stopped[1]?.remedy ?? '';
  expect(remedy).toBe(
    `iptables -I FORWARD -i ${one.name} -j ACCEPT; iptables -I FORWARD -o ${one.name} -j ACCEPT`,
  );
  await nft(
    `insert rule ip filter FORWARD iifname "${one.name}" accept\ninsert rule ip filter FORWARD oifname "${one.name}" accept\ndelete table bridge fw`,
  );
  await reaches(one, outer);
  expect(await found('firewall')).toEqual([]);
  await nft('delete table ip filter');
});
