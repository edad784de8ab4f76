import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { answers, attachedTo, pingBetween } from '../../support/net/ping.js';
import { Container } from '../../support/process/container.js';
import { exec, until } from '../../support/process/exec.js';

const project = fileURLToPath(new URL('../../..', import.meta.url));
const out = mkdtempSync(join(tmpdir(), 'vifd-deb-'));
let deb: string;
let domnet: Domnet;
let machine: Container;

/** Builds into a directory of its own. */
async function build(name: string, ...options: string[]): Promise<string> {
  const dir = join(out, name);
  await exec('mkdir', [dir]);
  const env = options.length > 0 ? ['DPKG_DEB_COMPRESSOR_TYPE=none'] : [];
  await exec('env', [...env, join(project, 'systemd/deb/build'), ...options, dir]);
  const [file] = readdirSync(dir);
  return join(dir, file as string);
}

/** Node, where dpkg does not know of it: a test may run with one that came another way. */
async function standInForNode(): Promise<void> {
  if (dirname(process.execPath) === '/usr/bin') return;
  await machine.sh(`mkdir -p /tmp/nodejs/DEBIAN /tmp/nodejs/usr/bin
    ln -sf '${process.execPath}' /tmp/nodejs/usr/bin/node
    printf 'Package: nodejs\\nVersion: ${process.versions.node}\\nArchitecture: all\\nMaintainer: a test <root@localhost>\\nDescription: ${process.execPath}\\n' >/tmp/nodejs/DEBIAN/control
    dpkg-deb --build /tmp/nodejs && dpkg --install /tmp/nodejs.deb`);
}

beforeAll(async () => {
  deb = await build('first');
  domnet = await Domnet.start();
  await domnet.addBridge('xenbr0');
  machine = await Container.boot(domnet);
  await standInForNode();
  // Where this machine is itself a container, its maker may have forbidden packages to start anything.
  await machine.exec('rm', ['-f', '/usr/sbin/policy-rc.d']);
  await exec('cp', [deb, join(machine.root, 'vifd.deb')]);
}, 120_000);
afterAll(async () => {
  await machine.stop();
  await domnet.stop();
  rmSync(out, { recursive: true });
});

test('two builds are the same, byte by byte', async () => {
  await exec('cmp', [deb, await build('second')]);
});

test('lintian finds no error, and nothing to warn of', async () => {
  // It leaves a file in there.
  const env = [`TMPDIR=${out}`];
  await exec('env', [...env, 'lintian', '--allow-root', '--fail-on', 'error,warning', deb]);
});

