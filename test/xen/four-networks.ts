import { setTimeout as sleep } from 'node:timers/promises';
import type { Guest } from './guest.js';
import type { NetworkSetup } from './network-setups.js';
import type { XenHost } from './xen-host.js';

/*
 * All four networks in one domnet, made by a unit of its own whenever it boots, with dom0 as the host outside, which is there
 * while domnet is not, so that connections to it may live on.
 */
export interface Place extends Pick<NetworkSetup, 'name' | 'peer' | 'join'> {
  /** A guest's vif there, as in xl.cfg. */
  readonly vifOf: (guest: Guest) => string;
}

const last = (guest: Guest) => Number(/\d+$/.exec(guest.address(0)));
const onOpenVswitch = (guest: Guest) => guest.address(0).replace('10.9.', '10.10.');
/** In the network that domnet has with dom0. */
const besideDom0 = (guest: Guest) => `10.0.2.${last(guest) + 100}`;

const only = (address: string, router: string) =>
  `ip addr flush dev eth0; ip addr add ${address}/32 dev eth0; ip route add ${router} dev eth0; ip route add default via ${router} dev eth0`;

export const places: readonly Place[] = [
  { name: 'bridge', vifOf: () => 'ip=@', peer: '10.9.0.254', join: () => ':' },
  {
    name: 'Open vSwitch',
    vifOf: (guest) => `script=vif-openvswitch,bridge=ovsbr0,ip=${onOpenVswitch(guest)}`,
    peer: '10.10.0.254',
    join: (guest) => `ip addr flush dev eth0; ip addr add ${onOpenVswitch(guest)}/24 dev eth0`,
  },
  {
    name: 'routed',
    vifOf: (guest) => `script=vif-route,gatewaydev=eth0,ip=${besideDom0(guest)}`,
    peer: '10.0.2.15',
    join: (guest) => only(besideDom0(guest), '10.0.2.16'),
  },
  {
    name: 'NAT',
    vifOf: () => 'script=vif-nat,ip=@',
    peer: '10.0.2.15',
    join: (guest) => only(guest.address(0), `10.9.0.${last(guest) + 127}`),
  },
];

/** Open vSwitch keeps its own bridge and port; the devices that they and xenbr0 go out by, VLANs of eth0, are made anew. */
const devices = `ip link add link eth0 name eth0.30 type vlan id 30; ip link set eth0.30 master xenbr0 up
ip link add link eth0 name eth0.40 type vlan id 40; ip link set eth0.40 up
ip route add default via 10.0.2.15`;

const [unit, script] = ['/etc/systemd/system/rig-networks.service', '/etc/rig-networks'];
const unitFile = `[Unit]
After=rig-role.service
[Service]
Type=oneshot
ExecStart=/bin/bash ${script}
[Install]
WantedBy=multi-user.target`;

/** Keeps in files how many bytes each connection at port 7000 has brought, and answers nothing. */
const counting = `
import socket, threading
def serve(connection, peer):
    count = 0
    while data := connection.recv(4096):
        count += len(data)
        with open('/run/counting/%s-%d' % peer[:2], 'w') as file: print(count, file=file)
server = socket.create_server(('', 7000))
while True: threading.Thread(target=serve, args=server.accept(), daemon=True).start()`;

/** Makes the networks in domnet, now and whenever it boots, and dom0's side of them. */
export async function makeNetworks(host: XenHost): Promise<void> {
  await host.dom0(`
    for n in 30 40; do ip link add link mgmt name mgmt.$n type vlan id $n; ip link set mgmt.$n up; done
    ip addr add 10.9.0.254/24 dev mgmt.30; ip addr add 10.10.0.254/24 dev mgmt.40
    rm -rf /run/counting; mkdir /run/counting; cat >/root/counting.py <<'FILE'\n${counting}\nFILE
    systemd-run -q -u counting python3 /root/counting.py`);
  await host.domnet(`cat >${script} <<'FILE'\n${devices}\nFILE
    cat >${unit} <<'FILE'\n${unitFile}\nFILE
    systemctl -q enable rig-networks openvswitch-switch; systemctl start openvswitch-switch; bash ${script}
    ovs-vsctl --may-exist add-br ovsbr0 -- --may-exist add-port ovsbr0 eth0.40`);
}

export async function unmakeNetworks(host: XenHost): Promise<void> {
  await host.domnet(`ovs-vsctl --if-exists del-br ovsbr0; systemctl -q disable rig-networks openvswitch-switch
    rm -f ${unit} ${script}; ip link del eth0.30; ip link del eth0.40; ip route del default via 10.0.2.15; true`);
  await host.dom0('systemctl stop counting; ip link del mgmt.30; ip link del mgmt.40; true');
}

/** A command line for a guest that writes a byte a second to a connection to dom0 for as long as that lives. */
export const connecting = ({ peer }: Pick<Place, 'peer'>) =>
  `(while :; do printf x; sleep 1; done | nc ${peer} 7000; echo ended >/connection) >/dev/null 2>&1 &`;

/** How many bytes each connection has brought, by its address and port. */
export async function counted(host: XenHost): Promise<Map<string, number>> {
  const said = await host.dom0('cd /run/counting; grep . * /dev/null || :');
  return new Map([...said.matchAll(/^(\S+):(\d+)$/gm)].map(([, name = '', count]) => [name, Number(count)]));
}

/**
 * The connections that bring more than `before`. A retransmission after a long silence may be put off for up to two
 * minutes, so those that do not are waited for.
 */
export async function livingOn(
  host: XenHost,
  before: ReadonlyMap<string, number>,
  seconds = 150,
): Promise<string[]> {
  for (const end = Date.now() + seconds * 1000; ; await sleep(5000)) {
    const now = await counted(host);
    const alive = [...before.keys()].filter((name) => (now.get(name) ?? 0) > (before.get(name) ?? 0));
    if (alive.length === before.size || Date.now() > end) return alive;
  }
}
