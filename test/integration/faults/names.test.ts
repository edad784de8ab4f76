import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, Vif, type Vifd } from '../../support/net/domnet.js';
import { attachedTo, pingBetween } from '../../support/net/ping.js';
import type { Ping } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';
import { TrustedDir } from '../../support/process/trusted-dir.js';

// What dom0 may write into a vif's keys, some of it from a tenant's form: names that a shell, a path, an option, nft or a log
// would take for something else.

let domnet: Domnet;
let dir: TrustedDir;
let daemon: Vifd;
let ping: Ping;
let bystanders: readonly [Vif, Vif];

beforeAll(async () => {
  domnet = await Domnet.start();
  dir = new TrustedDir();
  await domnet.addBridge('xenbr0');
  dir.script('vif-mine', 'exit 0');
  daemon = await domnet.vifd({
    config: `[log]\nlevel = "trace"\n[scripts]\ndirectories = ["${dir.path}"]\n[hooks]\ndirectory = "${dir.path}"\n`,
  });
  bystanders = [await domnet.plug({ domid: 1 }), await domnet.plug({ domid: 2 })];
  for (const vif of bystanders) await vif.connected();
  ping = await pingBetween(...bystanders);
});
afterAll(async () => {
  await domnet.stop();
  dir.remove();
});

const hostile = (): string[] => [
  '../../x',
  '..',
  '-rf',
  '--help',
  `;touch ${dir.path}/pwned`,
  `$(touch ${dir.path}/pwned)`,
  `\`touch ${dir.path}/pwned\``,
  'a"; flush ruleset; "',
  '" } ; delete table netdev vifd ; {',
  'a\nPRIORITY=0',
  'a\0b',
  'a\tb',
  '\u001b[2J',
  '*',
  'Grüße',
  '\u202e',
  '{ 1.2.3.4 }',
  'x'.repeat(300),
];

const keys = ['bridge', 'vifname', 'gatewaydev', 'script', 'mac', 'ip', 'vlan', 'mtu', 'type'];

test('names of every kind in every key: nothing is run, no file is made, no rule is lost, no line is forged', async () => {
  const before = await domnet.exec('nft', ['-s', 'list', 'ruleset']);
  const files = readdirSync(dir.path);
  // Every third combination; `FAULTS=all` has them all.
  const step = process.env.FAULTS === 'all' ? 1 : 3;
  const specs = keys
    .flatMap((key) => hostile().map((value) => ({ key, value })))
    .filter((_, i) => (i + Math.floor(i / 18)) % step === 0);
  const vifs = specs.map((_, devid) => new Vif(domnet, 50, devid));
  const guest = await domnet.guestNamespace(50);
  const links = vifs.map(
    ({ name, devid }) => `link add ${name} type veth peer name eth${devid} netns ${guest}`,
  );
  await exec('ip', ['-n', domnet.namespace, '-b', '-'], { input: `${links.join('\n')}\n` });
  const route = { script: 'vif-route', bridge: undefined, ip: '10.9.9.9' };
  for (const [devid, { key, value }] of specs.entries())
    await domnet.writeDevice({
      domid: 50,
      devid,
      keys: { ...(key === 'gatewaydev' ? route : {}), [key]: value },
    });
  for (const { name } of vifs) await daemon.logged('reconciling vif', name);
  // The last one is attached after all before it were looked at.
  const last = await domnet.plug({ domid: 3 });
  await last.connected();
  await until('an answer for most', async () => {
    const statuses = await Promise.all(vifs.map((vif) => vif.read('hotplug-status')));
    return statuses.filter((status) => status === 'error').length > specs.length / 2;
  });
  for (const vif of vifs) {
    const error = (await vif.read('hotplug-error')) ?? '';
    expect(error).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(error.length).toBeLessThan(1000);
  }
  await domnet.xenstore.rm('backend/vif/50');
  for (const { name } of vifs) await daemon.logged('vif removed', name);
  await last.unplug();
  await daemon.logged('vif removed', last.name);
  expect(readdirSync(dir.path)).toEqual(files);
  expect(await domnet.exec('nft', ['-s', 'list', 'ruleset'])).toBe(before);
  // Each line of the log is one of JSON, and stderr is empty.
  expect(daemon.noise).toEqual([]);
  for (const line of daemon.log) expect(line).not.toHaveProperty('PRIORITY');
  for (const vif of bystanders) await attachedTo(vif, 'xenbr0');
  expect((await ping.stop()).lost).toBe(0);
});
