import { readFileSync } from 'node:fs';

/** Whether a line of /proc/net/{udp,tcp}{,6} is a server of every address at port 53: UDP's state is 7, TCP's listens with 10. */
const servesAll = /^\s*\d+: (?:0{8}|0{32}):0035 \S+ (?:07|0A) /m;

/** Whether another server in this network namespace has port 53 of every address, those of vifs among them. */
export function dnsPortIsTaken(
  read = (file: string): string => readFileSync(`/proc/net/${file}`, 'utf8'),
): boolean {
  return ['udp', 'tcp', 'udp6', 'tcp6'].some((file) => {
    try {
      return servesAll.test(read(file));
    } catch {
      // Without IPv6 there are no files of it.
      return false;
    }
  });
}
