import { join } from 'node:path';

/** Where the files of a running daemon live: ours to be told, else systemd's, else the usual place. */
export function runtimeDir(env: NodeJS.ProcessEnv = process.env): string {
  // systemd separates several directories by colons.
  return env.VIFD_RUNTIME_DIR ?? env.RUNTIME_DIRECTORY?.split(':')[0] ?? '/run/vifd';
}

export const controlSocket = (): string => join(runtimeDir(), 'control.sock');

/** The directory of dnsmasq's files. */
export const dhcpDirectory = (): string => join(runtimeDir(), 'dhcp');
