import { ethernet, etherTypes, ipv4, udp } from '../support/packets/frames.js';
import { Capture } from './capture.js';
import { attacker, listener, listening, send } from './forging.js';
import type { Guest } from './guest.js';
import { bridge, type NetworkSetup, nat, openvswitch, routed, withSetup } from './network-setups.js';
import { mustBe, type Scenario } from './scenario.js';
import type { XenHost } from './xen-host.js';

/*
 * Scenarios about topologies and anti-spoofing, with packets through the real netfront and netback, and with the VLAN
 * filter of Linux' bridge and Open vSwitch's datapath in the kernel.
 */

/** The resident guest with a vif of this network setup, configured as its administrator would. */
async function guestAt(host: XenHost, networkSetup: NetworkSetup, more = ''): Promise<Guest> {
  const guest = await host.resident([[networkSetup.vif, more].filter((part) => part !== '').join(',')]);
  await guest.run(`netfront; ${networkSetup.join(guest)}`);
  return guest;
}

/** Expects that a command that sends packets from the guest gets no answer. */
async function noPacket(guest: Guest, command: string): Promise<void> {
  const said = await guest.run(`${command} && echo PASSES; true`);
  if (said.includes('PASSES')) throw new Error(`it gets through: ${command}`);
}

/** Sends from its address, from another's, and from another MAC, to a host beyond domnet. */
async function forgeOutwards(host: XenHost, networkSetup: NetworkSetup, guest: Guest): Promise<void> {
  const capture = await Capture.start(host, 'out', 'eth0');
  const datagram = (port: number, from: string, source = attacker) =>
    ethernet(
      'fe:ff:ff:ff:ff:ff',
      source,
      etherTypes.ip,
      ipv4({ from, to: networkSetup.peer, protocol: 17, id: port }, udp(port, port)),
    );
  // The destination port identifies the packet: neither routing nor masquerading changes it.
  const came = (port: number) =>
    capture.frames.some((hex) => hex.slice(72, 76) === port.toString(16).padStart(4, '0'));
  const own = guest.address(0);
  await send(guest, [
    datagram(4001, own),
    datagram(4002, '10.9.0.200'),
    datagram(4003, own, '00:16:3e:66:66:66'),
    datagram(4004, own),
  ]);
  await host.until('the honest datagrams', () => came(4001) && came(4004)).finally(() => capture.stop());
  mustBe('packets that passed with a forged address or MAC', [4002, 4003].filter(came).join(), '');
}

/** The scenario for each topology that routes: a vif is attached, used, forges, is detached, and attached again. */
const around = (networkSetup: NetworkSetup): Scenario => ({
  name: `${networkSetup.name}: attached, no address but its own, detached, again`,
  run: (host) =>
    withSetup(host, networkSetup, async () => {
      const guest = await guestAt(host, networkSetup, `mac=${attacker}`);
      await guest.works([0], networkSetup);
      // The stock scripts have no anti-spoofing.
      if (host.agent.name === 'vifd') await forgeOutwards(host, networkSetup, guest);
      await host.dom0(`xl network-detach ${guest.name} 0`);
      await guest.gone();
      await host.attach(guest, networkSetup.vif);
      await guest.connected();
      await guest.run(`netfront; ${networkSetup.join(guest)}`);
      await guest.works([0], networkSetup);
      return host.agent.name === 'vifd' ? undefined : 'whether it may forge was not tried';
    }),
});

