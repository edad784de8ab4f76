/** Six hex octets separated by colons, in lower case; undefined when it is anything else. */
export function parseMac(text: string): string | undefined {
  return /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text) ? text.toLowerCase() : undefined;
}

/** A group address (the lowest bit of the first octet) or all zeros: no interface can own it. */
export function isUnusableMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1 || mac === '00:00:00:00:00:00';
}
