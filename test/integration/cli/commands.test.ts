import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Finding } from '../../../src/cli/check/finding.js';
import type { Edge } from '../../../src/cli/graph/edges.js';
import { steering } from '../../../src/model/one-line.js';
import type { VifEvent } from '../../../src/observe/events.js';
import { Domnet, type Vif, type Vifd } from '../../support/net/domnet.js';
import { OpenVswitch } from '../../support/net/openvswitch.js';
import { attachedTo, pingBetween } from '../../support/net/ping.js';
import { Background } from '../../support/process/background.js';
import { exec, until } from '../../support/process/exec.js';

let domnet: Domnet;

const notRunning = /^vifd: the daemon is not running: .*systemctl start vifd.*journalctl -u vifd.*\n$/;

/** A command that goes on, in the driver domain. */
function background(...args: string[]): Background {
  const [file = '', ...words] = domnet.vifdCommand();
  return new Background(file, [...words.slice(0, -1), ...args], domnet.vifdEnv);
}

describe('with a daemon and two vifs, one attached and one not', () => {
  let daemon: Vifd;
  let good: Vif;
  let bad: Vif;
  beforeAll(async () => {
    domnet = await Domnet.start();
    await domnet.addBridge('xenbr0');
    daemon = await domnet.vifd();
    good = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
    await good.connected();
    bad = await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
    await bad.status('error');
  });
  afterAll(() => domnet.stop());

  const error = 'attach vif6.0 to bridge nowhere: no such bridge; the bridges here are xenbr0';

  test('status', async () => {
    const { status, stdout, stderr } = await domnet.command('status');
    // One has failed.
    expect({ status, stderr }).toEqual({ status: 1, stderr: '' });
    expect(stdout).toMatch(
      new RegExp(`^vifd \\S+, pid ${daemon.pid}, domain 0, up \\d+s: 2 vifs: 1 attached, 1 failed\\n`),
    );
    expect(stdout).toMatch(
      /^vif5\.0 +attached +bridge +xenbr0 +00:16:3e:00:05:00 +10\.0\.0\.5 +1500 +\d+s +[\d.]+ ms +\d+ +[\d.]+ k?B +[\d.]+ k?B$/m,
    );
    expect(stdout).toMatch(/^vif6\.0 +failed /m);
    expect(stdout).toContain(`vif6.0: ${error}\n`);
  });

  test('status --json', async () => {
    const { status, stdout } = await domnet.command('status', '--json');
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      pid: daemon.pid,
      domid: 0,
      xenstore: true,
      vifs: [
        {
          vif: 'vif5.0',
          state: 'attached',
          topology: 'bridge',
          bridge: 'xenbr0',
          netdev: 'vif5.0',
          mac: '00:16:3e:00:05:00',
          ip: ['10.0.0.5'],
          mtu: 1500,
          attachMs: expect.any(Number),
          error: null,
        },
        { vif: 'vif6.0', state: 'failed', error },
      ],
    });
  });

  test('status of one', async () => {
    const { status, stdout } = await domnet.command('status', 'vif6.0');
    expect(status).toBe(1);
    expect(stdout).toMatch(/^vif: +vif6\.0$/m);
    expect(stdout).toMatch(new RegExp(`^error: +${error}$`, 'm'));
    const five = await domnet.command('status', 'vif5.0');
    expect(five.status).toBe(0);
    for (const line of [
      'state: +attached',
      'since: +\\S+Z \\(\\d+s\\)',
      'topology: +bridge',
      'bridge: +xenbr0',
      'interface: +vif5\\.0, index \\d+',
      'mac: +00:16:3e:00:05:00',
      'ip: +10\\.0\\.0\\.5',
      'mtu: +1500',
      'antispoof: +addresses',
      'may send from: +00:16:3e:00:05:00',
      'and speak from: +10\\.0\\.0\\.5',
      'control frames: +are dropped',
      'attached in: +[\\d.]+ ms',
      'dropped: +\\d+.*',
      'from guest: +[\\d.]+ k?B in \\d+ packets',
      'to guest: +[\\d.]+ k?B in \\d+ packets',
    ])
      expect(five.stdout).toMatch(new RegExp(`^${line}$`, 'm'));
    const one = await domnet.command('status', 'vif5.0', '--json');
    expect(JSON.parse(one.stdout)).toMatchObject({ vif: 'vif5.0', traffic: { rxBytes: expect.any(Number) } });
  });

  test.each(['vif9.0', '../../etc/passwd', 'a b'])('status of "%s", which there is not', async (name) => {
    expect(await domnet.command('status', name)).toMatchObject({
      status: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^vifd: vifd serves no vif ".*"; "vifd status" lists those that it serves\n$/,
      ),
    });
  });

  test('status --watch shows what changes', async () => {
    const watching = background('status', '--watch');
    try {
      await until('the first look', () => watching.lines.some((line) => line.includes('2 vifs')));
      const third = await domnet.plug({ domid: 7 });
      await until('the third vif', () => watching.lines.some((line) => line.includes('3 vifs')));
      await third.connected();
      const ping = await pingBetween(good, third);
      // Of what is looked at every second vif6.0, on no bridge, is the second until there is traffic, and then the last.
      const busy = /^vif([57])\.0 .*?([\d.]+ k?bit\/s) +\2$/;
      await until('the two that talk before the one that does not', () =>
        watching.lines.some((line, i) => busy.test(line) && /^vif6\.0 /.test(watching.lines[i + 2] ?? '')),
      );
      await ping.stop();
      await third.unplug();
    } finally {
      await watching.stop();
    }
  });

  test('status --watch --json says one JSON text a line', async () => {
    const watching = background('status', '--watch', '--json');
    try {
      await until('two looks', () => watching.lines.length >= 2);
      for (const line of watching.lines) expect(JSON.parse(line)).toMatchObject({ pid: daemon.pid });
    } finally {
      await watching.stop();
    }
  });

  test('events', async () => {
    const { status, stdout } = await domnet.command('events', 'vif5.0');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\S+Z vif5\.0 attached to bridge xenbr0 mtu 1500 in [\d.]+ ms\n$/);
    expect((await domnet.command('events', 'vif6.0')).stdout).toMatch(
      new RegExp(`^\\S+Z vif6\\.0 failed - ${error}\\n$`),
    );
    const all = await domnet.command('events', '--json');
    const events = all.stdout
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as VifEvent);
    expect(events).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ kind: 'attached', vif: 'vif5.0', domid: 5, bridge: 'xenbr0' }),
        expect.objectContaining({ kind: 'failed', vif: 'vif6.0', error }),
      ]),
    );
    expect(await domnet.command('events', 'vif99.0')).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('events --follow: the past, then what comes, also after a long silence', async () => {
    const following = background('events', 'vif5.0', '--follow', '--json');
    try {
      await until('the past', () => following.lines.length === 1);
      // Longer than the answer to a question may take: nothing else would tell silence from a daemon that hangs.
      await new Promise((resolve) => setTimeout(resolve, 5500));
      await domnet.ip('link set vif5.0 nomaster');
      await until('the repair', () => following.lines.length === 2);
      expect(JSON.parse(following.lines[1] as string)).toMatchObject({
        kind: 'repaired',
        vif: 'vif5.0',
        actions: ['ip link set dev vif5.0 master xenbr0'],
      });
    } finally {
      await following.stop();
    }
  });

  test('events --follow into a program that has read enough ends quietly', async () => {
    const command = [...domnet.vifdCommand().slice(0, -1), 'events', '--follow'].join(' ');
    const end = join(domnet.dir, 'end');
    // "head" ends after the first line; the pipe breaks at the next one.
    const script = `{ ${command} 2>${end}; echo "ended with $?" >>${end}; } | head -n 1`;
    const shell = new Background('sh', ['-c', script], domnet.vifdEnv);
    try {
      await until('the first event', () => shell.lines.length >= 1);
      await until('the end', async () => {
        await domnet.ip('link set vif5.0 nomaster');
        await attachedTo(good, 'xenbr0');
        return readFileSync(end, 'utf8').includes('ended');
      });
      expect(readFileSync(end, 'utf8')).toBe('ended with 0\n');
    } finally {
      await shell.stop('SIGTERM');
    }
  });

  test('graph', async () => {
    await domnet.ip('link add uplink0 type veth peer name wire0');
    await domnet.ip('link set uplink0 master xenbr0');
    const tree = await domnet.command('graph');
    expect(tree).toMatchObject({ status: 0, stderr: '' });
    expect(tree.stdout).toMatch(
      /^uplink0 \(uplink\)\n└─ xenbr0 \(bridge\)\n {3}└─ vif5\.0 ─ domain 5 +attached +10\.0\.0\.5 /m,
    );
    expect(tree.stdout).toMatch(
      /^└─ vif6\.0 ─ domain 6 +failed .*\n {3}attach vif6\.0 to bridge nowhere: no such bridge/m,
    );
    const mermaid = await domnet.command('graph', '--format', 'mermaid');
    expect(mermaid).toMatchObject({ status: 0, stderr: '' });
    expect(mermaid.stdout).toMatch(/^flowchart LR\n/);
    for (const node of ['(["uplink0"])', '[["xenbr0"]]', '["vif5.0"]', '("domain 5")', '["vif6.0"]'])
      expect(mermaid.stdout).toContain(node);
    const dot = await domnet.command('graph', '--format', 'dot');
    expect(dot.stdout).toMatch(/^graph vifd \{\n[\s\S]*label="uplink0"[\s\S]*\}\n$/);
    const edges = JSON.parse((await domnet.command('graph', '--json')).stdout) as Edge[];
    expect(edges.map(({ from, to }) => `${from.name} - ${to.name}`)).toEqual([
      'uplink0 - xenbr0',
      'xenbr0 - vif5.0',
      'vif5.0 - domain 5',
      'vif6.0 - domain 6',
    ]);
    const svg = await domnet.command('graph', '--format', 'svg');
    expect(svg.stdout).toMatch(
      /^<svg [\s\S]*>vif5\.0<[\s\S]*>attached<[\s\S]*>10\.0\.0\.5<[\s\S]*<\/svg>\n$/,
    );
    expect(await domnet.command('graph', '--format', 'png')).toMatchObject({
      status: 64,
      stderr: 'vifd: --format takes tree, svg, mermaid or dot, not "png"; see vifd --help\n',
    });
    await domnet.ip('link delete uplink0');
  });

  test.each([
    [['status', '--format', 'dot'], '"vifd status" takes no --format'],
    [['plan', 'vif5.0', '--watch'], '"vifd plan" takes no --watch'],
    [['status', '--bogus'], "Unknown option '--bogus'"],
    [['status', 'vif5.0', 'vif6.0'], 'unexpected argument "vif6.0"'],
    [['plan'], 'the vif is missing, as in "vifd plan vif5.0"'],
    [['frobnicate'], 'there is no command "frobnicate"'],
    [[], 'a command is missing'],
  ])('%j is wrong usage', async (args, reason) => {
    expect(await domnet.command(...args)).toEqual({
      status: 64,
      stdout: '',
      stderr: `vifd: ${reason}; see vifd --help\n`,
    });
  });

  test('a second daemon is refused, and the first goes on', async () => {
    const second = await domnet.vifd({ wait: false });
    expect(await second.exited()).toBe(1);
    expect(second.log.at(-1)).toMatchObject({
      level: 'fatal',
      msg: 'cannot run',
      error: expect.stringContaining('vifd runs already'),
    });
    expect(await domnet.command('status', 'vif5.0')).toMatchObject({ status: 0 });
  });

  test('a second daemon is refused also while the first is stopped', async () => {
    process.kill(daemon.pid, 'SIGSTOP');
    try {
      const second = await domnet.vifd({ wait: false });
      expect(await second.exited()).toBe(1);
      expect(second.log.at(-1)).toMatchObject({ error: expect.stringContaining('vifd runs already') });
    } finally {
      process.kill(daemon.pid, 'SIGCONT');
    }
    expect(await domnet.command('status', 'vif5.0')).toMatchObject({ status: 0 });
  });

  test('a follower is told when the daemon ends; then every command says what to do', async () => {
    const following = background('events', '--follow');
    await until('the past', () => following.lines.length > 0);
    expect(await daemon.terminate()).toBe(0);
    expect(await following.ended).toBe(3);
    for (const args of [['status'], ['status', 'vif5.0', '--json'], ['events'], ['events', '--follow']]) {
      expect(await domnet.command(...args), args.join(' ')).toEqual({
        status: 3,
        stdout: '',
        stderr: expect.stringMatching(notRunning),
      });
    }
  });
});

