/** A piece of a line, and the parameter of SGR (ECMA-48) that colours it. */
export interface Span {
  readonly text: string;
  readonly sgr?: number | undefined;
}

export const sgr = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, magenta: 35 } as const;

type Cell = readonly Span[];

/** The cells of a line, aligned with those of the others; one alone may be of any width. */
export type Row = readonly Cell[];

/** Columns aligned to the left below their heads, two blanks apart. A column that is empty but for its head is left out. */
export function printColumns(heads: readonly string[], rows: readonly Row[], colour: boolean): string {
  const used = heads.map((_, i) => i === 0 || rows.some((row) => lengthOf(row[i] ?? []) > 0));
  const all = [heads.map((text) => [{ text, sgr: sgr.dim }]), ...rows].map((row: Row) =>
    row.filter((_, i) => used[i]),
  );
  const widths = heads.map((_, i) =>
    Math.max(...all.map((row) => (row.length === 1 ? 0 : lengthOf(row[i] ?? [])))),
  );
  const print = (row: Row): string => {
    const last = row.findLastIndex((cell) => lengthOf(cell) > 0);
    return row
      .slice(0, last + 1)
      .map((cell, i) => {
        const pad = i === last ? 0 : (widths[i] ?? 0) + 2 - lengthOf(cell);
        return cell.map((span) => paint(span, colour)).join('') + ' '.repeat(pad);
      })
      .join('');
  };
  return all.map((row) => `${print(row)}\n`).join('');
}

const lengthOf = (cell: Cell): number => cell.reduce((sum, { text }) => sum + [...text].length, 0);

const paint = ({ text, sgr: code }: Span, colour: boolean): string =>
  colour && code !== undefined && text !== '' ? `\x1b[${code}m${text}\x1b[0m` : text;
