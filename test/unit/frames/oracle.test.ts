import { describe, expect, it, test } from 'vitest';
import { decode } from '../../frames/decode.js';
import { judge } from '../../frames/oracle/ethernet.js';
import { type Guest, guestOf } from '../../frames/oracle/guest.js';
import { attempts } from '../../support/packets/forgeries.js';
import { ethernet, etherTypes, ipv4, udp, vlanTag } from '../../support/packets/frames.js';
import { hostsKey, ipKey } from '../../support/packets/parties.js';

const from = '00:16:3e:00:01:00';
const to = '00:16:3e:00:02:00';
const guest = guestOf(from, ipKey);

test.each([ipKey, hostsKey])('the oracle says of each frame tried by hand what is known of it (%s)', (ip) => {
  const differing = attempts({ from, to }).filter(
    ({ honest, frame }) => judge(frame, guestOf(from, ip)).passes !== honest,
  );
  expect(differing.map(({ what, frame }) => [what, judge(frame, guest).because, decode(frame)])).toEqual([]);
});

describe('what a vif is held to', () => {
  const datagram = ipv4({ from: '10.0.0.1', to: '10.0.0.2', protocol: 17 }, udp(1000, 2000));
  const frame = (source = from, target = to): Buffer => ethernet(target, source, etherTypes.ip, datagram);
  const because = (of: Partial<Guest>, bytes: Buffer): string =>
    judge(bytes, guestOf(from, '10.0.0.1', of)).because;

  it('is its MAC and its addresses, its MAC alone, or nothing', () => {
    expect(because({}, frame())).toBe('UDP');
    expect(because({}, frame(to))).toBe('not from its MAC');
    expect(because({ hold: 'mac' }, ethernet(to, from, 0x88b5, Buffer.alloc(4)))).toBe('from its MAC');
    expect(because({ hold: 'mac' }, frame(to))).toBe('not from its MAC');
    expect(because({ hold: 'nothing' }, frame(to))).toBe('not held');
  });

  it('are also the destinations of switches, unless it may be one', () => {
    const ieee = ['01:80:c2:00:00:00', '01:80:c2:00:00:0e', '01:80:c2:00:00:21', '01:80:c2:00:00:3f'];
    const vendors = ['01:00:0c:cc:cc:cd', '01:00:0c:dd:dd:dd', '00:e0:2b:00:00:04', '01:e0:52:cc:cc:cc'];
    for (const target of [...ieee, ...vendors, '01:19:a7:00:00:01', '01:15:4e:00:00:02']) {
      expect(because({ hold: 'nothing' }, frame(from, target))).toBe('control frame');
      expect(because({ controlFrames: true }, frame(from, target))).toBe('UDP');
    }
    for (const target of [
      '01:80:c2:00:00:10',
      '01:80:c2:00:00:50',
      '01:00:0d:00:00:00',
      '01:19:a7:00:01:00',
    ]) {
      expect(because({}, frame(from, target))).toBe('UDP');
    }
  });

  it('is the same behind one tag, where tags are allowed', () => {
    const tagged = ethernet(to, from, etherTypes.vlan, vlanTag(5, etherTypes.ip, datagram));
    expect(because({}, tagged)).toBe('tagged');
    expect(because({ tagged: true }, tagged)).toBe('UDP');
    const twice = vlanTag(5, etherTypes.vlan, vlanTag(6, etherTypes.ip, datagram));
    expect(because({ tagged: true }, ethernet(to, from, etherTypes.vlan, twice))).toBe(
      'neither ARP, IPv4 nor IPv6',
    );
    expect(because({ tagged: true }, tagged.subarray(0, 19))).toBe('tag without a packet');
  });
});

it('reads no field that the frame does not have', () => {
  for (const { frame } of attempts({ from, to })) {
    for (let length = 14; length < frame.length; length++) {
      const cut = frame.subarray(0, length);
      expect(judge(cut, guest).because).toEqual(expect.any(String));
      expect(decode(cut)).toEqual(expect.any(String));
    }
  }
});
