import { join } from 'node:path';

/** The directory of a running daemon's files: VIFD_RUNTIME_DIR, else systemd's RUNTIME_DIRECTORY, else /run/vifd. */
export function runtimeDir(env: NodeJS.ProcessEnv = process.env): string {
  // systemd separates several directories by colons.
  return env.VIFD_RUNTIME_DIR ?? env.RUNTIME_DIRECTORY?.split(':')[0] ?? '/run/vifd';
}

/** The directory of what outlives a restart of the machine: VIFD_STATE_DIR, else systemd's STATE_DIRECTORY, else /var/lib/vifd. */
export function stateDir(env: NodeJS.ProcessEnv = process.env): string {
  return env.VIFD_STATE_DIR ?? env.STATE_DIRECTORY?.split(':')[0] ?? '/var/lib/vifd';
}

/** The directory of the blocked vifs, a file each. */
export const blocksDirectory = (): string => join(stateDir(), 'blocked');

/** The path of the daemon's control socket. */
export const controlSocket = (): string => join(runtimeDir(), 'control.sock');

/** The directory of dnsmasq's files. */
export const dhcpDirectory = (): string => join(runtimeDir(), 'dhcp');

/** The file of the administrator's sets that vifd has elements in. */
export const namedSetsFile = (): string => join(runtimeDir(), 'sets.json');

/** The directory of what hooks were called with last. */
export const hooksDirectory = (): string => join(runtimeDir(), 'hooks');
