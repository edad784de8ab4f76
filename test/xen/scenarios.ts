import { xlDevd } from './agents.js';
import type { Guest } from './guest.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios about the life of a vif, and of the agent that attached it, on a real Xen host.
 */
const eight = [0, 1, 2, 3, 4, 5, 6, 7];
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** Runs `what` and returns its duration in ms, by this machine's clock. */
async function timed(what: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await what();
  return performance.now() - start;
}

/** The resident, with one working vif. */
async function workingGuest(host: XenHost): Promise<Guest> {
  const guest = await host.resident();
  await guest.works();
  return guest;
}

/** The index of a netdev of domnet, which changes when the netdev is replaced under the same name. */
const ifindex = async (host: XenHost, name: string) =>
  (await host.domnet(`cat /sys/class/net/${name}/ifindex`)).trim();

/** Calls `disturb` while a guest pings all the time, and expects that no ping is lost and that nothing changes. */
async function underTraffic(host: XenHost, disturb: (guest: Guest) => Promise<unknown>): Promise<string> {
  const guest = await workingGuest(host);
  const before = await ifindex(host, guest.netdev(0));
  const seen = host.store.events.length;
  const stop = await guest.traffic();
  await disturb(guest);
  const summary = await stop();
  mustBe('ifindex', await ifindex(host, guest.netdev(0)), before);
  const changed = host.store.events.slice(seen).filter(({ path }) => path.startsWith(guest.backend(0)));
  const told = changed.filter(
    ({ path, value }) => value !== 'connected' || !path.endsWith('/hotplug-status'),
  );
  if (told.length > 0) throw new Error(`xenstore changed: ${told.map(({ path }) => path).join(', ')}`);
  await guest.works();
  // The agent must still attach and detach vifs.
  await host.attach(guest);
  await guest.works([0, 1]);
  return summary;
}

/** Reloads netfront in the guest: its driver releases the devices and finds them again. */
const reloadNetfront =
  'cd /sys/bus/xen/drivers/vif; for d in vif-*; do echo $d >unbind; done; cd /; rmmod xen-netfront && netfront';