describe('without a daemon', () => {
  beforeEach(async () => {
    domnet = await Domnet.start();
    await domnet.addBridge('xenbr0');
  });
  afterEach(() => domnet.stop());

  test('plan says what would be done, and does nothing', async () => {
    const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
    const before = await domnet.ip('link show');
    const { status, stdout } = await domnet.command('plan', vif.name);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^# attach vif5\.0 \(bridge\)\n/);
    expect(stdout).toMatch(/^nft /m);
    expect(stdout).toMatch(/^ip link set dev vif5\.0 .*master xenbr0.* up$/m);
    expect(JSON.parse((await domnet.command('plan', vif.name, '--json')).stdout)).toEqual({
      vif: 'vif5.0',
      verdict: 'attach',
      problem: null,
      commands: expect.any(Array),
    });
    const { commands } = JSON.parse((await domnet.command('plan', vif.name, '--json')).stdout);
    expect(`${commands.join('\n')}\n`).toBe(stdout.replace(/^#.*\n/, ''));
    expect(await domnet.ip('link show')).toBe(before);
    expect(await domnet.exec('nft', ['list', 'ruleset'])).toBe('');
    expect(await vif.read('hotplug-status')).toBe('');
  });

  test('plan has nothing to do for one that is attached, and one command for one that has drifted', async () => {
    const daemon = await domnet.vifd();
    const vif = await domnet.plug({ domid: 5 });
    await vif.connected();
    expect(await domnet.command('plan', vif.name)).toEqual({
      status: 0,
      stdout: '# vif5.0 is attached as it should be\n',
      stderr: '',
    });
    await daemon.terminate();
    await domnet.ip('link set vif5.0 nomaster');
    expect(await domnet.command('plan', vif.name)).toEqual({
      status: 0,
      stdout: '# attach vif5.0 (bridge)\nip link set dev vif5.0 master xenbr0\n',
      stderr: '',
    });
    expect((await domnet.link('vif5.0'))?.master).toBeUndefined();
  });

  test('plan refuses what cannot be attached, in the words the daemon has for it', async () => {
    await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
    const { status, stdout } = await domnet.command('plan', 'vif6.0');
    expect({ status, head: stdout.split('\n')[0] }).toEqual({
      status: 1,
      head: '# attach vif6.0 to bridge nowhere: no such bridge; the bridges here are xenbr0',
    });
  });

  test('names of others steer no terminal, whichever command shows them', async () => {
    const name = 'x\x1b[2J\u009b\u202e';
    const shown = String.raw`x\u001b[2J\u009b\u202e`;
    await domnet.ip(`link add ${name} up type bridge`);
    await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
    for (const args of [['plan', 'vif6.0'], ['check'], ['check', 'vif6.0'], ['plan', name]]) {
      const { stdout, stderr } = await domnet.command(...args);
      expect(stdout + stderr, args.join(' ')).toContain(shown);
      expect((stdout + stderr).replaceAll('\n', '').search(steering), args.join(' ')).toBe(-1);
    }
  });

  test('plan for a vif without a netdev, for none, and for what is no name of one', async () => {
    await domnet.writeDevice({ domid: 7 });
    expect((await domnet.command('plan', 'vif7.0')).stdout).toBe(
      '# vif7.0 waits for its netdev, which netback creates\n',
    );
    expect((await domnet.command('plan', 'vif8.0')).stdout).toBe(
      '# there is no backend/vif/8/0, and nothing on this host belongs to vif8.0\n',
    );
    expect(await domnet.command('plan', 'eth0')).toMatchObject({
      status: 64,
      stderr: 'vifd: "eth0" is not the name of a vif; vifs are named by domain and device, like vif5.0\n',
    });
  });

  test('plan for a port of Open vSwitch', async () => {
    const ovs = new OpenVswitch(domnet);
    await ovs.start();
    try {
      await ovs.addBridge('ovsbr0');
      const config = join(domnet.dir, 'ovs.toml');
      writeFileSync(config, ovs.config);
      const keys = { script: '/etc/xen/scripts/vif-openvswitch', bridge: 'ovsbr0.10' };
      await domnet.plug({ domid: 5, keys });
      const { status, stdout } = await domnet.command('plan', 'vif5.0', '--config', config);
      expect(stdout).toMatch(/^# attach vif5\.0 \(openvswitch\)\n/);
      expect(stdout).toContain(`\novs-vsctl --db=${ovs.database} add-port ovsbr0 vif5.0 tag=10 `);
      expect(status).toBe(0);
      expect(await ovs.bridgeOf('vif5.0')).toBeUndefined();
      // The guest's name is read for a script that is mapped to Open vSwitch as well.
      writeFileSync(config, `${ovs.config}[scripts.map]\n"vif-lan" = "openvswitch"\n`);
      await domnet.xenstore.writeMany([['/local/domain/6/name', 'anna']]);
      await domnet.plug({ domid: 6, keys: { ...keys, script: '/etc/xen/scripts/vif-lan' } });
      const { stdout: of } = await domnet.command('plan', 'vif6.0', '--config', config);
      expect(of).toMatch(/^ovs-vsctl .* add-port ovsbr0 vif6\.0 .*external_ids:xen-vm-name=anna$/m);
    } finally {
      await ovs.stop();
    }
  });

  test.each([
    ['says nothing', ''],
    ['stops in the middle of its answer', 'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{'],
  ])('a daemon that %s is not waited for', async (_how, words) => {
    const sockets = new Set<Socket>();
    const hung = createServer((socket) => {
      sockets.add(socket);
      socket.write(words);
    }).listen(join(domnet.dir, 'control.sock'));
    await once(hung, 'listening');
    try {
      const began = performance.now();
      expect(await domnet.command('status')).toEqual({
        status: 1,
        stdout: '',
        stderr: expect.stringMatching(/^vifd: the daemon does not answer within 5 s: .*systemctl.*\n$/),
      });
      expect(performance.now() - began).toBeLessThan(10_000);
    } finally {
      for (const socket of sockets) socket.destroy();
      hung.close();
    }
  });

  test('of a NAT guest the address is shown that was chosen for it, and check sees whether it is routed', async () => {
    await domnet.ip('address add 192.0.2.1/24 dev xenbr0');
    await domnet.ip('route add default via 192.0.2.254');
    const daemon = await domnet.vifd();
    const vif = await domnet.plug({ domid: 7, keys: { script: '/etc/xen/scripts/vif-nat' } });
    await vif.connected();
    expect((await domnet.command('status')).stdout).toMatch(/^vif7\.0 +attached +nat +- +\S+ +10\.0\.7\.1 /m);
    const check = async () => (await domnet.command('check')).stdout;
    expect(await check()).toMatch(/^ok +forwarding /m);
    await daemon.terminate();
    // What a line in /etc/sysctl.d does: every device stops forwarding, while vifd does not run.
    await domnet.exec('sysctl', ['-w', 'net.ipv4.ip_forward=1']);
    await domnet.exec('sysctl', ['-w', 'net.ipv4.ip_forward=0']);
    expect(await check()).toMatch(
      /^WARNING +forwarding +off for vif7\.0, xenbr0, though vif7\.0 are routed/m,
    );
  });

  test('graph of Open vSwitch: the bridges and VLANs of its database, not those of the keys', async () => {
    const ovs = new OpenVswitch(domnet);
    await ovs.start();
    try {
      await ovs.addBridge('ovsbr0');
      await ovs.addBridge('ovsbr1');
      await domnet.ip('link add uplink0 type veth peer name wire0');
      await ovs.vsctl('add-port ovsbr0 uplink0');
      const daemon = await domnet.vifd({ config: ovs.config });
      const keys = { script: '/etc/xen/scripts/vif-openvswitch', bridge: 'ovsbr0.10' };
      const [stays, moves] = [await domnet.plug({ domid: 5, keys }), await domnet.plug({ domid: 6, keys })];
      for (const vif of [stays, moves]) await vif.connected();
      await daemon.terminate();
      await ovs.vsctl('del-port vif6.0 -- add-port ovsbr1 vif6.0 trunks=20,30');
      const config = join(domnet.dir, 'vifd.toml');
      const graph = await domnet.command('graph', '--json', '--config', config);
      expect(graph.stderr).toBe('');
      const edges = JSON.parse(graph.stdout) as Edge[];
      expect(edges.map(({ from, to, vlans }) => [from.name, to.name, vlans])).toEqual([
        ['uplink0', 'ovsbr0', undefined],
        ['ovsbr0', 'vif5.0', 'tag=10'],
        ['vif5.0', 'domain 5', undefined],
        ['ovsbr1', 'vif6.0', 'trunks=20,30'],
        ['vif6.0', 'domain 6', undefined],
      ]);
      const drawn = (await domnet.command('graph', '--format', 'mermaid', '--config', config)).stdout;
      expect(drawn).toMatch(/^ {2}n\d+ ---\|"tag=10"\| n\d+$/m);
      await domnet.ip('link delete uplink0');
    } finally {
      await ovs.stop();
    }
  });

  test.each(['check', 'graph', 'plan'])('%s is for root only', async (command) => {
    const [main = ''] = domnet.vifdCommand().slice(-2);
    const as = ['netns', 'exec', domnet.namespace, 'setpriv', '--reuid=65534', '--clear-groups'];
    await expect(
      exec('ip', [...as, process.execPath, main, command, ...(command === 'plan' ? ['vif5.0'] : [])]),
    ).rejects.toMatchObject({
      code: 1,
      stderr: `vifd: "vifd ${command}" reads what only root may read; run it as root\n`,
    });
  });

  test('check', async () => {
    await domnet.plug({ domid: 6, keys: { bridge: 'nowhere' } });
    const { status, stdout } = await domnet.command('check');
    expect(status).toBe(1);
    expect(stdout).toMatch(/^ERROR +bridges +vif6\.0 waits for bridge nowhere$/m);
    expect(stdout).toMatch(/^ +-> ip link add nowhere up type bridge, or correct bridge=/m);
    expect(stdout).toMatch(/^ok +xenstore +answers$/m);
    expect(stdout).toMatch(/^ok +bridges +xenbr0$/m);
    expect(stdout).toMatch(/^ok +nft +takes filters$/m);
    expect(stdout).toMatch(/^WARNING +vifd +it does not run/m);
    expect(await domnet.exec('nft', ['list', 'ruleset'])).toBe('');
    const found = JSON.parse((await domnet.command('check', '--json')).stdout) as Finding[];
    expect(found).toContainEqual({
      check: 'netback',
      severity: 'error',
      message: 'xen-netback is not loaded: no vif will get a netdev',
      remedy: 'modprobe xen-netback, and name it in /etc/modules-load.d',
    });
  });

  test('check finds running guests whose traffic the filter would stop, before vifd takes them over', async () => {
    await domnet.ip('address add 10.0.0.254/24 dev xenbr0');
    const keys = { ip: '10.0.0.5' };
    const vifs = [
      await domnet.plug({ domid: 5, keys }),
      await domnet.plug({ domid: 6, keys: { ip: '10.0.0.6' } }),
    ];
    for (const vif of vifs) {
      // As the stock scripts attach them.
      await domnet.ip(`link set ${vif.name} up master xenbr0`);
      await vif.guestIp(`address add 10.0.0.${vif.domid}/24 dev eth0`);
    }
    const [one, two] = vifs as [Vif, Vif];
    await two.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.254']);
    await one.guestIp('address add 10.0.0.7/24 dev eth0');
    await one.guestExec('ping', ['-c', '1', '-W', '5', '-I', '10.0.0.7', '10.0.0.254']);
    const senders = async () =>
      (JSON.parse((await domnet.command('check', '--json')).stdout) as Finding[])
        .filter(({ check }) => check === 'senders')
        // A guest's kernel may have told of its link-local address, which is not asked for here.
        .filter(({ message }) => !message.includes('fe80::'))
        .map(({ message }) => message);
    expect(await senders()).toEqual([
      'vif5.0 uses 10.0.0.7, which its filter stops: its ip key has 10.0.0.5',
    ]);
    await two.guestIp('link set eth0 address 52:54:00:00:00:06');
    await two.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.254']);
    expect(await senders()).toContain(
      'vif6.0 sends from 52:54:00:00:00:06, and its filter stops all but its mac key, 00:16:3e:00:06:00',
    );
    await two.guestExec('ping', ['-c', '1', '-W', '5', '10.0.0.5']);
    expect(await domnet.exec('nft', ['list', 'ruleset'])).toBe('');
  });

  test('check finds leftovers, and a configuration that cannot be used, and changes nothing', async () => {
    const daemon = await domnet.vifd();
    const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
    await vif.connected();
    await daemon.kill();
    await domnet.xenstore.rm(vif.backend);
    const config = join(domnet.dir, 'wrong.toml');
    writeFileSync(config, '[log]\nlevel = "loud"\n');
    const before = await domnet.exec('nft', ['-s', 'list', 'ruleset']);
    const { stdout } = await domnet.command('check', '--config', config);
    expect(stdout).toMatch(/^ERROR +configuration +.*wrong\.toml: log\.level: "loud"/m);
    expect(stdout).toMatch(/^WARNING +leftovers +vif5\.0 has something on this host/m);
    expect(await domnet.exec('nft', ['-s', 'list', 'ruleset'])).toBe(before);
  });

  test.each([
    ['gone', 'SIGKILL'],
    ['stopped', 'SIGSTOP'],
  ] as const)('check says that xenstored is %s, and does not hang', async (_how, signal) => {
    domnet.xenstored.signal(signal);
    const began = performance.now();
    const { status, stdout } = await domnet.command('check');
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^ERROR +xenstore +\S/m);
    // Before anything asks it again.
    domnet.xenstored.signal('SIGCONT');
  });
});

describe('SIGHUP', () => {
  let file: string;
  let daemon: Vifd;
  beforeEach(async () => {
    domnet = await Domnet.start();
    await domnet.addBridge('xenbr0');
    file = join(domnet.dir, 'vifd.toml');
    daemon = await domnet.vifd({ config: '[antispoof]\nmode = "off"' });
  });
  afterEach(() => domnet.stop());

  /** The MACs that vifs are held to. */
  const rules = () => domnet.exec('nft', ['list', 'set', 'netdev', 'vifd', 'macs']);

  test('applies another mode of anti-spoofing and another level', async () => {
    const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
    await vif.connected();
    expect(await rules()).not.toContain('vif5.0');
    writeFileSync(file, '[antispoof]\nmode = "auto"\n[log]\nlevel = "debug"');
    daemon.hangUp();
    await daemon.logged('configuration reloaded');
    await until('the rules', async () => (await rules()).includes('vif5.0'));
    await daemon.logged('host change', 'vif5.0');
    await attachedTo(vif, 'xenbr0');
  });

  test('of a file that is wrong keeps the old one and says so; the next one is taken', async () => {
    writeFileSync(file, '[antispoof]\nmode = "perhaps"');
    daemon.hangUp();
    expect(await daemon.logged('configuration not reloaded')).toMatchObject({
      level: 'error',
      error: expect.stringContaining(`${file}: antispoof.mode: "perhaps" is not one of`),
    });
    const vif = await domnet.plug({ domid: 5, keys: { ip: '10.0.0.5' } });
    await vif.connected();
    expect(await rules()).not.toContain('vif5.0');
    writeFileSync(file, '');
    daemon.hangUp();
    await until('the rules', async () => (await rules()).includes('vif5.0'));
  });
});
