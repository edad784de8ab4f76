import type { ActionTable } from '../../model/action.js';
import type { NftAction, NftChange } from '../../model/nft.js';
import { nftCommands } from '../../nft/commands.js';
import { printSysctl } from './sysctl.js';
import { singleQuoted } from './word.js';

export const nftLines: ActionTable<string, 'nft'> = {
  nft: ({ closes, changes }) => [...closing(closes), printLine(linesOf(changes))].join('; '),
};

/** The whole transaction as a command: its words, or, where they are lines, its standard input. */
export function nftTransaction({ closes, changes }: NftAction): string {
  const commands = nftCommands(changes);
  const command = commands.some((each) => each.includes('\n'))
    ? `nft -f - <<'END'\n${commands.join('\n')}\nEND`
    : printLine(commands);
  return [...closing(closes), command].join('\n');
}

const closing = (closes: NftAction['closes'] = []): string[] => closes.map(printSysctl);

/** What a transaction is about, in one line, by its most telling command. */
export function nameNftAction({ changes }: NftAction): string {
  const of = (change: NftChange['change']) => changes.find((each) => each.change === change);
  const main = of('set-chain') ?? of('add-element') ?? of('delete-chain') ?? changes[0];
  const others = changes.length - 1;
  const command = printLine(linesOf(main === undefined ? [] : [main]).slice(0, 1));
  return `${command}${others === 0 ? '' : ` and ${others} more`}`;
}

/** The commands, a line each: the rules of a table, which are the same for all vifs, are left out. */
const linesOf = (changes: readonly NftChange[]): string[] =>
  nftCommands(changes).map((command) => command.replace(/\{\n[\s\S]*\n\}/, '{ … }').replaceAll('\n', '; '));

const printLine = (commands: readonly string[]): string => `nft ${singleQuoted(commands.join('; '))}`;
