import { ethernet, etherTypes, ipv4, udp } from '../support/packets/frames.js';
import { Capture } from './capture.js';
import type { Guest } from './guest.js';
import { type NetworkSetup, networkSetups, withSetup } from './network-setups.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * The vifs that libxl makes for an HVM guest under a stubdomain, on a real Xen host: two sets of the same keys. An HVM
 * guest needs VT-x or SVM, and the keys do not, so each set is of a PV guest here: one is the stubdomain, whose frontend is
 * connected from the beginning, the other the guest, whose PV driver is loaded later and goes again. A third is another guest.
 */
const card = { mac: '00:16:3e:77:00:01', address: '10.9.0.77' };
/** Of 12 characters, so that libxl's suffix makes it too long. */
const ownName = 'webserver-01';

interface Guests {
  readonly stubdomain: Guest;
  readonly own: Guest;
  readonly other: Guest;
}

/** The driver domain's address for a guest that is routed. */
const routerOf = ({ name }: NetworkSetup, address: string): string | undefined => {
  if (name === 'routed') return '10.9.0.1';
  return name === 'NAT' ? address.replace(/\d+$/, (last) => `${Number(last) + 127}`) : undefined;
};

/** A command line for a guest that gives its eth0 this address alone. */
function configured(setup: NetworkSetup, address: string): string {
  const router = routerOf(setup, address);
  const routes = `ip route replace ${router} dev eth0; ip route replace default via ${router} dev eth0`;
  return `ip addr flush dev eth0; ip addr add ${address}/${router === undefined ? 24 : 32} dev eth0; ip link set eth0 up${router === undefined ? '' : `; ${routes}`}`;
}

const loadDriver = 'modprobe xen-netfront; until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done';
/** The frontend closes, as when a guest reboots without its PV driver; the device stays. */
const unloadDriver =
  'cd /sys/bus/xen/drivers/vif 2>/dev/null && for d in vif-*; do [ ! -e $d ] || echo $d >unbind; done; cd /; rmmod xen-netfront';

/** How many packets netback has been given for each of the two, the stubdomain first. */
async function given(host: XenHost, { stubdomain }: Guests): Promise<number[]> {
  const of = [stubdomain.netdev(0), ownName].map(
    (netdev) => `cat /sys/class/net/${netdev}/statistics/tx_packets 2>/dev/null || echo 0`,
  );
  return (await host.domnet(of.join('; '))).trim().split('\n').map(Number);
}

/** To which of the two ten pings of another guest come, if all are answered. */
async function answersBy(host: XenHost, guests: Guests): Promise<string> {
  const before = await given(host, guests);
  const said = await guests.other.run(`ping -q -c 10 -i 0.1 -W 3 ${card.address}; true`);
  const lost = /(\d+)% packet loss/.exec(said)?.[1];
  if (lost !== '0') return `nothing: ${lost ?? '?'} % lost`;
  const more = (await given(host, guests)).map((count, n) => count - (before[n] ?? 0) >= 10);
  return ['the stubdomain', 'the guest'].filter((_, n) => more[n]).join(' and ');
}

/** Waits until what others send to the card comes to `target` alone, and expects that this reaches the network's peer. */
async function goesBy(host: XenHost, target: Guest, guests: Guests, setup: NetworkSetup): Promise<void> {
  const name = target === guests.own ? 'the guest' : 'the stubdomain';
  await host.becomes('what answers', name, () => answersBy(host, guests), 120_000);
  await target.run(`ping -q -c 3 -i 0.2 -W 3 ${setup.peer}`);
}

/** Sends from another address, from another MAC, and then what is right, and expects the last alone at the other guest. */
async function mayNotForge(host: XenHost, sender: Guest, other: Guest, setup: NetworkSetup): Promise<void> {
  const to = (await other.run('cat /sys/class/net/eth0/address')).trim();
  const mac = routerOf(setup, card.address) === undefined ? to : 'fe:ff:ff:ff:ff:ff';
  const frame = (port: number, from: string, source = card.mac) =>
    ethernet(
      mac,
      source,
      etherTypes.ip,
      ipv4({ from, to: other.address(0), protocol: 17, id: port }, udp(port, port)),
    ).toString('hex');
  const frames = [
    frame(4001, '10.9.0.200'),
    frame(4002, card.address, '00:16:3e:66:66:66'),
    frame(4003, card.address),
  ];
  const capture = await Capture.forGuest(host, other.netdev(0));
  const came = (port: number) =>
    capture.frames.some((hex) => hex.slice(72, 76) === port.toString(16).padStart(4, '0'));
  try {
    await sender.run(`sendframes eth0 <<END\n${frames.join('\n')}\nEND`);
    await host.until('the honest datagram', () => came(4003));
  } finally {
    capture.stop();
  }
  mustBe('datagrams that passed with a forged address or MAC', [4001, 4002].filter(came).join(), '');
}

