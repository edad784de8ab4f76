import { expect, test } from 'vitest';
import { dnsPortIsTaken } from '../../../../src/host/dhcp/dns-port.js';

const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n';
const six = '00000000000000000000000000000000';

test.each([
  ['udp', '   33: 00000000:0035 00000000:0000 07 00000000:00000000', true],
  ['tcp', '    0: 00000000:0035 00000000:0000 0A 00000000:00000000', true],
  ['tcp6', `    0: ${six}:0035 ${six}:0000 0A 00000000:00000000`, true],
  // Of one address, as this one's own dnsmasq and systemd-resolved have it; another port; a connection.
  ['udp', '   33: 3500007F:0035 00000000:0000 07 00000000:00000000', false],
  ['udp', '   33: 00000000:0043 00000000:0000 07 00000000:00000000', false],
  ['tcp', '    0: 8005000A:0035 0105000A:8235 01 00000000:00000000', false],
])('%s %s', (file, line, taken) => {
  const read = (name: string) => {
    if (name.endsWith('6') && file !== name) throw new Error('ENOENT');
    return head + (name === file ? `${line}\n` : '');
  };
  expect(dnsPortIsTaken(read)).toBe(taken);
});
