import { expect, it } from 'vitest';
import { surroundings } from '../../frames/attackers.js';
import { compare, compareRandom, type Tally } from '../../frames/compare.js';
import { randomFrame } from '../../frames/grammar/frame.js';
import { judge } from '../../frames/oracle/ethernet.js';
import { shrink } from '../../frames/shrink.js';
import { Random } from '../../walk/random.js';

const around = surroundings('00:16:3e:00:01:00', { ip: '10.0.0.1 10.0.1.0/24 2001:db8::1 2001:db8:1::/64' });
const tally = (): Tally => ({ frames: 0, passed: 0, because: new Map() });
/** A filter that does what is promised, but for what `fault` says. */
const filter =
  (fault: (frame: Buffer) => boolean | undefined = () => undefined) =>
  async (frames: readonly Buffer[]): Promise<boolean[]> =>
    frames.map((frame) => fault(frame) ?? judge(frame, around.guest).passes);

it('makes the same frames of the same seed', () => {
  const frames = (seed: number): string[] => {
    const random = new Random(seed);
    return Array.from({ length: 200 }, () => randomFrame(random, around).toString('hex'));
  };
  expect(frames(7)).toEqual(frames(7));
  expect(frames(7)).not.toEqual(frames(8));
});

it('makes frames that a device sends, of which every sentence of the promise decides some', async () => {
  const counts = tally();
  expect(await compareRandom(new Random(1), 12_000, around, filter(), counts)).toEqual([]);
  expect(counts.frames).toBe(12_000);
  // A filter that drops or passes everything is told.
  expect(counts.passed).toBeGreaterThan(2400);
  expect(counts.passed).toBeLessThan(7200);
  expect([...counts.because.keys()].sort()).toMatchInlineSnapshot(`
    [
      "ARP",
      "ARP from another MAC",
      "ARP from another's address",
      "ARP of other kinds of addresses",
      "ARP probe",
      "ARP probe for another's address",
      "ARP that ends early",
      "DHCP",
      "DHCP about another's address",
      "DHCP behind IPv4 options",
      "DHCP in fragments",
      "DHCP in the name of another",
      "DHCP of a relay",
      "DHCP of a server",
      "DHCP that ends early",
      "DHCP that is no request of Ethernet",
      "DHCPv6 of a server",
      "ICMP",
      "ICMP of routers",
      "ICMP without a type",
      "ICMPv6",
      "ICMPv6 in fragments",
      "ICMPv6 of another type",
      "IGMP in fragments",
      "IGMP of routers",
      "IGMP report",
      "IGMP to one host",
      "IGMP without a type",
      "IPv4",
      "IPv4 header that ends early",
      "IPv4 of a wrong length",
      "IPv6",
      "IPv6 header that ends early",
      "IPv6 of a wrong length",
      "PIM",
      "UDP",
      "UDP header that ends early",
      "advertisement of another's address",
      "control frame",
      "detection of another's address",
      "discovery behind another header",
      "discovery from afar",
      "discovery that ends early",
      "duplicate address detection",
      "extension headers and fragments",
      "first fragment",
      "first fragment without its header",
      "from 0.0.0.0",
      "from ::",
      "from another's IPv4 address",
      "from another's IPv6 address",
      "header chain that ends early",
      "later fragment",
      "neighbour advertisement",
      "neighbour solicitation",
      "neither ARP, IPv4 nor IPv6",
      "neither a request nor a reply",
      "no IPv4 header",
      "no IPv6 header",
      "not from its MAC",
      "nothing behind the headers",
      "of a router",
      "options of a detection",
      "options of a router solicitation",
      "options of a solicitation",
      "options of an advertisement",
      "protocol of IPv6",
      "report behind another header",
      "report from afar",
      "report of a listener",
      "report to where none is sent",
      "router solicitation",
      "tag without a packet",
      "tagged",
    ]
  `);
  const random = new Random(2);
  for (let i = 0; i < 2000; i++) {
    const { length } = randomFrame(random, around);
    expect(length >= 14 && length <= 1514).toBe(true);
  }
}, 30_000);

it('finds a filter that does not look at the last bytes of ARP, and shrinks the frame to that', async () => {
  const faulty = filter((frame) =>
    frame.length < 42 && frame.length >= 32 && frame.readUInt16BE(12) === 0x0806
      ? judge(Buffer.concat([frame, Buffer.alloc(10)]), around.guest).passes
      : undefined,
  );
  const [found, ...others] = await compareRandom(new Random(3), 10_000, around, faulty, tally());
  expect(others.length).toBeGreaterThan(0);
  if (found === undefined) throw new Error('nothing found');
  const least = await shrink(found, around, faulty);
  expect(least.kernel).toBe(true);
  expect(least.promise.because).toBe('ARP that ends early');
  expect(least.frame.length).toBe(32);
  expect(await compare([least.frame], around, faulty)).toEqual([least]);
});
