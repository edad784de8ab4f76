import type { BlockReply } from '../model/vif-status.js';
import { tell } from './control-client.js';
import { exit } from './exit-status.js';
import { lines } from './table.js';

/**
 * `vifd block VIF [--json]`, `vifd allow VIF [--json]`: has no frame of the vif pass, or ends that; remembered until it is ended. Exits 1 where
 * it is remembered and not in effect on this machine.
 */
export async function blockCommand(
  vif: string,
  blocked: boolean,
  options: { json: boolean },
): Promise<number> {
  const reply = (await tell(`/${blocked ? 'block' : 'allow'}/${encodeURIComponent(vif)}`)) as BlockReply;
  process.stdout.write(
    options.json ? `${JSON.stringify(reply, undefined, 2)}\n` : explain(vif, blocked, reply),
  );
  return reply.inEffect ? exit.ok : exit.failed;
}

function explain(vif: string, blocked: boolean, { before, vifs, inEffect }: BlockReply): string {
  const names = vifs.length === 0 ? vif : vifs.map((one) => one.vif).join(', ');
  const already = before ? ' already' : '';
  return lines([
    blocked
      ? `${names}: blocked${already}; no frame passes until "vifd allow ${vif}"`
      : `${names}: ${before ? 'was not blocked' : 'no longer blocked'}`,
    ...(inEffect
      ? []
      : [`${names}: that is remembered and not in effect yet; "vifd status ${vif}" says why`]),
    ...vifs.flatMap((one) => (one.error === null ? [] : [`${one.vif}: ${one.error}`])),
  ]);
}
