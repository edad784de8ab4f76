import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** A running dnsmasq, and the last part of its control group: its unit's name, where systemd started it. */
export interface Server {
  readonly pid: number;
  readonly unit: string;
}

/**
 * Every dnsmasq in this network namespace that was started with this configuration file. In the sandbox of
 * vifd.service processes of other users are not found (ProtectProc=invisible).
 */
export function serversOf(file: string): Server[] {
  const network = readlinkSync('/proc/self/ns/net');
  const servers: Server[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      if (!words.includes(`--conf-file=${file}`)) continue;
      // The kernel says which program and network namespace a process has; the command line it can change itself.
      if (basename(readlinkSync(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, '') !== 'dnsmasq') continue;
      if (readlinkSync(`/proc/${pid}/ns/net`) !== network) continue;
      const [group = ''] = readFileSync(`/proc/${pid}/cgroup`, 'utf8')
        .split('\n')
        .filter((line) => /^0:|:name=systemd:/.test(line));
      servers.push({ pid: Number(pid), unit: basename(group) });
    } catch {
      // It has ended meanwhile, or may not be read.
    }
  }
  return servers;
}

/** A process that ends has this among its flags (PF_EXITING). */
const exiting = 0x4;

/**
 * Whether a dnsmasq of this network namespace is about to end. The kernel takes its command line before it closes its sockets (do_exit), so
 * that {@link serversOf} finds none, and another would find the ports taken.
 */
export function isOneEnding(): boolean {
  const network = readlinkSync('/proc/self/ns/net');
  return readdirSync('/proc').some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      // The name in brackets may have any character in it.
      const [, name, rest = ''] =
        /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
      const fields = rest.split(' ');
      if (name !== 'dnsmasq' || fields[0] === 'Z' || (Number(fields[6]) & exiting) === 0) return false;
    } catch {
      return false;
    }
    try {
      return readlinkSync(`/proc/${pid}/ns/net`) === network;
    } catch {
      // Its namespaces go before its sockets.
      return true;
    }
  });
}
