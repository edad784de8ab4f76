import { formatNetwork, parseNetwork } from '../../../src/model/address.js';
import { snapshot, vifKeys } from '../../../src/model/snapshot.js';
import type { Target } from '../targets.js';

const id = { domid: 5, devid: 0 };

/** The keys of a backend directory, `name=value`, each but the last with a line feed and a NUL behind it. */
const keysOf = (text: string): Map<string, string> =>
  new Map(
    text.split('\n\0').map((line) => {
      const at = line.indexOf('=');
      return [line.slice(0, Math.max(at, 0)), line.slice(at + 1)];
    }),
  );

const require = (is: boolean, what: string, value: unknown): void => {
  if (!is) throw new Error(`${what}: ${JSON.stringify(value)}`);
};

/**
 * A vif's keys: none of them ends vifd, what is wrong is told in one line, and what is taken has nothing that a command line, a
 * path, nft or a log would take for something else.
 */
export const snapshotKeys: Target = {
  name: 'snapshot',
  seeds: [
    'online=1\n\0state=2\n\0script=/etc/xen/scripts/vif-bridge\n\0mac=00:16:3e:00:00:05\n\0bridge=xenbr0\n\0hotplug-status=',
    'script=vif-route\n\0ip=10.0.0.5 2001:db8::5/64\n\0gatewaydev=eth0\n\0mtu=1400\n\0vifname=web0\n\0type=vif_ioemu',
    'script=vif-openvswitch\n\0bridge=ovsbr0.10:20:30\n\0vlan=10p/20-30u/100+10x4\n\0hotplug-error=x\n\0forwarddev=a',
  ],
  words: [
    ...[...vifKeys].map((key) => `\n\0${key}=`),
    ...[
      '10p/20',
      '100+10x4',
      '00:16:3e:00:00:05',
      '2001:db8::1/64',
      '10.0.0.1',
      'connected',
      '.10:20',
      '-emu',
      'vif6.0',
      'eth0',
    ],
  ],
  longest: 600,
  run(input) {
    const keys = keysOf(input.toString('utf8'));
    const read = snapshot(id, keys, keys.get('mtu'));
    for (const { message } of [...read.problems, ...(read.unused ?? [])])
      require(!/[\p{Cc}\p{Cf}\u2028\u2029]/u.test(message) && message.length < 1000, 'not one line', message);
    for (const name of [read.vifname, read.gatewaydev])
      require(name === undefined ||
        (/^[\x21-\x7e]{1,15}$/.test(name) && !/[/:%]|^\.\.?$/.test(name)), 'no device', name);
    require(read.script === undefined || /^[\x20-\x7e]+$/.test(read.script), 'no path', read.script);
    require(read.mac === undefined || /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(read.mac), 'no MAC', read.mac);
    require(read.mtu === undefined || (read.mtu >= 68 && read.mtu <= 65535), 'no MTU', read.mtu);
    for (const network of read.ip) {
      const text = formatNetwork(network);
      require(/^[0-9a-f.:/]+$/.test(text) &&
        formatNetwork(parseNetwork(text) as never) === text, 'no address', text);
    }
    for (const { first, last } of (read.vlans ?? []) as readonly { first?: number; last?: number }[])
      require([first, last].every((id) => id === undefined || (id >= 1 && id <= 4094)), 'no VLAN', [
        first,
        last,
      ]);
  },
};
