import { Broken } from './broken.js';
import { check, checkEnd, checkQuiet, type Patience, type Rest } from './check.js';
import { begin, type Model, type NatNetwork, type Step, type StepKind, serving, vifOf } from './model.js';
import { after, possible, usesOpenVswitch } from './steps.js';
import { WalkDomain } from './walk-domain.js';

/** How a walk ended, and what it was like. */
export interface Walked {
  /** The steps taken, those that were possible; the last one is the one that failed, if any did. */
  readonly steps: readonly Step[];
  readonly failure: Broken | undefined;
  /** The daemon's last lines when it failed. */
  readonly log: readonly string[];
  readonly counts: ReadonlyMap<StepKind, number>;
  /** How long each step took to come to rest after it was done, in ms. */
  readonly settling: readonly number[];
  /** Of the daemon at the beginning and at the end, in MB. */
  readonly rss: readonly [number, number];
}

export interface WalkOptions {
  readonly vifs: number;
  readonly natNetwork?: NatNetwork | undefined;
  readonly patience: Patience;
  readonly openvswitch: boolean;
  /** The next step in this state; undefined at the end. */
  readonly next: (model: Model) => Step | undefined;
  readonly signal: AbortSignal;
  /** A shell command to run in the driver domain of a failure, with what it prints added to the log. */
  readonly autopsy?: string | undefined;
  readonly progress?: (steps: number, step: Step, model: Model) => void;
}

/** Walks from a new driver domain to its end, or to the first failure. */
export async function walk(options: WalkOptions): Promise<Walked> {
  const { vifs, patience, signal } = options;
  const steps: Step[] = [];
  const counts = new Map<StepKind, number>();
  const settling: number[] = [];
  let model = begin(vifs, options.natNetwork);
  const domain = await WalkDomain.start(model, options.openvswitch);
  let failure: Broken | undefined;
  let log: string[] = [];
  const rss: [number, number] = [domain.daemon.usage()?.rss ?? 0, 0];
  try {
    let rest: Rest = { model, snapshot: await domain.snapshot() };
    for (let step = options.next(model); step !== undefined; step = options.next(model)) {
      signal.throwIfAborted();
      steps.push(step);
      options.progress?.(steps.length, step, model);
      const then = after(model, step);
      domain.expect('vif' in step ? vifOf(then, step.vif) : undefined);
      await domain.perform(step, model, then);
      const checked = await check(domain, step, rest, then, patience);
      if (step.do === 'quiet') await checkQuiet(domain);
      settling.push(checked.ms);
      counts.set(step.do, (counts.get(step.do) ?? 0) + 1);
      rest = checked.rest;
      model = then;
    }
    rss[1] = domain.daemon.usage()?.rss ?? 0;
    checkEnd(await domain.finish(model), model);
  } catch (error) {
    signal.throwIfAborted();
    failure =
      error instanceof Broken ? error : new Broken('error', [String((error as Error).stack ?? error)]);
    log = domain.daemon.log(60);
    if (options.autopsy !== undefined) log.push(...(await domain.shell(options.autopsy)).split('\n'));
  } finally {
    await domain.stop();
  }
  return { steps, failure, log, counts, settling, rss };
}

/** A schedule again, without the steps that are not possible where they stand. */
export async function replay(
  schedule: readonly Step[],
  options: Omit<WalkOptions, 'next' | 'openvswitch'>,
): Promise<Walked> {
  const left = [...schedule];
  return await walk({
    ...options,
    openvswitch: usesOpenVswitch(schedule),
    next: (model) => {
      for (let step = left.shift(); step !== undefined; step = left.shift()) {
        if (possible(step, model)) return step;
      }
      return undefined;
    },
  });
}

/** Whether everything can be asked of the daemon. */
export const canBeAsked = serving;
