import { expect, test } from 'vitest';
import type { Action } from '../../../../src/model/action.js';
import { printAction, printCommands } from '../../../../src/plan/print/print.js';

const places = { ovsDatabase: 'unix:/run/other.sock', dhcpDirectory: '/run/vifd/dhcp' };

const port = {
  uuid: 'p',
  name: 'vif5.0',
  bridge: 'ovsbr0',
  tag: undefined,
  trunks: [],
  vlanMode: undefined,
  owner: 'vif5.0',
  madeFor: '7',
  interface: undefined,
};

test.each<[Action, string, string]>([
  [
    { kind: 'forget-connections', network: { family: 6, address: '2001:db8::', prefix: 64 } },
    'conntrack -D, all entries of 2001:db8::/64',
    `conntrack -D -f ipv6 -s 2001:db8::/64 || :
conntrack -D -f ipv6 -d 2001:db8::/64 || :
conntrack -D -f ipv6 -r 2001:db8::/64 || :`,
  ],
  [
    { kind: 'set-dhcp', vif: 'vif5.0', entry: 'the host\nan option\nanother\n' },
    'tell dnsmasq of vif5.0: the host',
    `# dnsmasq, which vifd starts, reads a new file at once, and a changed one at SIGHUP.
(umask 022; mkdir -p /run/vifd/dhcp/options /run/vifd/dhcp/hosts)
(umask 022; cat >/run/vifd/dhcp/options/vif5.0) <<'END'
an option
another
END
(umask 022; cat >/run/vifd/dhcp/hosts/vif5.0) <<'END'
the host
END`,
  ],
  [
    {
      kind: 'announce',
      index: 2,
      name: 'eth0',
      address: { family: 6, address: '2001:db8::5', prefix: 128 },
      mac: '02:00:00:00:00:01',
      carrier: 0,
    },
    'unsolicited neighbour advertisement: 2001:db8::5 dev eth0 lladdr 02:00:00:00:00:01',
    '# unsolicited neighbour advertisement: 2001:db8::5 dev eth0 lladdr 02:00:00:00:00:01',
  ],
  [
    { kind: 'delete-dhcp', vif: 'vif5.0' },
    'tell dnsmasq to forget vif5.0',
    `# dnsmasq, which vifd starts, remembers what it has read until SIGHUP.
rm -f /run/vifd/dhcp/hosts/vif5.0 /run/vifd/dhcp/options/vif5.0`,
  ],
  [
    { kind: 'ovs-delete-port', port, release: false },
    'ovs-vsctl del-port ovsbr0 vif5.0',
    'ovs-vsctl --db=unix:/run/other.sock del-port ovsbr0 vif5.0',
  ],
])('%o', (action, line, commands) => {
  expect(printAction(action)).toBe(line);
  expect(printCommands(action, places)).toBe(commands);
});

test("the database that is ovs-vsctl's own need not be named", () => {
  const usual = { ...places, ovsDatabase: 'unix:/var/run/openvswitch/db.sock' };
  const action: Action = { kind: 'ovs-delete-port', port, release: false };
  expect(printCommands(action, usual)).toBe(printAction(action));
});

test('a name with any character is one word for the shell', () => {
  const action: Action = { kind: 'set-link', index: 5, name: "a'b;c", changes: { up: true } };
  expect(printAction(action)).toBe("ip link set dev 'a'\\''b;c' up");
});
