import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { OperationError } from '../../model/operation-error.js';
import type { DesiredScript, ScriptRun } from '../../model/script.js';
import { backendPath, parseVifName, type VifId, vifName } from '../../model/vif-id.js';
import { runtimeDir } from '../../runtime/runtime-dir.js';
import { Program } from './program.js';
import { trustedExecutable } from './trusted-path.js';

/** How long a script may run, in ms: LIBXL_HOTPLUG_TIMEOUT of libxl_internal.h. */
const timeoutMs = 40_000;

export interface ScriptOptions {
  /** The directories that scripts may be in. Called each time, because the configuration can be reloaded. */
  readonly directories: () => readonly string[];
  /** The directory of the runs' records, which outlive the daemon but not the machine's boot. */
  readonly stateDir: string;
  readonly log: Logger;
  /** Called when a script has ended; its result is in `runs`. */
  readonly ended: (id: VifId) => void;
}

/**
 * The operators' scripts, run as `xl devd` runs them (libxl_linux.c): `online type_if=vif` when a vif comes and
 * `offline type_if=vif` when it goes. A script writes `hotplug-status` itself, on success too; libxl writes nothing.
 */
export class Scripts {
  readonly #options: ScriptOptions;
  readonly #runs: Map<string, ScriptRun>;
  readonly #programs = new Map<string, Program>();
  #closed = false;

  constructor(options: ScriptOptions) {
    this.#options = options;
    this.#tryToKeep(() => mkdirSync(options.stateDir, { recursive: true, mode: 0o700 }));
    // A script that ran when the last daemon ended was killed then.
    this.#runs = new Map(
      [...recordedRuns(options.stateDir)].map(([name, run]) => [
        name,
        run.state === 'running' ? { ...run, state: 'interrupted' } : run,
      ]),
    );
  }

  get runs(): ReadonlyMap<string, ScriptRun> {
    return this.#runs;
  }

  /** Starts a script with `online`, without waiting for its end. @throws OperationError when it may not be run */
  async start(id: VifId, script: DesiredScript): Promise<void> {
    const name = vifName(id);
    const file = await this.trusted(script.file);
    this.#remember(name, { ...script, state: 'running' });
    const program = this.#run(id, script, file, 'online');
    this.#programs.set(name, program);
    void program.ended.then((reason) => {
      if (this.#programs.get(name) !== program) return;
      this.#programs.delete(name);
      // After `close` the record stays "running", so that the next daemon knows the script was interrupted.
      if (this.#closed) return;
      this.#remember(
        name,
        reason === undefined ? { ...script, state: 'online' } : { ...script, state: 'failed', reason },
      );
      this.#options.ended(id);
    });
  }

  /** Records a script as run that another agent has run already. */
  adopt(id: VifId, script: DesiredScript): void {
    this.#remember(vifName(id), { ...script, state: 'online' });
  }

  /**
   * Kills a vif's script if it still runs, runs it with `offline` and waits for its end. A failure is logged and ignored,
   * as libxl does, because the device goes in any case.
   */
  async undo(id: VifId): Promise<void> {
    const name = vifName(id);
    const run = this.#runs.get(name);
    if (run === undefined) return;
    const online = this.#programs.get(name);
    this.#programs.delete(name);
    online?.kill('its vif went');
    await online?.ended;
    const file = await this.trusted(run.file).catch((error: Error) => {
      this.#options.log.warn({ vif: name, script: run.file, error: error.message }, 'script not undone');
      return undefined;
    });
    if (file !== undefined && !this.#closed) {
      const offline = this.#run(id, run, file, 'offline');
      this.#programs.set(name, offline);
      const error = await offline.ended;
      this.#programs.delete(name);
      if (error !== undefined)
        this.#options.log.warn({ vif: name, script: run.file, error }, 'script failed to undo');
    }
    if (this.#closed) return;
    this.#runs.delete(name);
    this.#tryToKeep(() => rmSync(this.#stateFile(name), { force: true }), name);
  }

  /** Kills the scripts that run: without the daemon no timeout would end them. */
  close(): void {
    this.#closed = true;
    for (const program of this.#programs.values()) program.kill('vifd stopped');
  }

  #run(id: VifId, script: DesiredScript, file: string, command: 'online' | 'offline'): Program {
    const vif = vifName(id);
    const log = this.#options.log;
    log.debug({ vif, script: script.file, command }, 'script started');
    return new Program(file, {
      args: [command, 'type_if=vif'],
      env: {
        script: script.file,
        XENBUS_TYPE: 'vif',
        XENBUS_PATH: backendPath(id),
        XENBUS_BASE_PATH: 'backend',
        netdev: script.gatewaydev,
        vif,
      },
      timeoutMs,
      line: (line) => log.info({ vif, ...id, script: script.file, command, line }, 'script output'),
    });
  }

  /** The path to execute for a script. @throws OperationError that says why it may not be run */
  async trusted(file: string): Promise<string> {
    try {
      return await trustedExecutable(file, this.#options.directories());
    } catch (error) {
      throw new OperationError('script-untrusted', 'run script', file, (error as Error).message, {
        waits: false,
      });
    }
  }

  /**
   * Records a run. A failure is kept in memory only, so that a daemon that is restarted tries again; and any run where it
   * cannot be written, as on a full /run.
   */
  #remember(name: string, run: ScriptRun): void {
    this.#runs.set(name, run);
    const file = this.#stateFile(name);
    if (run.state === 'failed') {
      this.#tryToKeep(() => rmSync(file, { force: true }), name);
      return;
    }
    this.#tryToKeep(() => {
      writeFileSync(`${file}.new`, JSON.stringify(run), { mode: 0o600 });
      renameSync(`${file}.new`, file);
    }, name);
  }

  #tryToKeep(write: () => void, vif?: string): void {
    try {
      write();
    } catch (error) {
      const what = { ...(vif !== undefined && { vif }), err: error };
      this.#options.log.error(what, 'script record not kept; after a restart of vifd the script runs again');
    }
  }

  #stateFile(name: string): string {
    return join(this.#options.stateDir, `${name}.json`);
  }
}

/** The directory of a running daemon's records of scripts. */
export const scriptStateDir = (): string => join(runtimeDir(), 'scripts');

/** The recorded runs of scripts, by the vif's name. */
export function recordedRuns(directory = scriptStateDir()): Map<string, ScriptRun> {
  const runs = new Map<string, ScriptRun>();
  for (const file of existsSync(directory) ? readdirSync(directory) : []) {
    const name = file.replace(/\.json$/, '');
    if (name === file || parseVifName(name) === undefined) continue;
    try {
      const run: unknown = JSON.parse(readFileSync(join(directory, file), 'utf8'));
      if (isRun(run)) runs.set(name, run);
    } catch {
      // vifd writes a record whole or not at all, so this file is not vifd's.
    }
  }
  return runs;
}

/** Whether what was read is a record, of this version or of another one. */
function isRun(run: unknown): run is ScriptRun {
  const { file, gatewaydev, state } = (run ?? {}) as Record<string, unknown>;
  return (
    typeof file === 'string' && typeof gatewaydev === 'string' && states.has(state as ScriptRun['state'])
  );
}

const states: ReadonlySet<ScriptRun['state']> = new Set(['running', 'online', 'interrupted', 'failed']);
