import type { Logger } from 'pino';
import type { Host } from '../host/host.js';
import type { Verdict } from '../vif/desired.js';
import { isolate, planScript } from '../vif/plan.js';
import { ChangedMeanwhile, problem } from '../vif/problem.js';
import { scriptFailure } from '../vif/script.js';
import type { Announcer } from './announcer.js';
import type { Changes } from './changes.js';
import type { Outcomes } from './outcomes.js';
import { fields, type VifRecord } from './vif-record.js';

/** The part of a look that is another one for a vif which an operator's script attaches. */
export class ScriptLook {
  readonly #host: Host;
  readonly #log: Logger;
  readonly #announcer: Announcer;
  readonly #changes: Changes;
  readonly #outcomes: Outcomes;

  constructor(parts: {
    host: Host;
    log: Logger;
    announcer: Announcer;
    changes: Changes;
    outcomes: Outcomes;
  }) {
    this.#host = parts.host;
    this.#log = parts.log;
    this.#announcer = parts.announcer;
    this.#changes = parts.changes;
    this.#outcomes = parts.outcomes;
  }

  /**
   * Lets an operator's script do it. The script tells dom0 and netback by itself, so nothing is written for it unless
   * it fails without a word.
   */
  async attach(
    record: VifRecord,
    { script, filter }: Verdict & { kind: 'script' },
    since: number,
  ): Promise<void> {
    const { phase: before, snapshot } = record;
    const found = before === 'new' && snapshot?.hotplugStatus === 'connected';
    const known = this.#host.observe().scripts?.has(record.name) === true;
    const actions = await this.#changes.undoScript(record, () =>
      planScript(record.id, script, filter, this.#host.observe(), found && !known),
    );
    const runs = actions.some(({ kind }) => kind === 'run-script');
    const adopted = found && !runs;
    // Before an error is cleared: the one this would raise again must not flicker.
    if (runs) await this.#host.checkScript(script);
    try {
      await this.#changes.perform(record, runs ? actions.slice(0, -1) : actions);
    } catch (error) {
      if (error instanceof ChangedMeanwhile) throw error;
      // Fail closed, and first by the link: nobody knows how long the script takes. It is run anew afterwards.
      const isolation = isolate(record.id, filter, this.#host.observe());
      await this.#changes.perform(record, isolation);
      if (isolation.length > 0) await this.#changes.withdraw(record);
      throw error;
    }
    if (runs) {
      if (!(await this.#outcomes.report(record, { kind: 'script-starts' }))) return;
      record.problem = undefined;
      this.#announcer.detached(record);
      await this.#changes.perform(record, actions.slice(-1));
    }
    const observed = this.#host.observe();
    const link = observed.links.ofVif(record.id);
    const run = observed.scripts?.get(record.name);
    if (link === undefined || run === undefined) return;
    const failure = scriptFailure(script.file, run, record.snapshot);
    if (failure !== undefined) return await this.#outcomes.failed(record, failure);
    if (run.state !== 'online' || record.snapshot?.hotplugStatus !== 'connected') {
      record.enter('waiting');
      if (run.state === 'online' && record.problem === undefined) {
        // libxl leaves it at that, and netback waits: perhaps something the script started will write it.
        record.problem = problem(
          'run script',
          script.file,
          'it ended well but wrote no hotplug-status',
          'script',
        );
        this.#log.warn({ ...fields(record), error: record.problem.message }, 'vif waits for its script');
      }
      return;
    }
    const bridge = link.master === undefined ? undefined : observed.links.byIndex(link.master)?.name;
    const ms = Math.round((performance.now() - since) * 100) / 100;
    if (record.phase !== 'attached') record.attachMs = ms;
    const how = record.phase === 'attached' ? 'attached' : adopted ? 'adopt' : 'new';
    record.enter('attached', undefined, 'script');
    this.#announcer.attached(
      record,
      how,
      { script, filter },
      { topology: 'script', bridge, mtu: link.mtu, ms },
      actions,
    );
    this.#announcer.toHooks(record, link, 'script', bridge, adopted);
  }
}
