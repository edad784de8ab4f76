import { XenstoreError } from './error.js';

// Limits of the protocol, docs/misc/xenstore.txt and xen/include/public/io/xs_wire.h: XENSTORE_PAYLOAD_MAX,
// XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX. The payload of a write is the path, its NUL, and the value.
const PAYLOAD = 4096;
const ABSOLUTE = 3072;
const RELATIVE = 2048;

/**
 * Throws EINVAL for a path that xenstored would refuse. It is checked before anything is sent, so that an EINVAL from
 * xenstored means an exhausted quota: see XenstoreError.quota.
 */
export function checkPath(operation: string, path: string): void {
  const cause = fault(path);
  if (cause) throw invalid(operation, path, cause);
}

function fault(path: string): string | undefined {
  if (path === '') return 'the path is empty';
  if (!/^[A-Za-z0-9\-/_@]*$/.test(path)) return 'a path is made of letters, digits and - / _ @';
  if (path !== '/' && path.endsWith('/')) return 'a path does not end in /';
  if (path.includes('//')) return 'a path has no empty component';
  const limit = path.startsWith('/') ? ABSOLUTE : RELATIVE;
  if (path.length > limit) return `the path is longer than ${limit} bytes`;
  return undefined;
}

/** Throws E2BIG when path and data do not fit into one message. */
export function checkPayload(operation: string, path: string, bytes: number): void {
  if (path.length + 1 + bytes > PAYLOAD) throw new XenstoreError(operation, path, 'E2BIG');
}

export function checkDomid(operation: string, domid: number): void {
  // DOMID_FIRST_RESERVED of xen/include/public/xen.h: ids from there on are not of domains.
  if (!Number.isInteger(domid) || domid < 0 || domid >= 0x7ff0)
    throw invalid(operation, undefined, `${domid} is not a domain id`);
}

export function checkAttempts(operation: string, attempts: number): void {
  if (!Number.isInteger(attempts) || attempts < 1)
    throw invalid(operation, undefined, `${attempts} attempts are not a positive number of them`);
}

function invalid(operation: string, path: string | undefined, cause: string): XenstoreError {
  return new XenstoreError(operation, path, 'EINVAL', { cause });
}
