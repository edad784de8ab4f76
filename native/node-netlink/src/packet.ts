import { fileURLToPath } from 'node:url';
import { getSystemErrorMap } from 'node:util';
import ffi from 'ffi-napi';

const load = () =>
  ffi.Library(fileURLToPath(new URL('packet.so', import.meta.url)), {
    packet_send: ['int', ['int', 'int', 'pointer', 'pointer', 'int']],
  });
let library: ReturnType<typeof load> | undefined;

/** What follows the link-layer header, which the kernel makes with the device's own address as the source. */
export interface Packet {
  /** The EtherType. */
  readonly protocol: number;
  /** The link-layer address that it goes to, six bytes. */
  readonly to: Uint8Array;
  readonly data: Uint8Array;
}

/** Sends a packet by a device (packet(7)); needs CAP_NET_RAW. @throws Error with the `code` of a failure */
export function sendPacket(ifindex: number, { protocol, to, data }: Packet): void {
  if (to.length !== 6) throw new Error('a link-layer address has six bytes');
  library ??= load();
  // ffi-napi takes a Buffer as a pointer, though its types do not say so.
  const pointer = (bytes: Uint8Array) => Buffer.from(bytes) as never;
  const errno = library.packet_send(ifindex, protocol, pointer(to), pointer(data), data.length);
  if (errno === 0) return;
  const [code, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, ''];
  throw Object.assign(new Error(`send a packet: ${text} (${code})`), { code });
}
