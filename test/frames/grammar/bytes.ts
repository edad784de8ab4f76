export const u8 = (...values: number[]): Buffer => Buffer.from(values.map((value) => value & 255));

export const u16 = (value: number): Buffer => u8(value >> 8, value);

export const u32 = (value: number): Buffer => u8(value >>> 24, value >>> 16, value >>> 8, value);

/** The Internet checksum (RFC 1071). */
export function checksum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += ((data[i] ?? 0) << 8) | (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
