import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Config, parseConfig } from '../../src/config/config.js';
import { type Outcome, status } from '../../src/decide/status.js';
import type { Action } from '../../src/model/action.js';
import type { Link } from '../../src/model/observed.js';
import type { ScriptRun } from '../../src/model/script.js';
import { snapshot, type VifSnapshot } from '../../src/model/snapshot.js';
import type { Verdict } from '../../src/model/verdict.js';
import type { VifId } from '../../src/model/vif-id.js';
import { printAction } from '../../src/plan/print/print.js';
import { knownOf } from '../../src/reconcile/known.js';
import { type Known, next, type Step } from '../../src/reconcile/next.js';
import type { PlainIp } from '../fake/ip-machine.js';
import { type Machine, plainLinks } from '../fake/machine.js';
import type { PlainSets } from '../fake/named-sets.js';
import type { PlainOvs } from '../fake/openvswitch-machine.js';

/**
 * One situation a vif can be in: what xenstore says, what is on the host, and what is to come of it.
 * The files of its folder are told of in README.md.
 */
export interface Case {
  readonly name: string;
  readonly id: VifId;
  readonly snapshot: VifSnapshot | undefined;
  readonly links: readonly Link[];
  readonly openvswitch: PlainOvs | undefined;
  readonly ip: PlainIp;
  readonly scripts: ReadonlyMap<string, ScriptRun>;
  readonly sets: PlainSets;
  readonly config: Config;
}

const directory = fileURLToPath(new URL('./', import.meta.url));

export const caseFile = (name: string, file: string): string => `${directory}${name}/${file}`;

/** The cases as `<topology>/<name>`. */
export const caseNames = (): string[] =>
  readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => readdirSync(`${directory}${name}`).map((one) => `${name}/${one}`))
    .sort();

export function readCase(name: string): Case {
  const json = (file: string) => JSON.parse(readFileSync(caseFile(name, file), 'utf8'));
  const {
    id: [domid, devid],
    backend,
    frontend = {},
    guest,
    twins,
    blocked,
  } = json('xenstore.json');
  const id = { domid, devid };
  const config = caseFile(name, 'config.toml');
  return {
    name,
    id,
    snapshot:
      backend === null
        ? undefined
        : {
            ...snapshot(id, new Map(Object.entries(backend)), frontend.mtu),
            ...(guest === undefined ? {} : { guest }),
            ...(blocked === undefined ? {} : { blocked }),
            ...(twins === undefined
              ? {}
              : {
                  twins: (twins as [number, number][]).map(([domid, devid]) => ({ domid, devid })),
                }),
          },
    links: plainLinks(json('observed.json').links),
    openvswitch: json('observed.json').openvswitch,
    ip: json('observed.json').ip ?? {},
    scripts: new Map(Object.entries(json('observed.json').scripts ?? {})),
    sets: json('observed.json').sets ?? {},
    config: parseConfig(existsSync(config) ? readFileSync(config, 'utf8') : '', config),
  };
}

/** What comes of a case: the pure part of a look at one vif, on a machine that obeys. */
export interface Result {
  readonly verdict: Verdict;
  readonly actions: readonly Action[];
  /** The contents of `status.json`. */
  readonly status: Record<string, unknown>;
}

/** Goes step by step as the reconciler does, until nothing is left to change, and tells what it would report. */
export function run({ id, snapshot, config }: Case, machine: Machine): Result {
  const known = (): Known => ({ ...knownOf(id, snapshot), isNew: actions.length === 0 });
  const actions: Action[] = [];
  let step = next(known(), config, machine.observe());
  while (step.kind === 'change' || step.kind === 'start-script') {
    if (actions.length > 100)
      throw new Error(`there is no end to it: ${actions.map(printAction).join('; ')}`);
    for (const action of step.kind === 'change' ? step.actions : [step.action]) {
      machine.perform(action);
      actions.push(action);
    }
    step = next(known(), config, machine.observe());
  }
  const missing = step.kind === 'attached' ? step.missing.map(({ problem }) => problem.message) : [];
  const told = outcomeOf(step);
  const writes =
    snapshot === undefined || told === undefined
      ? { backend: {}, frontendMtu: undefined }
      : status(snapshot, told);
  return {
    verdict: step.verdict,
    actions,
    status: {
      verdict: step.verdict.kind,
      ...(step.kind === 'fail' ? { problem: step.problem.message } : {}),
      ...(step.kind === 'wait' && step.verdict.kind === 'attach' ? { waitsFor: step.problem.message } : {}),
      ...(missing.length === 0 ? {} : { missing }),
      ...(step.kind === 'remove' ? { deletesBackend: step.directory } : {}),
      backend: Object.fromEntries(Object.entries(writes.backend).map(([key, value]) => [key, value ?? null])),
      ...(writes.frontendMtu === undefined ? {} : { frontendMtu: writes.frontendMtu }),
    },
  };
}

function outcomeOf(step: Step): Outcome | undefined {
  if (step.kind === 'fail') return { kind: 'failed', problem: step.problem };
  return step.kind === 'attached' ? { kind: 'attached', mtu: step.link.mtu } : undefined;
}
