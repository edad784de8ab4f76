/** A number from 0 up to a bound. */
export type Random = (below: number) => number;

/** A random sequence that a seed repeats (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const numbers = [
  0,
  1,
  2,
  3,
  4,
  7,
  8,
  15,
  16,
  31,
  32,
  63,
  64,
  127,
  128,
  255,
  256,
  4095,
  4096,
  65535,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
];
/** What a shell, a path, nft, TOML, JSON or a log would take for something else. */
const hostile = [
  ...[
    '../../x',
    '-rf',
    '--',
    ';',
    '$(x)',
    '`x`',
    '"',
    "'",
    '\\',
    '\n',
    '\r',
    '\0',
    '\t',
    '\u001b[2J',
    '*',
    '?',
    '{',
    '}',
    '[',
    ']',
    '[[',
  ],
  ...[
    '#',
    '=',
    ',',
    ':',
    '/',
    '%',
    '@',
    '|',
    '&',
    '<',
    '>',
    '~',
    'é',
    '\u202e',
    '\u2028',
    '𐀀',
    '\ufeff',
    '__proto__',
    'constructor',
  ],
  ...['1e999', '-1', '0x10', '1.5', 'nan', 'null', 'true', '9007199254740993', '00', '999999999999999999999'],
].map((text) => Buffer.from(text));

/** One input made of another: a few changes, each of bytes, numbers, words, or pieces of other inputs. */
export function mutate(
  input: Buffer,
  others: readonly Buffer[],
  words: readonly Buffer[],
  random: Random,
  longest: number,
): Buffer {
  let made: Buffer = Buffer.from(input);
  for (let left = 1 + random(random(4) === 0 ? 12 : 4); left > 0; left--)
    made = change(made, others, words, random);
  return made.subarray(0, longest);
}

function change(input: Buffer, others: readonly Buffer[], words: readonly Buffer[], random: Random): Buffer {
  const at = random(input.length + 1);
  const end = Math.min(input.length, at + random(random(2) === 0 ? 4 : 32));
  const splice = (piece: Uint8Array, to = at): Buffer =>
    Buffer.concat([input.subarray(0, at), piece, input.subarray(to)]);
  const pick = (list: readonly Buffer[]): Buffer => list[random(list.length)] ?? Buffer.alloc(0);
  const other = pick(others);
  const piece = other.subarray(random(other.length + 1));
  switch (random(10)) {
    case 0: {
      const changed = Buffer.from(input);
      if (at < changed.length) changed[at] = (changed[at] as number) ^ (1 << random(8));
      return changed;
    }
    case 1:
      return splice(Buffer.of(random(256)), Math.min(input.length, at + random(2)));
    case 2:
      return splice(Buffer.alloc(0), end);
    case 3:
      return splice(input.subarray(at, end));
    case 4: {
      const width = [1, 2, 4][random(3)] as 1 | 2 | 4;
      const value = (numbers[random(numbers.length)] as number) % 2 ** (8 * width);
      const bytes = Buffer.alloc(width);
      if (random(2) === 0) bytes.writeUIntLE(value, 0, width);
      else bytes.writeUIntBE(value, 0, width);
      return splice(bytes, Math.min(input.length, at + (random(3) === 0 ? 0 : width)));
    }
    case 5:
      return splice(pick(hostile), random(2) === 0 ? at : end);
    case 6:
      return splice(Buffer.from(String(numbers[random(numbers.length)])), random(2) === 0 ? at : end);
    case 7:
      return splice(piece, random(2) === 0 ? input.length : at);
    case 8:
      return splice(piece.subarray(0, random(64)), random(2) === 0 ? at : end);
    default:
      return splice(pick(words), random(2) === 0 ? at : end);
  }
}