export const scenarios: readonly Scenario[] = [
  {
    name: "the wiki's example: model=e1000, backend=domnet",
    short: true,
    async run(host) {
      const guest = await host.guest({
        vifs: ['bridge=xenbr0, mac=00:16:3E:0d:13:00, model=e1000, backend=domnet'],
      });
      await guest.works();
      const mac = (await guest.run('cat /sys/class/net/eth0/address')).trim();
      mustBe("the guest's address", mac, '00:16:3e:0d:13:00');
    },
  },
  {
    name: 'network-attach, network-detach, again',
    short: true,
    async run(host) {
      const guest = await host.resident([]);
      const took: number[] = [];
      for (let round = 0; round < 3; round++) {
        await host.attach(guest);
        await guest.works();
        took.push(await timed(() => host.dom0(`xl network-detach ${guest.name} 0`)));
        await guest.gone();
      }
      return `detach ${took.map(seconds).join(', ')}`;
    },
  },
  {
    name: 'restarted and killed under traffic',
    short: true,
    fault: true,
    run: (host) =>
      underTraffic(host, async () => {
        const { unit, start } = host.agent;
        await host.domnet(`systemctl restart ${unit}`);
        mustBe('what the journal has of it', (await host.complaints()).join('\n'), '');
        // An agent whose unit has no Restart= is started here.
        await host.domnet(
          `systemctl kill -s KILL ${unit}; for i in {1..9}; do [ "$(systemctl show -P NRestarts ${unit})" -gt 0 ] && break; sleep 1; done; ${start}`,
        );
      }),
  },
  {
    name: 'a guest with 8 vifs, created and destroyed',
    async run(host) {
      const guest = await host.guest({ vifs: eight.map(() => '') });
      await guest.works(eight);
      const took = await timed(() => host.dom0(`xl destroy ${guest.name}`));
      await guest.gone(eight);
      return `destroy ${seconds(took)}`;
    },
  },
  {
    name: 'a guest saved and restored, rebooted, then crashed',
    async run(host) {
      const guest = await host.guest();
      await guest.works();
      await host.dom0(`xl save ${guest.name} /root/saved`);
      await guest.gone();
      await host.dom0('xl restore /root/saved && rm /root/saved');
      await guest.findDomid();
      await guest.works();

      const { domid } = guest;
      await host.dom0(`xl reboot ${guest.name}`);
      await guest.gone();
      await host.dom0(
        `for i in {1..40}; do [ "$(xl domid ${guest.name} 2>/dev/null || echo 0)" -gt ${domid} ] && exit; sleep 0.5; done; exit 1`,
      );
      await guest.findDomid();
      await guest.works();

      await guest.run('(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &');
      await guest.gone([0], 40_000);
    },
  },
  {
    name: 'a guest migrated to this very host, then shut down',
    async run(host) {
      // PVH, because Debian builds its hypervisor without the shadow page tables a PV guest's migration needs.
      const guest = await host.guest({ type: 'pvh' });
      // QEMU's SVM now and then resets a guest that boots; xl starts it again under another id.
      await guest.connected([0], 30_000).catch(() => guest.findDomid());
      await guest.works();
      // Without ssh in between: the "host" is the command that receives.
      await host.dom0(`xl migrate -s '' ${guest.name} 'xl migrate-receive'`);
      await guest.findDomid();
      await guest.works();
      await host.dom0(`timeout 60 xl shutdown -w ${guest.name}`);
      await guest.gone();
    },
  },
  {
    name: 'netfront reloaded in the guest, netback in domnet',
    async run(host) {
      const guest = await workingGuest(host);
      const before = await ifindex(host, guest.netdev(0));
      await guest.run(reloadNetfront);
      await guest.works();
      mustBe('ifindex', await ifindex(host, guest.netdev(0)), before);

      await host.domnet(
        'cd /sys/bus/xen-backend/drivers/vif; for d in vif-*; do echo $d >unbind; done; rmmod xen-netback && modprobe xen-netback',
      );
      await host.until('hotplug-status', () => guest.status(0) === 'connected');
      // The guest's driver does not notice a backend that comes back, so it is reloaded.
      await guest.run(reloadNetfront);
      await guest.works();
      if ((await ifindex(host, guest.netdev(0))) === before) throw new Error('the netdev is the old one');
    },
  },
  {
    name: 'reloaded, upgraded, and hung until the watchdog starts it again, under traffic',
    only: 'vifd',
    fault: true,
    run: (host) =>
      underTraffic(host, async () => {
        await host.configure('[bridge]\nmtu = "uplink"');
        await host.agent.install();
        mustBe('what the journal has of it', (await host.complaints()).join('\n'), '');
        const unit = host.agent.unit;
        const watchdog = await host.domnet(`systemctl show -P WatchdogUSec ${unit}`);
        const since = await host.now();
        await host.domnet(
          `systemctl kill -s STOP ${unit}; until [ "$(systemctl show -P NRestarts ${unit})" -gt 0 ]; do sleep 1; done; ${host.agent.start}`,
        );
        const took = (await host.now()) - since;
        if (watchdog.trim() !== '30s' || took < 15)
          throw new Error(`watchdog of ${watchdog}, restarted after ${took} s`);
      }),
  },
  {
    name: 'left to xl devd, then to no agent, and started again, under traffic',
    only: 'vifd',
    run: (host) =>
      underTraffic(host, async (guest) => {
        await host.attach(guest, '', 1);
        await host.attach(guest, '', 2);
        await guest.works([1, 2]);
        // xl devd can detach what vifd has attached.
        await host.domnet(`${xlDevd.start}; sleep 3`);
        await host.dom0(`xl network-detach ${guest.name} 2`);
        await guest.gone([2]);
        // The backend of one is not deleted, and another comes. xl gives its type to the vifs of HVM guests only, and
        // those need VT-x or SVM. The xenstore keys do not.
        await host.domnet(xlDevd.stop);
        await host.attach(guest, 'model=e1000', 2);
        await host.dom0(`xenstore-write ${guest.backend(2)}/type vif_ioemu`);
        const refused = await host
          .dom0(`xl network-detach ${guest.name} 1`)
          .catch((error: Error) => error.message);
        if (!refused.includes('timed out')) throw new Error(`detached without an agent: ${refused}`);
        await host.domnet(host.agent.start);
        await host.until('the backend to go', () => host.store.under(guest.backend(1)).length === 0, 15_000);
        await guest.works([2]);
        // The nodes that xl leaves when it gives up.
        await host.dom0(`xenstore-rm ${guest.frontend(1)} /libxl/${guest.domid}/device/vif/1`);
        await host.dom0(`xl network-detach ${guest.name} 2`);
        await guest.gone([2]);
      }),
  },
  {
    name: 'a bridge that is missing, then there',
    fault: true,
    async run(host) {
      const guest = await host.resident(['bridge=xenbr7']);
      const error = await host.until('hotplug-error', () =>
        host.store.get(`${guest.backend(0)}/hotplug-error`),
      );
      // dom0 can read the error, with the same text as in the journal.
      const read = await host.dom0(
        `xenstore-read ${guest.backend(0)}/hotplug-status ${guest.backend(0)}/hotplug-error`,
      );
      mustBe('what dom0 reads', read.trim(), `error\n${error}`);
      await host.domnet(
        'ip link add xenbr7 type bridge; ip link set xenbr7 up; ip addr add 10.9.0.1/24 dev xenbr7; ip addr del 10.9.0.1/24 dev xenbr0',
      );
      try {
        await guest.works([0], { master: 'xenbr7' });
        mustBe('hotplug-error', host.store.get(`${guest.backend(0)}/hotplug-error`) || undefined, undefined);
        await host.dom0(`xl network-detach ${guest.name} 0`);
        await guest.gone();
      } finally {
        await host.domnet('ip link del xenbr7; ip addr add 10.9.0.1/24 dev xenbr0');
      }
      return error;
    },
  },
  {
    name: 'vifname, mtu=9000, rate=1Mb/s',
    async run(host) {
      const guest = await host.resident(['vifname=web0', 'mtu=9000', 'rate=1Mb/s']);
      await guest.works([0], { netdev: 'web0' });
      await host.dom0(`xl network-detach ${guest.name} 0`);
      await guest.gone();
      const left = await host.domnet('ip -br link show | grep -c web0 || :');
      mustBe('netdevs named web0', left.trim(), '0');

      await guest.works([1, 2]);
      mustBe('the mtu key the guest reads', host.store.get(`${guest.frontend(1)}/mtu`), '9000');
      const mtu = await host.domnet(`cat /sys/class/net/${guest.netdev(1)}/mtu`);
      mustBe('the mtu in domnet', mtu.trim(), '9000');
      await guest.run('ip link set eth1 mtu 9000');
      await guest.reaches([1], { size: 8900 });

      await host.domnet(
        "systemd-run -q -p RuntimeMaxSec=90 bash -c 'sleep 80 | busybox nc -l -p 999 >/dev/null'; until ss -ltn | grep -q ':999 '; do sleep 0.1; done",
      );
      const said = await guest.run(
        'time sh -c "dd if=/dev/zero bs=1024 count=1024 2>/dev/null | nc 10.9.2.1 999"',
      );
      const [, min = '0', sec = '0'] = /real\s+(\d+)m\s*([\d.]+)s/.exec(said) ?? [];
      const took = Number(min) * 60 + Number(sec);
      if (took < 5) throw new Error(`a megabyte went through in ${took} s: ${said.trim()}`);
      return `1 MiB in ${took} s`;
    },
  },
  {
    name: "vifs until xenstore's quota ends",
    only: 'vifd',
    fault: true,
    async run(host) {
      // Guests that never run: xl and netback make their vifs nevertheless, and the agent attaches them.
      let vifs = 0;
      let refused: string | undefined;
      let last: Guest | undefined;
      while (refused === undefined && vifs < 50) {
        const devids = vifs < 32 ? eight : vifs < 36 ? [0, 1, 2, 3] : [0];
        try {
          const guest = await host.guest({ vifs: devids.map(() => ''), paused: true });
          await host.until(guest.name, () => devids.every((n) => guest.status(n) === 'connected'), 30_000);
          vifs += devids.length;
          last = guest;
        } catch (error) {
          const { message } = error as Error;
          refused = message.split('\n').find((line) => line.includes('error')) ?? message;
        }
      }
      if (refused === undefined || last === undefined) throw new Error('50 vifs fit: there is no quota');
      // xl only sees that netback does not answer. Which write xenstore refused, the kernel knows, and vifd tells so.
      const kernel = await host.told(/vif-\d+-\d+: -?\d+ /).catch(() => {
        throw new Error(`after ${vifs} vifs, but not for xenstore's quota: ${refused}`);
      });
      const told = await host.told(/netback has given it up/);
      // There is no room for the error of another one either; its status is written.
      const one = last.backend(0);
      await host.dom0(`xenstore-write ${one}/bridge none`);
      await host.until('its error', () => host.store.get(`${one}/hotplug-status`) === 'error');
      await host.dom0(`xenstore-write ${one}/bridge xenbr0`);
      await host.until('it to heal', () => host.store.get(`${one}/hotplug-status`) === 'connected');
      // Room again, and all is well: with what was there, and with a new one.
      await host.dom0("xl destroy $(xl list | awk '$1 ~ /^g/ { print $1 }' | tail -n 1)");
      const guest = await host.guest();
      await guest.works();
      return `${vifs} fit. xl: ${refused} | journal: ${told} | kernel: ${kernel}`;
    },
  },
  {
    name: 'domnet rebooted',
    async run(host) {
      const guest = await workingGuest(host);
      const old = host.domnetId;
      await host.domnet('systemctl --no-block reboot').catch(() => undefined);
      await host.domnetIsBack(old);
      mustBe('the unit', (await host.domnet(`systemctl is-active ${host.agent.unit} || :`)).trim(), 'active');
      // The guest's vif belonged to a domain that is no more: it has to be made again.
      await host
        .dom0(`xl network-detach ${guest.name} 0 || xl network-detach -f ${guest.name} 0 || :`)
        .catch(() => undefined);
      await host.attach(guest);
      await guest.works();
    },
  },
];
