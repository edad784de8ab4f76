/**
 * A text as one line of a terminal shows it: control characters, by which a name could move the cursor, and those that turn the
 * direction of writing are written as `\u{1b}`. A netdev's name may have any byte but a blank, a slash and a colon
 * (dev_valid_name in the kernel's net/core/dev.c).
 */
export const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)?.toString(16)}}`);
