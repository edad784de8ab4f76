import { spawn } from 'node:child_process';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Domnet, type Vif } from '../../support/net/domnet.js';
import { ethernet, etherTypes, ipv4, udp } from '../../support/packets/frames.js';
import { Capture, send } from '../../support/packets/packets.js';
import { until } from '../../support/process/exec.js';

// A router made by hand: two guests behind vifs of their own, and a third namespace that stands for elsewhere.
const address = (domid: number): string => `10.0.0.${domid}`;
const gateway = '10.0.0.254';
const elsewhere = '192.0.2.9';

let domnet: Domnet;
let guests: Vif[];
let uplink: Vif;
beforeEach(async () => {
  domnet = await Domnet.start();
  await domnet.exec('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0']);
  guests = await Promise.all([1, 2].map((domid) => domnet.plug({ domid })));
  uplink = await domnet.plug({ domid: 3 });
  for (const vif of guests) {
    await domnet.ip(`link set ${vif.name} up`);
    await domnet.ip(`address add ${gateway}/32 dev ${vif.name}`);
    await domnet.ip(`route add ${address(vif.domid)} dev ${vif.name}`);
    await vif.guestIp(`address add ${address(vif.domid)}/32 dev eth0`);
    await vif.guestIp(`route add ${gateway} dev eth0`);
    await vif.guestIp(`route add default via ${gateway}`);
  }
  await domnet.ip(`link set ${uplink.name} up`);
  await domnet.ip(`address add 192.0.2.1/24 dev ${uplink.name}`);
  await uplink.guestIp(`address add ${elsewhere}/24 dev eth0`);
  await uplink.guestIp('route add default via 192.0.2.1');
});
afterEach(() => domnet.stop());

/** Code that sees the driver domain as the daemon does, with its modules by name. */
async function asDaemon(code: string): Promise<string> {
  const from = (path: string): string => JSON.stringify(new URL(`../../../dist/${path}`, import.meta.url));
  const program = `
    const { Host } = await import(${from('host/host.js')});
    const { planNft } = await import(${from('plan/nft.js')});
    const host = await Host.open(() => {});
    const filter = async (id, spec) => {
      const look = () => {
        const { links, nft } = host.observe();
        const { hold, release } = planNft(id, links.ofVif(id), { filter: spec, masquerades: [] }, nft);
        return [...hold, release].filter(Boolean);
      };
      for (const action of look()) await host.perform(action);
      if (look().length > 0) throw new Error('still to do: ' + JSON.stringify(look()));
    };
    ${code}
    host.close();`;
  return await domnet.exec(process.execPath, ['--input-type=module', '-e', program]);
}

/** Filters both guests; only the first is served. */
const filterBoth = (): Promise<string> =>
  asDaemon(
    guests
      .map((vif, i) => {
        const spec = {
          hold: 'addresses',
          macs: [`00:16:3e:00:0${vif.domid}:00`],
          controlFrames: false,
          networks: [{ family: 4, address: address(vif.domid), prefix: 32 }],
          tagged: false,
          reverse: true,
          protectHost: {
            by: 'vif',
            dhcp: i === 0,
            ports: i === 0 ? ['udp', 'tcp'].map((protocol) => ({ protocol, port: 53 })) : [],
          },
        };
        return `await filter({ domid: ${vif.domid}, devid: 0 }, ${JSON.stringify(spec)});`;
      })
      .join('\n'),
  );

/** Whether a datagram with this sender arrives at guest 2 from elsewhere. */
async function arrivesFrom(source: string): Promise<boolean> {
  const { address: router } = (await domnet.link(uplink.name)) ?? { address: '' };
  const datagram = (from: string, id: number): Buffer =>
    ipv4({ from, to: address(2), protocol: 17, id }, udp(id, 9));
  const payload = (id: number): string => udp(id, 9).toString('hex');
  const capture = await Capture.start(await domnet.guestNamespace(2), 'eth0');
  const frames = [datagram(source, 7), datagram(elsewhere, 8)].map((packet) =>
    ethernet(router, '00:16:3e:00:03:00', etherTypes.ip, packet),
  );
  await send(await domnet.guestNamespace(3), 'eth0', frames);
  // Routed, so the headers changed on the way.
  await until('the honest datagram', () => capture.frames.some((frame) => frame.endsWith(payload(8))));
  await capture.stop();
  return capture.frames.some((frame) => frame.endsWith(payload(7)));
}

const connects = async (vif: Vif, to: string, port: number): Promise<boolean> =>
  vif.guestExec('python3', ['-c', `import socket; socket.create_connection(('${to}', ${port}), 1)`]).then(
    () => true,
    () => false,
  );

it("takes a guest's address from its vif only", async () => {
  expect(await arrivesFrom(address(1))).toBe(true);
  await filterBoth();
  expect(await arrivesFrom(address(1))).toBe(false);
  await guests[0]?.guestExec('ping', ['-c', '1', '-W', '5', elsewhere]);
  await guests[0]?.guestExec('ping', ['-c', '1', '-W', '5', address(2)]);
  const read =
    "console.log(JSON.stringify([[...await host.drops()], await host.dropsOf('vif1.0'), await host.dropsOf('vif9.0')]));";
  const [all, one, none] = JSON.parse(await asDaemon(read));
  const drops = new Map(all);
  expect([one, none]).toEqual([drops.get('vif1.0'), null]);
  expect(drops.get('vif1.0')).toMatchObject({ 'address of a guest': 1 });
  expect(drops.get('vif2.0')).toMatchObject({ 'address of a guest': 0 });
});

it('keeps a guest off the driver domain, but for what it is served', async () => {
  const listen = `
import socket, time
servers = [socket.create_server(('', port)) for port in (53, 8000)]
print('listening', flush=True)
time.sleep(3600)`;
  const server = spawn('ip', ['netns', 'exec', domnet.namespace, 'python3', '-c', listen]);
  try {
    await new Promise((resolve) => server.stdout.once('data', resolve));
    const [one, two] = guests as [Vif, Vif];
    const reach = () =>
      Promise.all([
        connects(one, gateway, 53),
        connects(one, gateway, 8000),
        connects(two, gateway, 53),
        connects(two, '192.0.2.1', 8000),
        connects(uplink, '192.0.2.1', 8000),
      ]);
    expect(await reach()).toEqual([true, true, true, true, true]);
    await filterBoth();
    expect(await reach()).toEqual([true, false, false, false, true]);
    await two.guestExec('ping', ['-c', '1', '-W', '5', gateway]);
    await domnet.exec('ping', ['-c', '1', '-W', '5', address(2)]);
    await two.guestExec('ping', ['-c', '1', '-W', '5', elsewhere]);
  } finally {
    server.kill('SIGKILL');
  }
});

it('goes without a trace of the vif, and comes back after the table was deleted', async () => {
  await filterBoth();
  await domnet.exec('nft', ['delete', 'table', 'inet', 'vifd']);
  await filterBoth();
  expect(await arrivesFrom(address(1))).toBe(false);
  await asDaemon('for (const domid of [1, 2]) await filter({ domid, devid: 0 }, undefined);');
  const left = await domnet.exec('nft', ['list', 'ruleset']);
  expect(left).not.toMatch(/vif\d|elements = \{ [^}]*comment/);
  expect(await arrivesFrom(address(1))).toBe(true);
});
