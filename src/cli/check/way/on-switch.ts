import { switchTreeOff } from '../../../decide/obstacles.js';
import type { OvsPort } from '../../../model/ovs-port.js';
import { error, type Finding, note, ok, warning } from '../finding.js';
import type { WayFacts } from './facts.js';
import { aboutStandby } from './standby.js';

/** From the vif's port over Open vSwitch to the ports at which its frames come out. */
export function onSwitch({ switch: facts, vifs }: WayFacts): Finding[] {
  if (facts === undefined) return [];
  const { bridge, port, failMode, controllers, tag, trunks, ports, trace, onStandby = false } = facts;
  const findings: Finding[] = [];
  const own = ports.get(port);
  if (own === undefined) {
    return [
      error(
        'openvswitch',
        `bridge ${bridge} has no port ${port}`,
        'systemctl start vifd; systemctl status openvswitch-switch',
      ),
    ];
  }
  if (own.error !== '')
    findings.push(
      error('openvswitch', `ovs-vswitchd has not taken ${port}: ${own.error}`, 'journalctl -u ovs-vswitchd'),
    );
  if (onStandby) return [...findings, aboutStandby('openvswitch', port)];
  const vlan =
    tag !== undefined
      ? `VLAN ${tag}`
      : trunks.length > 0
        ? `VLANs ${trunks.join(', ')}, tagged`
        : 'all VLANs';
  findings.push(ok('openvswitch', `${port} is a port of ${bridge}, in ${vlan}`));
  findings.push(...aboutTree(port, own.waiting, bridge));
  for (const [target, isConnected] of controllers) {
    if (!isConnected)
      findings.push(
        warning(
          'controller',
          `${target} of ${bridge} is not connected`,
          `ovs-vsctl get-controller ${bridge}; is that program running?`,
        ),
      );
  }
  if (!Array.isArray(trace)) {
    const { reason } = trace as { reason: string };
    return [
      ...findings,
      note(
        'flows',
        `ovs-vswitchd could not be asked where a frame goes: ${reason}`,
        'systemctl status ovs-vswitchd',
      ),
    ];
  }
  const out = trace as readonly string[];
  if (out.length === 0) {
    const secure = failMode === 'secure';
    findings.push(
      error(
        'flows',
        `${bridge} drops a broadcast of the guest${secure ? ': fail_mode is secure, so nothing passes but by flows' : ''}`,
        secure
          ? `start the controller that sets its flows, or ovs-vsctl set-fail-mode ${bridge} standalone and ovs-ofctl add-flow ${bridge} actions=NORMAL`
          : `ovs-ofctl dump-flows ${bridge}; ovs-appctl ofproto/trace ${bridge} in_port=${port} tells which flow drops it`,
      ),
    );
    return findings;
  }
  findings.push(ok('flows', `a broadcast of the guest comes out at ${out.join(', ')}`));
  for (const [name, { waiting, type }] of ports)
    if (type !== 'internal' && !vifs.has(name)) findings.push(...aboutTree(name, waiting, bridge));
  const uplinks = [...ports].filter(([name, { type }]) => type !== 'internal' && !vifs.has(name));
  const reached = uplinks.filter(([name]) => out.includes(name));
  const beyond = out.some((name) => !ports.has(name) && !vifs.has(name));
  if (uplinks.length === 0) {
    findings.push(
      note(
        'uplink',
        `${bridge} has no port but vifs: its guests reach one another, and this domain`,
        `ovs-vsctl add-port ${bridge} eth0, if they are to reach a network`,
      ),
    );
  } else if (reached.length === 0 && !beyond && !uplinks.some(([, { type }]) => type === 'patch')) {
    const names = uplinks.map(([name]) => name).join(', ');
    findings.push(
      error(
        'uplink',
        `a broadcast of the guest, in ${vlan}, does not come out at ${names}, the way out of ${bridge}`,
        `ovs-vsctl list port ${names}: do its tag and trunks have the VLAN of the guest?`,
      ),
    );
  } else {
    const down = reached.filter(([, { link }]) => link === 'down').map(([name]) => name);
    findings.push(
      down.length > 0 && down.length === reached.length
        ? error(
            'uplink',
            `${down.join(', ')}, the way out of ${bridge}, has no carrier`,
            'the cable, or the other end',
          )
        : ok('uplink', `${reached.map(([name]) => name).join(', ') || 'beyond a patch port'}`),
    );
  }
  return findings;
}

/** Whether the spanning tree of the bridge keeps a port from forwarding. */
function aboutTree(port: string, waiting: OvsPort['waiting'], bridge: string): Finding[] {
  if (waiting === undefined) return [];
  const reason =
    waiting === 'blocking'
      ? 'the spanning tree has found another way to the same network by this port'
      : 'it waits for the spanning tree, as after each attach';
  const loop = waiting === 'blocking' ? 'does the guest bridge its interfaces? ' : '';
  return [
    error('bridge port', `${port} is ${waiting} on ${bridge}: ${reason}`, `${loop}${switchTreeOff(bridge)}`),
  ];
}
