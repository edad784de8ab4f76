import { expect, it } from 'vitest';
import { readSysctlsOnce } from '../../../src/host/sysctl.js';

it('reads each sysctl once, whatever becomes of it meanwhile', () => {
  const kernel = new Map([['net/ipv4/ip_forward', '1']]);
  const sysctl = readSysctlsOnce((name) => kernel.get(name));
  expect(sysctl('net/ipv4/ip_forward')).toBe('1');
  expect(sysctl('net/ipv6/conf/all/forwarding')).toBeUndefined();
  kernel.set('net/ipv4/ip_forward', '0').set('net/ipv6/conf/all/forwarding', '1');
  expect(sysctl('net/ipv4/ip_forward')).toBe('1');
  expect(sysctl('net/ipv6/conf/all/forwarding')).toBeUndefined();
});
