import { setTimeout as sleep } from 'node:timers/promises';
import type { Vif } from '../support/net/domnet.js';
import type { Show } from './show.js';

const bridgeAddress = '10.77.0.1';

async function makeBridge({ domnet, screen }: Show): Promise<void> {
  screen.step('A driver domain with a bridge');
  screen.act('admin', `ip link add xenbr0 up type bridge; ip address add ${bridgeAddress}/24 dev xenbr0`);
  await domnet.addBridge('xenbr0');
  await domnet.ip(`address add ${bridgeAddress}/24 dev xenbr0`);
}

async function startDaemon(show: Show): Promise<void> {
  show.screen.step('The daemon starts');
  await show.startDaemon();
}

async function plugFirst(show: Show): Promise<void> {
  show.screen.step("A guest is created with vif = ['bridge=xenbr0, backend=domnet']");
  await plug(show, 5);
}

async function plugSecond(show: Show): Promise<void> {
  const { screen, guests } = show;
  screen.step('Another guest, and the two of them talk');
  await plug(show, 6);
  screen.act('guest 5', 'ping 10.77.0.6');
  screen.found(await show.ping(guests[0] as Vif, '10.77.0.6'));
}

async function plug(show: Show, domid: number): Promise<void> {
  const { domnet, screen, guests } = show;
  const vif = await domnet.writeDevice({ domid });
  guests.push(vif);
  screen.act('libxl', `writes ${vif.backend}: bridge=xenbr0 mac=${await vif.read('mac')} online=1 state=1`);
  screen.act('netback', `makes the interface ${vif.name}, down, and writes state=2`);
  await vif.addNetdev();
  await vif.setState(2);
  const { ms } = await show.hear('vif attached', vif.name);
  await vif.connected();
  screen.found(`hotplug-status = connected, ${ms} ms after the daemon was told of the interface`);
  await vif.setState(4);
  const address = `10.77.0.${domid}/24`;
  await vif.guestIp(`address add ${address} dev eth0`);
  screen.act(`guest ${domid}`, `ip address add ${address} dev eth0; ping ${bridgeAddress}`);
  screen.found(await show.ping(vif, bridgeAddress));
}

async function restart(show: Show): Promise<void> {
  const { screen, guests } = show;
  screen.step('The daemon is restarted while a guest pings every 10 ms');
  const ping = show.ping(guests[0] as Vif, bridgeAddress, { count: 200, everyMs: 10 });
  // Awaited in any case: ping must not outlive its namespace.
  const pinged = ping.then(
    (summary) => () => summary,
    (error: unknown) => () => {
      throw error;
    },
  );
  try {
    await sleep(300);
    await show.stopDaemon();
    await show.startDaemon();
  } finally {
    await pinged;
  }
  screen.found(`the guests were adopted, not touched: ${(await pinged)()}`);
}

async function heal(show: Show): Promise<void> {
  const { domnet, screen, guests } = show;
  screen.step('A guest wants a bridge that does not exist yet');
  screen.act('libxl', 'writes backend/vif/7/0: bridge=xenbr1');
  const vif = await domnet.plug({ domid: 7, keys: { bridge: 'xenbr1' } });
  guests.push(vif);
  await show.hear('vif not attached', vif.name);
  await vif.status('error');
  screen.found(`hotplug-error = ${await vif.read('hotplug-error')}`);
  screen.act('admin', 'ip link add xenbr1 up type bridge');
  await domnet.addBridge('xenbr1');
  await show.hear('vif attached', vif.name);
  await vif.connected();
  if ((await vif.read('hotplug-error')) !== undefined) throw new Error('hotplug-error is still there');
  screen.found('hotplug-status = connected, hotplug-error is gone');
}

async function draw(show: Show): Promise<void> {
  const { domnet, screen, guests } = show;
  screen.step('A guest behind NAT, and one that is blocked: all of it, as vifd graph draws it');
  screen.act('admin', 'puts eth0 into xenbr0, with the default route; vifd block vif6.0');
  await domnet.ip('link add eth0 up master xenbr0 type veth peer name network');
  await domnet.ip('link set network up');
  await domnet.ip('route add default via 10.77.0.254 dev xenbr0');
  await domnet.command('block', 'vif6.0');
  screen.act('libxl', 'writes backend/vif/8/0: script=vif-nat, and backend/vif/9/0: bridge=xenbr2');
  const behind = await domnet.plug({ domid: 8, keys: { script: '/etc/xen/scripts/vif-nat' } });
  const lost = await domnet.plug({ domid: 9, keys: { bridge: 'xenbr2', ip: '10.77.0.9' } });
  guests.push(behind, lost);
  await show.hear('vif attached', behind.name);
  await lost.status('error');
  let drawn = false;
  const drawing = Promise.all([domnet.command('graph'), domnet.command('graph', '--format', 'svg')]).finally(
    () => {
      drawn = true;
    },
  );
  while (!drawn) await show.ping(guests[0] as Vif, bridgeAddress, { count: 100, everyMs: 2 });
  const [tree, picture] = await drawing;
  screen.text(`\n${tree.stdout}`);
  if (tree.status !== 0 || picture.status !== 0) throw new Error(`${tree.stderr}${picture.stderr}`);
  show.picture = picture.stdout;
}

async function unplug(show: Show): Promise<void> {
  const { screen, guests } = show;
  screen.step('The guests are destroyed');
  for (const vif of guests) {
    screen.act('libxl', `writes ${vif.backend}: online=0 state=5; netback: state=6, no more ${vif.name}`);
    const since = performance.now();
    await vif.unplug();
    const ms = Math.round(performance.now() - since);
    await show.hear('vif removed', vif.name);
    screen.found(`the directory is gone after ${ms} ms; libxl would have waited 10 s`);
  }
  await show.stopDaemon();
}

/** The steps, in order. Between any two the demo can be interrupted. */
export const story: readonly ((show: Show) => Promise<void>)[] = [
  makeBridge,
  startDaemon,
  plugFirst,
  plugSecond,
  restart,
  heal,
  draw,
  unplug,
];