/** For how long the other guest's pings to the card had no answer while `change` moved the traffic, in seconds. */
async function meanwhile(other: Guest, change: () => Promise<unknown>): Promise<number> {
  await other.run(`ping -i 0.1 ${card.address} >/moved 2>&1 & echo $! >/moved.pid; sleep 1`);
  await change();
  const said = await other.run(
    'sleep 2; kill -INT $(cat /moved.pid); wait $(cat /moved.pid); tail -n 3 /moved',
  );
  const [, sent, came] = /(\d+) packets transmitted, (\d+) /.exec(said) ?? [];
  if (sent === undefined) throw new Error(`the pings: ${said}`);
  return (Number(sent) - Number(came)) / 10;
}

async function followsTheFrontend(host: XenHost, setup: NetworkSetup, guests: Guests): Promise<string> {
  const { stubdomain, own, other } = guests;
  const keys = [setup.vif.replace('ip=@', ''), `mac=${card.mac}`, `ip=${card.address}`];
  const vif = (vifname: string) => [...keys, `vifname=${vifname}`].filter((key) => key !== '').join(',');
  await host.attach(other, `${setup.vif.replace('ip=@', '')},ip=@`);
  await host.attach(stubdomain, vif(`${ownName}-emu`));
  await own.run(unloadDriver);
  await host.attach(own, vif(ownName));
  await host.dom0(`xenstore-write ${own.backend(0)}/type vif_ioemu`);
  await other.connected([0], 240_000);
  await stubdomain.connected([0], 240_000);
  await host.until("the guest's own vif", () => own.status(0) === 'connected', 240_000);
  await other.run(configured(setup, other.address(0)));
  await stubdomain.run(configured(setup, card.address));
  const names = await host.domnet('ls /sys/class/net');
  for (const name of [ownName, stubdomain.netdev(0)])
    if (!names.split('\n').includes(name)) throw new Error(`no netdev ${name}: ${names}`);

  // Of two that come at once either may have the route for a moment, and the other mends it.
  await goesBy(host, stubdomain, guests, setup);
  await host.complaints();
  const silent: number[] = [];
  const moves = async (target: Guest, change: () => Promise<unknown>): Promise<void> => {
    silent.push(await meanwhile(other, change));
    await goesBy(host, target, guests, setup);
  };
  await mayNotForge(host, stubdomain, other, setup);
  await moves(own, () => own.run(`${loadDriver}; ${configured(setup, card.address)}`));
  await mayNotForge(host, own, other, setup);
  await host.domnet(`systemctl restart ${host.agent.unit}`);
  await goesBy(host, own, guests, setup);
  await moves(stubdomain, () => own.run(unloadDriver));
  await moves(own, () => own.run(`${loadDriver}; ${configured(setup, card.address)}`));
  for (const guest of [own, stubdomain]) mustBe(guest.netdev(0), guest.status(0), 'connected');
  // dom0 takes the guest's own away.
  await host.dom0(`xl network-detach ${own.name} 0`);
  await goesBy(host, stubdomain, guests, setup);
  // The first is told again by a vifd that was restarted.
  const complaints = (await host.complaints()).filter(
    (line) => !/keeps its own name|xenstored does not answer/.test(line),
  );
  mustBe('what the journal complains of', complaints.join(), '');
  return silent.map((seconds) => seconds.toFixed(1)).join(', ');
}

const stubdomain = (setup: NetworkSetup): Scenario => ({
  name: `${setup.name}: an HVM guest and its stubdomain, of which the traffic follows the frontend that connected last`,
  only: 'vifd',
  fault: true,
  run: (host) =>
    withSetup(host, setup, async () => {
      const other = await host.resident([]);
      const guests = {
        other,
        stubdomain: await host.guest({ vifs: [] }),
        own: await host.guest({ vifs: [] }),
      };
      for (const guest of Object.values(guests)) await guest.run('true');
      return `seconds of silence at each of three changes: ${await followsTheFrontend(host, setup, guests)}`;
    }),
});

export const stubdomains: readonly Scenario[] = networkSetups.map(stubdomain);