test('nothing in it is of no use at run time, and every licence is there', async () => {
  const files = (await exec('dpkg-deb', ['--contents', deb]))
    .split('\n')
    .map((line) => line.split(/ +/)[5] ?? '');
  expect(
    files.filter((file) => /\.(d\.[cm]?ts|map|md|c|cc|cpp|h|o|a)$|obj\.target|\/tests?\//.test(file)),
  ).toEqual([]);
  expect(files.filter((file) => /\.(node|so)$/.test(file)).length).toBeGreaterThan(3);
  expect(Number(await exec('dpkg-deb', ['--field', deb, 'Installed-Size']))).toBeLessThan(4000);
  const copyright = await exec('sh', [
    '-c',
    `dpkg-deb --fsys-tarfile '${deb}' | tar -xO ./usr/share/doc/vifd/copyright`,
  ]);
  const names = files
    .map((file) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(file)?.[1])
    .filter((name) => name !== undefined);
  expect(names).toEqual(expect.arrayContaining(['pino', 'netlink', 'ffi-napi', 'node-xenstore']));
  // A link leads to a package of our own.
  const others = names.filter(
    (name) => !lstatSync(join(project, 'node_modules', name), { throwIfNoEntry: false })?.isSymbolicLink(),
  );
  for (const name of [...others, 'libffi'])
    expect(copyright).toMatch(new RegExp(`^=== (@[^/]+/)?${name}\\b`, 'm'));
});

test('it is as large as docs/operate/install.md says', async () => {
  const said = readFileSync(join(project, 'docs/operate/install.md'), 'utf8');
  const [, total, own] = /It takes ([\d.]+) MB[^:]*: [\s\S]*?([\d.]+) MB of its own/.exec(said) ?? [];
  const list = (await exec('dpkg-deb', ['--contents', deb])).split('\n').map((line) => line.split(/ +/));
  const megabytes = (below: string) =>
    list
      .filter(([, , , , , path]) => path?.startsWith(below))
      .reduce((sum, [, , size]) => sum + Number(size), 0) / 1e6;
  expect(Math.abs(megabytes('./') - Number(total))).toBeLessThan(0.1);
  expect(Math.abs(megabytes('./usr/lib/vifd/dist') - Number(own))).toBeLessThan(0.1);
});

test('apt installs it, enabled, and outside of a domU it does not start', async () => {
  await machine.exec('apt-get', ['-qq', 'install', '--no-install-recommends', '/vifd.deb']);
  expect(await machine.exec('vifd', ['--version'])).toMatch(/^vifd \d/);
  expect(await machine.property('vifd', 'UnitFileState')).toBe('enabled');
  expect(await machine.property('vifd', 'ActiveState')).toBe('inactive');
  expect(await machine.property('vifd', 'ConditionResult')).toBe('no');
});

test('systemd-analyze has nothing to say against the units', async () => {
  expect(await machine.sh('systemd-analyze verify vifd.service vifd-dnsmasq.service 2>&1')).toBe('');
  const verdict = await machine.sh(
    'systemd-analyze security --offline=true /usr/lib/systemd/system/vifd.service | tail -n 1',
  );
  expect(Number(/: ([\d.]+) /.exec(verdict)?.[1])).toBeLessThanOrEqual(2.1);
});

test('the catalog explains entries', async () => {
  const listed = await machine.exec('journalctl', ['--list-catalog']);
  expect(listed).toContain('5deba6f69fd946e0bd405353c98a2ef2 vifd: The interface @VIF@ cannot be attached');
});

test('the sandboxed unit serves vifs', async () => {
  await machine.sh(`mkdir -p /run/systemd/system/vifd.service.d
    printf '%s\\n' '[Unit]' ConditionVirtualization= '[Service]' Environment=XENSTORED_PATH=/run/xenstored/socket \
      WatchdogSec=2s >/run/systemd/system/vifd.service.d/test.conf
    systemctl daemon-reload && systemctl start vifd`);
  // With an address, so that it is filtered, or not connected.
  const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
  await vif.connected();
  expect(await domnet.exec('nft', ['list', 'ruleset'])).toContain('vif5.0');
  await attachedTo(vif, 'xenbr0');
  expect(await machine.exec('vifd', ['status'])).toMatch(/vif5\.0 +attached/);
  const failed = await domnet.plug({ domid: 6, keys: { bridge: 'xenbr9' } });
  await failed.status('error');
  const story = await machine.sh('journalctl --sync; journalctl -x -u vifd VIF=vif6.0');
  expect(story).toContain('attach vif6.0 to bridge xenbr9: no such bridge');
  expect(story).toContain('vifd plan vif6.0');
  await failed.unplug();
});

test('the sandboxed unit announces what it routes', async () => {
  await domnet.ip('link add gw0 type veth peer name gw1');
  await domnet.ip('address add 192.0.2.1/24 dev gw0');
  for (const name of ['gw1', 'gw0']) await domnet.ip(`link set ${name} up`);
  const keys = { script: 'vif-route', bridge: undefined, ip: '192.0.2.8', gatewaydev: 'gw0' };
  const vif = await domnet.plug({ domid: 8, keys });
  await vif.connected();
  expect(await machine.sh('journalctl --sync; journalctl -u vifd')).not.toContain('address not announced');
  const sent = /gw1: +\d+ +([1-9]\d*) /.exec(await domnet.exec('cat', ['/proc/net/dev']));
  expect(sent).not.toBe(null);
  await vif.unplug();
  await domnet.ip('link delete gw0');
});

test('the sandbox lets sysctls of the network be written, and nothing else', async () => {
  const pid = await machine.property('vifd', 'MainPID');
  const inside = (script: string) => machine.exec('nsenter', ['-t', pid, '-m', 'sh', '-c', script]);
  await inside('echo 1 >/proc/sys/net/ipv4/conf/vif5.0/proxy_arp');
  await inside('touch /run/vifd/mine && rm /run/vifd/mine');
  for (const file of [
    '/proc/sys/kernel/core_pattern',
    '/sys/kernel/uevent_helper',
    '/etc/hosts',
    '/var/lib/x',
  ])
    await expect(inside(`: >>${file}`), file).rejects.toThrow();
  expect(await machine.sh(`grep CapBnd /proc/${pid}/status`)).toMatch(/\b0000000000003000$/m);
});

test('the DHCP server is a unit of its own, which outlives the daemon', async () => {
  await machine.sh(`sed -i 's/^#dhcp = .*/dhcp = "dnsmasq"/' /etc/vifd/vifd.toml && systemctl reload vifd`);
  const vif = await domnet.plug({ domid: 9, keys: { script: 'vif-nat', bridge: undefined } });
  await vif.connected();
  await until('the unit', async () => (await machine.property('vifd-dnsmasq', 'ActiveState')) === 'active');
  const client = ['udhcpc', '-i', 'eth0', '-f', '-q', '-n', '-t', '20', '-T', '1', '-s', '/bin/true'];
  await vif.guestExec('busybox', client);
  // Preloaded in the unit's sandbox; and where it cannot be loaded, there is a lease all the same.
  const strict = fileURLToPath(new URL('../../support/packets/dhcp.py', import.meta.url));
  expect(await vif.guestExec('python3', [strict, 'lease', 'eth0'])).toMatch(/^offer 10\.0\.9\.1 none$/m);
  const library = '/usr/lib/vifd/node_modules/dhcp-no-check/dist/no-check.so';
  await machine.sh(`mv ${library} ${library}.away && systemctl restart vifd-dnsmasq`);
  await vif.guestExec('busybox', client);
  expect(await vif.guestExec('python3', [strict, 'lease', 'eth0'])).toContain('wrong');
  await machine.sh(`mv ${library}.away ${library} && systemctl restart vifd-dnsmasq`);
  const server = await machine.property('vifd-dnsmasq', 'MainPID');
  await machine.exec('systemctl', ['stop', 'vifd']);
  expect(await machine.property('vifd-dnsmasq', 'MainPID')).toBe(server);
  await machine.exec('systemctl', ['start', 'vifd']);
  await vif.unplug();
  await until('its end', async () => (await machine.property('vifd-dnsmasq', 'ActiveState')) === 'inactive');
});

/** Every dnsmasq in the machine that serves by the daemon's file. */
const servers = async (): Promise<string[]> =>
  (await machine.exec('pgrep', ['-f', '--', '--conf-file=/run/vifd/dhcp/dnsmasq.conf$']).catch(() => ''))
    .split('\n')
    .filter(Boolean);

/** Waits for exactly one, of the unit or not. @returns its pid */
const oneServer = (by: 'unit' | 'daemon', but = ''): Promise<string> =>
  until(`exactly one dnsmasq, of the ${by}`, async () => {
    const [pid, ...more] = await servers();
    const ofUnit = (await machine.property('vifd-dnsmasq', 'MainPID')) === pid;
    return pid !== undefined && more.length === 0 && pid !== but && ofUnit === (by === 'unit') && pid;
  });

const plugNat = async (domid: number, keys: Record<string, string> = {}): Promise<Vif> => {
  const vif = await domnet.plug({ domid, keys: { script: 'vif-nat', bridge: undefined, ...keys } });
  await vif.connected();
  return vif;
};
const lease = (vif: Vif): Promise<string> =>
  vif.guestExec('busybox', [
    'udhcpc',
    '-i',
    'eth0',
    '-f',
    '-q',
    '-n',
    '-t',
    '20',
    '-T',
    '1',
    '-s',
    '/bin/true',
  ]);

test('vifs that come and go quickly do not exhaust the DHCP unit, and killed by hand it is back', async () => {
  const stays = await plugNat(9);
  const first = await oneServer('unit');
  let server = first;
  const moving = { ip: '10.9.0.9' };
  const goes = await plugNat(19, moving);
  const readings = async (): Promise<number> => {
    const story = await machine.sh('journalctl --sync; journalctl -u vifd-dnsmasq');
    return story.split(`[${first}]: read /run/vifd/dhcp/hosts/vif9.0`).length;
  };
  const before = await readings();
  await goes.unplug();
  await until('it to have read again', async () => (await readings()) > before);
  expect(await oneServer('unit')).toBe(first);
  // An address that moves to another guest takes another server; systemd's own limit is five starts in ten seconds.
  for (let domid = 20; domid < 28; domid++) {
    const vif = await plugNat(domid, moving);
    server = await oneServer('unit', server);
    await vif.unplug();
  }
  await lease(stays);
  for (const signal of ['-KILL', '-TERM']) {
    await machine.exec('kill', [signal, server]);
    server = await oneServer('unit', server);
    await lease(stays);
  }
  await stays.unplug();
});

test('between the unit and a daemon that was started by hand there is one DHCP server', async () => {
  const stays = await plugNat(10);
  const served = await oneServer('unit');
  await machine.exec('systemctl', ['stop', 'vifd']);
  // Not in the unit's control group, and without its environment.
  const byHand = async (): Promise<string> =>
    (
      await machine.sh('XENSTORED_PATH=/run/xenstored/socket setsid vifd run >/run/by-hand 2>&1 & echo $!')
    ).trim();
  const first = await byHand();
  // It finds the unit's, and goes on with that.
  await oneServer('unit', served);
  await lease(stays);
  await machine.exec('kill', ['-KILL', first]);
  await machine.exec('systemctl', ['stop', 'vifd-dnsmasq']);
  expect(await servers()).toEqual([]);
  const second = await byHand();
  const child = await oneServer('daemon');
  await lease(stays);
  await machine.exec('kill', ['-KILL', second]);
  await machine.exec('systemctl', ['start', 'vifd']);
  await oneServer('unit', child);
  await lease(stays);
  await stays.unplug();
  await until('its end', async () => (await servers()).length === 0);
  await machine.sh(`sed -i 's/^dhcp = .*/#dhcp = "off"/' /etc/vifd/vifd.toml && systemctl reload vifd`);
});

let pair: readonly [Vif, Vif];

test('reload, upgrade and a hanging daemon lose no packet', async () => {
  pair = [await domnet.plug({ domid: 7 }), await domnet.plug({ domid: 8 })];
  for (const vif of pair) await vif.connected();
  const ping = await pingBetween(...pair);

  await machine.exec('systemctl', ['reload', 'vifd']);
  await until('the reload', () =>
    machine.sh('journalctl --sync; journalctl -u vifd | grep reloaded').catch(() => false),
  );
  await answers(ping, 5);

  const first = await machine.property('vifd', 'MainPID');
  await machine.exec('dpkg', ['--install', '/vifd.deb']);
  expect(await machine.property('vifd', 'ActiveState')).toBe('active');
  const second = await machine.property('vifd', 'MainPID');
  expect(second).not.toBe(first);
  await answers(ping, 5);

  await machine.exec('kill', ['-STOP', second]);
  await until('the watchdog', async () => (await machine.property('vifd', 'NRestarts')) === '1', 20_000);
  await until('another start', async () => (await machine.property('vifd', 'ActiveState')) === 'active');
  await answers(ping, 5);
  expect((await ping.stop()).lost).toBe(0);
});

test('removing leaves the vifs working, purging leaves nothing else', async () => {
  await machine.exec('apt-get', ['-qq', 'remove', 'vifd']);
  expect(await machine.property('vifd', 'ActiveState')).not.toBe('active');
  expect((await domnet.link('vif5.0'))?.master).toBe('xenbr0');
  await machine.exec('dpkg', ['--purge', 'vifd']);
  expect(
    await machine.sh(`find /etc /usr /var /run -xdev -name '*vifd*' ! -path '/run/systemd/*' ! -path '*/doc/*' \
      ! -path '/run/netns/*' ! -path '/var/lib/dpkg/*' ! -path '/var/tmp/*' ! -path '/var/cache/man/*'`),
  ).toBe('');
});

test('with a Node of its own it installs and serves where there is none, and guests that were there lose no packet', async () => {
  const own = await build('own', `--with-node=${process.execPath}`);
  await exec('cp', [own, join(machine.root, 'own.deb')]);
  await machine.sh(`apt-get -qq purge nodejs >/dev/null; rm -f '${process.execPath}'`);
  expect(await machine.sh('command -v node || :')).toBe('');
  const ping = await pingBetween(...pair);
  await machine.exec('apt-get', ['-qq', 'install', '--no-install-recommends', '/own.deb']);
  await machine.exec('systemctl', ['start', 'vifd']);
  const vif = await domnet.plug({ domid: 11 });
  await vif.connected();
  expect(await machine.exec('vifd', ['status'])).toMatch(/vif11\.0 +attached/);
  const pid = await machine.property('vifd', 'MainPID');
  expect((await machine.exec('readlink', [`/proc/${pid}/exe`])).trim()).toBe('/usr/lib/vifd/node');
  await answers(ping, 5);
  expect((await ping.stop()).lost).toBe(0);
}, 120_000);
