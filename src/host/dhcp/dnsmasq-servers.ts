import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** A dnsmasq that runs, and the last part of its control group: its unit's name, where systemd started it. */
export interface Server {
  readonly pid: number;
  readonly unit: string;
}

/**
 * Every dnsmasq in this network namespace that was started with this configuration file. Only a process that can be looked
 * into is found: in the sandbox of vifd.service none of another user is.
 */
export function serversOf(file: string): Server[] {
  const network = readlinkSync('/proc/self/ns/net');
  const servers: Server[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!words.includes(`--conf-file=${file}`)) continue;
      // A process chooses its words itself; its program and its network the kernel tells.
      if (basename(readlinkSync(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '') !== 'dnsmasq') continue;
      if (readlinkSync(`/proc/${pid}/ns/net`) !== network) continue;
      const [group = ''] = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .filter((line) => /^0:|:name=systemd:/.test(line));
      servers.push({ pid: Number(pid), unit: basename(group) });
    } catch {
      // It has ended meanwhile, or is not ours to look into.
    }
  }
  return servers;
}
