import { existsSync, readlinkSync } from 'node:fs';

/**
 * Whether a thread of this process has the id that the kernel names. It names threads by their ids in the initial pid
 * namespace (nf_tables_fill_gen_info), which in a container may be those of other threads: there none is taken for ours.
 */
export const isOwnThread = (id: number): boolean =>
  inInitialPidNamespace && existsSync(`/proc/self/task/${id}`);

/** The kernel gives that namespace this inode number (PROC_PID_INIT_INO). */
const inInitialPidNamespace = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';
