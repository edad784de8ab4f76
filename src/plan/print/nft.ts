import type { NftAction, NftChange } from '../../model/nft.js';
import { nftCommands } from '../../nft/commands.js';

/** A transaction as the command an administrator would type: its words, or, where they are lines, its standard input. */
export function printNftAction(action: NftAction): string {
  const commands = nftCommands(action.changes);
  return commands.some((command) => command.includes('\n'))
    ? `nft -f - <<'END'\n${commands.join('\n')}\nEND`
    : `nft '${commands.join('; ')}'`;
}

/** What a transaction is about, in one line. */
export function nameNftAction(action: NftAction): string {
  const of = (change: NftChange['change']) => action.changes.find((each) => each.change === change);
  const [command = ''] = nftCommands(
    [of('set-chain') ?? of('add-element') ?? of('delete-chain') ?? action.changes[0]].filter(
      (change) => change !== undefined,
    ),
  );
  const others = action.changes.length - 1;
  return `nft '${command.replace(/\n[\s\S]*/, ' …')}'${others === 0 ? '' : ` and ${others} more`}`;
}
