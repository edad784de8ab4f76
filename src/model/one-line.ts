/** What steers a terminal or ends a line: control characters, separators of lines and paragraphs, and what turns the direction of writing. */
export const steering = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * A text as one line that steers no terminal, escaped as in TOML and JSON. A netdev's name may have any byte but a blank, a slash
 * and a colon (dev_valid_name in the kernel's net/core/dev.c).
 */
export const onOneLine = (text: string): string => text.replace(steering, escaped);

/** The same of a text that has lines and tabs of its own. */
export const onItsLines = (text: string): string =>
  text.replace(steering, (character) => (/[\n\t]/.test(character) ? character : escaped(character)));

function escaped(character: string): string {
  const code = character.codePointAt(0)?.toString(16) ?? '';
  return code.length > 4 ? `\\U${code.padStart(8, '0')}` : `\\u${code.padStart(4, '0')}`;
}
