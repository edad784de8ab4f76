import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { peerOf } from 'node-libsystemd';

/** The value of /proc/PID/loginuid for a process that no login began. */
const noLogin = 4294967295;

/**
 * The user of the process at the other end of a control connection: `uid 0`, and behind it the user that logged in, where the kernel
 * keeps that (CONFIG_AUDIT) and the process is there still.
 */
export function askerOf(socket: Socket): string {
  // Node has no name for the descriptor of a socket.
  const fd = (socket as { _handle?: { fd?: number } })._handle?.fd;
  if (fd === undefined || fd < 0) return 'a process that has ended';
  const { pid, uid } = peerOf(fd);
  const login = loginOf(pid);
  return login === undefined || login === uid ? `uid ${uid}` : `uid ${uid} (login uid ${login})`;
}

function loginOf(pid: number): number | undefined {
  try {
    const uid = Number(readFileSync(`/proc/${pid}/loginuid`, 'utf8'));
    return uid === noLogin ? undefined : uid;
  } catch {
    return undefined;
  }
}