export const topologies: readonly Scenario[] = [
  around(routed),
  around(nat),
  {
    name: 'bridge: VLANs',
    only: 'vifd',
    fault: true,
    run: (host) =>
      withSetup(
        host,
        {
          ...bridge,
          make: `ip link add xenbr9 type bridge; ip link set xenbr9 up
            for n in 0 1; do vid=$((10 + 10 * n)); ip link add link xenbr9 name xenbr9.$vid type vlan id $vid; ip link set xenbr9.$vid up
              ip addr del 10.9.$n.1/24 dev xenbr0; ip addr add 10.9.$n.1/24 dev xenbr9.$vid; bridge vlan add dev xenbr9 vid $vid self 2>/dev/null; done`,
          unmake: 'ip link del xenbr9; for n in 0 1; do ip addr add 10.9.$n.1/24 dev xenbr0; done',
        },
        async () => {
          const guest = await host.guest({
            vifs: ['bridge=xenbr9,vlan=10', 'bridge=xenbr9,vlan=10p/20-30'],
          });
          // xl before 4.19 ignores the key when it creates a guest, so it is written here as xl would.
          for (const [n, vlan] of ['10', '10p/20-30'].entries()) {
            const key = `${guest.backend(n)}/vlan`;
            await host.dom0(
              `[ "$(xenstore-read ${key} 2>/dev/null)" = ${vlan} ] || xenstore-write ${key} ${vlan}`,
            );
          }
          const error = await host.until('hotplug-error', () =>
            host.store.get(`${guest.backend(0)}/hotplug-error`),
          );
          const link = await host.domnet(`ip -o link show ${guest.netdev(0)}`);
          if (link.includes(',UP')) throw new Error(`up without its VLAN: ${link}`);

          await host.domnet(
            'ip link set xenbr9 type bridge vlan_filtering 1; for v in 10 20; do bridge vlan add dev xenbr9 vid $v self; done',
          );
          await guest.connected([0, 1]);
          const vlans = async (n: number) => {
            const said = await host.domnet(`bridge -j -c vlan show dev ${guest.netdev(n)}`);
            const [port] = JSON.parse(said) as [
              { vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[] },
            ];
            const words = port.vlans.map(({ vlan, vlanEnd, flags = [] }) =>
              [vlanEnd === undefined ? vlan : `${vlan}-${vlanEnd}`, ...flags].join(' '),
            );
            return words.join(', ');
          };
          mustBe('VLANs of the first', await vlans(0), '10 PVID Egress Untagged');
          const range = Array.from({ length: 11 }, (_, i) => 20 + i).join(', ');
          mustBe('VLANs of the second', await vlans(1), `10 PVID Egress Untagged, ${range}`);
          // Untagged, the guest is in VLAN 10; where it may tag, in 20 as well.
          await guest.reaches([0]);
          const tagged = (n: number) =>
            `ip link add link eth${n} name eth${n}.20 type vlan id 20; ip link set eth${n}.20 up; ip addr flush dev eth1
             ip addr add ${guest.address(1)}/24 dev eth${n}.20; ping -q -c 2 -W 3 -I eth${n}.20 10.9.1.1`;
          await noPacket(guest, tagged(0));
          await guest.run(`ip link del eth0.20; ${tagged(1)}`);
          // Another VLAN, while it runs.
          await guest.run('ip link del eth1.20; ip link set eth1 down');
          await host.dom0(`xenstore-write ${guest.backend(0)}/vlan 20`);
          await host.told(new RegExp(`${guest.netdev(0)} updated .* vid 20 pvid`));
          mustBe('VLANs after the change', await vlans(0), '20 PVID Egress Untagged');
          await noPacket(guest, 'ping -q -c 2 -W 2 -I eth0 10.9.0.1');
          await guest.run(
            `ip addr flush dev eth0; ip addr add ${guest.address(1)}/24 dev eth0; ping -q -c 2 -W 3 -I eth0 10.9.1.1`,
          );
          return error;
        },
      ),
  },
  {
    name: 'Open vSwitch: attached, in a VLAN, detached, again',
    run: (host) =>
      withSetup(host, openvswitch, async () => {
        const guest = await host.resident(['', '.20'].map((tag) => `${openvswitch.vif}${tag}`));
        await guest.works([0, 1], { master: 'ovs-system' });
        const port = await host.domnet(`ovs-vsctl get port ${guest.netdev(1)} tag`);
        mustBe('the tag', port.trim(), '20');
        // A guest in VLAN 20 alone does not receive frames of the others.
        await noPacket(
          guest,
          `ip addr flush dev eth0; ip addr add ${guest.address(0)}/24 dev eth1; ping -q -c 2 -W 2 -I eth1 10.9.0.1`,
        );
        await host.dom0(`xl network-detach ${guest.name} 1`);
        await guest.gone([1]);
        mustBe(
          'the ports',
          (await host.domnet('ovs-vsctl list-ports ovsbr0')).trim(),
          `${guest.netdev(0)}\nvlan20`,
        );
        await host.attach(guest, `${openvswitch.vif}.20`, 1);
        await guest.works([0, 1], { master: 'ovs-system' });
        return undefined;
      }),
  },
  {
    name: 'NAT: a guest leases its address',
    only: 'vifd',
    run: (host) =>
      withSetup(host, nat, async () => {
        await host.configure('[nat]\ndhcp = "dnsmasq"\nnetwork = "172.20.0.0/14"');
        const guest = await host.resident(['script=vif-nat']);
        await guest.connected();
        const lease = await guest.run(
          `ip addr flush dev eth0; ip link set eth0 up
           printf '#!/bin/sh\\n[ "$1" = bound ] || exit 0\\nip addr add $ip/$mask dev $interface\\nip route add $router dev $interface\\nip route add default via $router\\necho $ip $router\\n' >/bin/lease
           chmod +x /bin/lease; udhcpc -i eth0 -n -q -t 10 -s /bin/lease`,
        );
        await guest.run('ping -q -c 2 -W 3 192.0.2.9');
        return lease.split('\n').find((line) => line.startsWith('172.')) ?? lease;
      }),
  },
  {
    name: 'NAT: a guest finds its address in xenstore, below a directory that dom0 has made',
    only: 'vifd',
    fault: true,
    run: (host) =>
      withSetup(host, nat, async () => {
        await host.configure('[nat]\nguest_keys = true');
        const guest = await host.resident([nat.vif, nat.vif, '']);
        await guest.connected([0, 1, 2]);
        const made = `/local/domain/${guest.domid}/vifd`;
        const told = await host.told(/dom0 has made no such directory/);
        try {
          await host.dom0(
            `xenstore-write ${made} '' && xenstore-chmod ${made} n0 r${guest.domid} b${host.domnetId}`,
          );
          await host.becomes('the directories', '0 1', async () =>
            (await host.dom0(`xenstore-list ${made}`)).trim().split('\n').sort().join(' '),
          );
          const lines = (await host.dom0(`xenstore-ls -p ${made}`)).split('\n');
          // oxenstored gives a node to the owner of what it is in, xenstored to the domain that makes it.
          const permissions = new RegExp(`\\(n(0|${host.domnetId}),r${guest.domid},b${host.domnetId}\\)$`);
          for (const [key, value] of [
            ['ip', `${guest.address(0)}/24`],
            ['ip', `${guest.address(1)}/24`],
            ['gateway', '10.9.0.1'],
            ['gateway', '10.9.1.1'],
          ]) {
            const line = lines.find((one) => one.trim().startsWith(`${key} = "${value}"`)) ?? '';
            if (!permissions.test(line.replaceAll(' ', '')))
              throw new Error(`${key} ${value} with ${permissions} is missing in ${lines.join('; ')}`);
          }
          await host.dom0(`xl network-detach ${guest.name} 1`);
          await guest.gone([1]);
          await host.becomes('what is left', '0', async () =>
            (await host.dom0(`xenstore-list ${made}`)).trim(),
          );
        } finally {
          await host.dom0(`xenstore-rm ${made}`);
        }
        return told;
      }),
  },
  {
    name: 'the firewall reloaded: a guest that forges all the while',
    only: 'vifd',
    fault: true,
    run: (host) =>
      withSetup(host, bridge, async () => {
        await host.domnet(listening(listener, 'ip link set lis0 master xenbr0'));
        const guest = await guestAt(host, bridge, `mac=${attacker},ip=@`);
        await guest.works();
        const forged = ethernet(
          listener,
          attacker,
          etherTypes.ip,
          ipv4({ from: '10.9.0.200', to: '10.9.0.201', protocol: 17 }, udp(1, 1)),
        );
        const capture = await Capture.start(host, 'lis', 'eth0');
        const came = () => capture.frames.filter((hex) => hex.startsWith(forged.toString('hex'))).length;
        let [passed, dropped] = [0, 0];
        try {
          await guest.run(
            `echo ${forged.toString('hex')} >/forged; (while :; do cat /forged; done | sendframes eth0) & echo $! >/forging; sleep 1`,
          );
          for (let i = 0; i < 3; i++)
            await host.domnet('nft flush ruleset; nft delete table netdev vifd 2>/dev/null; sleep 0.5');
          passed = came();
          await host.domnet('sleep 1');
          mustBe('forged frames that come through afterwards', came() - passed, 0);
          await guest.run('kill $(cat /forging)');
          const status = await host.domnet(`vifd status ${guest.netdev(0)} --json`);
          dropped = Number(/"IPv4 source": *(\d+)/.exec(status)?.[1]);
          if (!(dropped > 10)) throw new Error(`hardly anything was forged: ${status}`);
        } finally {
          capture.stop();
          await host.domnet('ip link del lis0; ip netns del lis');
        }
        // With Debian 13's kernel and nft vifd owns the table; on Debian 12 it is restored after the change.
        const own = (await host.domnet('nft list ruleset')).includes('persist');
        if (own) mustBe('forged frames that came through', passed, 0);
        await guest.reaches();
        return `${passed} forged frames came through, ${dropped} were dropped since`;
      }),
  },
  {
    name: 'the sandbox denies nothing',
    only: 'vifd',
    run: (host) =>
      withSetup(host, nat, async () => {
        // strace sees what seccomp, the device policy and the read-only mounts answer; it is not in the sandbox itself.
        await host.domnet(
          `systemd-run -q -u denials strace -f -q -Z -e signal=none -o /root/denials -p $(systemctl show -P MainPID vifd)
           until [ "$(grep TracerPid: /proc/$(systemctl show -P MainPID vifd)/status | cut -f2)" != 0 ]; do sleep 0.2; done`,
        );
        try {
          await host.configure('[nat]\ndhcp = "dnsmasq"');
          const vifs = [`mac=${attacker},ip=@`, nat.vif, 'script=vif-route,gatewaydev=wan0,ip=@'];
          const guest = await host.resident(vifs);
          await guest.connected([0, 1, 2]);
          await host.domnet('vifd status');
          await host.dom0(`for n in 0 1 2; do xl network-detach ${guest.name} $n; done`);
          await guest.gone([0, 1, 2]);
        } finally {
          await host.domnet('systemctl stop denials');
        }
        // systemctl asks whether it is in a chroot, and does without the answer.
        const denied = await host.domnet(
          "grep -E ' (EPERM|EACCES|EROFS) ' /root/denials | grep -v '\"/proc/1/root\"' || :",
        );
        mustBe('what was denied', [denied.trim(), ...host.heard(/audit:|seccomp/)].join(''), '');
        return undefined;
      }),
  },
  {
    name: "an operator's own script",
    async run(host) {
      const script = '/etc/xen/scripts/vif-ours';
      const text = `#!/bin/bash
        echo "$1 $vif"
        [ "$1" = online ] || exit 0
        ip link set "$vif" master xenbr0 up && xenstore-write "$XENBUS_PATH/hotplug-status" connected`;
      await host.domnet(`cat >${script} <<'END'\n${text}\nEND\nchmod 755 ${script}`);
      const guest = await host.resident(['script=vif-ours']);
      await guest.works();
      await host.dom0(`xl network-detach ${guest.name} 0`);
      await guest.gone();
      await host.told(new RegExp(`offline ${guest.netdev(0)}`));
      await host.domnet(`rm ${script}`);
      return undefined;
    },
  },
  {
    name: "options of a port, the uplink's MTU, a hook",
    only: 'vifd',
    run: (host) =>
      withSetup(
        host,
        {
          ...bridge,
          make: `ip link add up0 type dummy; ip link set up0 mtu 1400 master xenbr0 up; mkdir -p /etc/vifd/hooks
            printf '#!/bin/sh\ncat >>/run/vifd/hooked\n' >/etc/vifd/hooks/10-tell; chmod 755 /etc/vifd/hooks/10-tell`,
          unmake: 'ip link del up0; rm -r /etc/vifd/hooks /run/vifd/hooked',
        },
        async () => {
          await host.configure(
            '[bridge]\nmtu = "uplink"\n[hooks]\ndirectory = "/etc/vifd/hooks"\n[[vif]]\nbridge = "xenbr0"\nisolated = true\nmulticast_flood = false\ntxqueuelen = 1234',
          );
          const guest = await host.resident();
          await guest.works();
          const netdev = guest.netdev(0);
          const found = await host.domnet(
            `cd /sys/class/net/${netdev}; cat brport/isolated brport/multicast_flood tx_queue_len mtu`,
          );
          mustBe(
            'isolated, multicast_flood, tx_queue_len, mtu',
            found.trim().split('\n').join(),
            '1,0,1234,1400',
          );
          await host.domnet('ip link set up0 mtu 1300');
          await host.told(/updated .* mtu 1300/);
          mustBe('mtu', (await host.domnet(`cat /sys/class/net/${netdev}/mtu`)).trim(), '1300');
          await guest.reaches();
          const hooked = await host.domnet('cat /run/vifd/hooked');
          if (!hooked.includes(`"event":"attach","vif":"${netdev}"`))
            throw new Error(`the hook heard: ${hooked}`);
          return undefined;
        },
      ),
  },
  {
    name: 'bridge and ip rewritten by dom0, connected as it is',
    only: 'vifd',
    run: (host) =>
      withSetup(
        host,
        {
          ...bridge,
          make: 'ip link add xenbr9 type bridge; ip link set xenbr9 up',
          unmake: 'ip link del xenbr9',
        },
        async () => {
          const guest = await guestAt(host, bridge, 'ip=@');
          await guest.works();
          const before = await host.domnet(`cat /sys/class/net/${guest.netdev(0)}/ifindex`);
          const rewrite = async (key: string, value: string, updated: RegExp) => {
            await host.dom0(`xenstore-write ${guest.backend(0)}/${key} ${value}`);
            await host.told(updated);
            mustBe('what the journal complains of', (await host.complaints()).join(), '');
          };
          const ping = 'ping -q -c 2 -W 1 10.9.0.1';
          await rewrite('ip', '10.9.0.250', /updated on bridge xenbr0/);
          await noPacket(guest, ping);
          await rewrite('ip', guest.address(0), /updated on bridge xenbr0/);
          await rewrite('bridge', 'xenbr9', /updated on bridge xenbr9/);
          await noPacket(guest, ping);
          await rewrite('bridge', 'xenbr0', /updated on bridge xenbr0/);
          await guest.works();
          const after = await host.domnet(`cat /sys/class/net/${guest.netdev(0)}/ifindex`);
          mustBe('ifindex', after, before);
          return undefined;
        },
      ),
  },
];
