const header = 4;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
const flags = 0xc000;

/**
 * Calls `visit` for each attribute between two places of a message, with its type without flags, and where its value begins
 * and how many bytes it has. Unlike the npm library's it makes no object: a device that comes up is told in a dozen messages of
 * fifty attributes, of which vifd reads five.
 * @throws where an attribute ends after the message
 */
export function eachAttribute(
  data: Buffer,
  start: number,
  visit: (type: number, at: number, length: number) => void,
  end = data.length,
): void {
  for (let at = start; at < end; ) {
    const length = at + header <= end ? data.readUInt16LE(at) : 0;
    if (length < header || at + length > end)
      throw new Error(`an attribute of netlink is cut at byte ${at} of ${data.length}`);
    visit(data.readUInt16LE(at + 2) & ~flags, at + header, length - header);
    at += (length + 3) & ~3;
  }
}
