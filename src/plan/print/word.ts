import { steering } from '../../model/one-line.js';

/** A word as `sh` takes it: a device's name may have any character but a blank, a slash and a colon. */
export function word(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  return text.search(steering) < 0 ? singleQuoted(text) : printed(text);
}

export const singleQuoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/** A word with characters that steer a terminal: printf has their bytes in octal, which every `sh` knows. */
function printed(text: string): string {
  const format = text.replace(/[\\%]/g, (character) => character.repeat(2)).replace(steering, inOctal);
  return `"$(printf ${singleQuoted(format)})"`;
}

/** The bytes of UTF-8. None of what steers is left as it is by encodeURIComponent, which takes no half of a pair. */
const inOctal = (character: string): string =>
  encodeURIComponent(/\p{Cs}/u.test(character) ? '\ufffd' : character).replace(
    /%(..)/g,
    (_, byte: string) => `\\${Number.parseInt(byte, 16).toString(8).padStart(3, '0')}`,
  );
