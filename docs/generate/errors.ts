import { type ErrorCode, errorCodes } from '../../src/model/error-codes.js';

/** The table of docs/reference/errors.md: a row a code, in the order of the sources. */
export function errorTable(): string {
  const rows = (Object.keys(errorCodes) as ErrorCode[]).map((code) => {
    const { kind, means, remedy } = errorCodes[code];
    return `| \`${code}\` | ${kind} | ${means} | ${remedy} |\n`;
  });
  return ['\n| code | kind | what it means | what to do |\n|---|---|---|---|\n', ...rows, '\n'].join('');
}
