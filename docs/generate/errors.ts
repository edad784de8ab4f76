import { type ErrorCode, errorCodes, errorKinds } from '../../src/model/error-codes.js';

/** The tables of docs/reference/errors.md: the kinds, and a row a code, in the order of the sources. */
export function errorTables(): string {
  const rows = (Object.keys(errorCodes) as ErrorCode[]).map((code) => {
    const { kind, means, remedy } = errorCodes[code];
    return `| \`${code}\` | ${kind} | ${means} | ${remedy} |\n`;
  });
  const kinds = Object.entries(errorKinds).map(([kind, means]) => `| \`${kind}\` | ${means} |\n`);
  return [
    '\n## Kinds\n\n| kind | what it means |\n|---|---|\n',
    ...kinds,
    '\n## Codes\n\n| code | kind | what it means | what to do |\n|---|---|---|---|\n',
    ...rows,
    '\n',
  ].join('');
}
