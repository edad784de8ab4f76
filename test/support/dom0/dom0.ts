import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Domnet } from '../net/domnet.js';
import { Background } from '../process/background.js';

const program = fileURLToPath(new URL('../../../systemd/dom0/vifd-dom0-reconnect', import.meta.url));
const xl = fileURLToPath(new URL('xl', import.meta.url));

/** A vif as libxl's JSON has it. */
export type Nic = Readonly<Record<string, unknown>> & { readonly devid?: number };

/** dom0 with guests whose driver domain, number 1, is no more; the domain of `domnet` is 0, and called domnet now. */
export class Dom0 {
  readonly #domnet: Domnet;
  readonly #dir: string;
  readonly #guests = new Map<number, { name: string; nics: readonly Nic[] }>();

  constructor(domnet: Domnet) {
    this.#domnet = domnet;
    this.#dir = join(domnet.dir, 'dom0');
    mkdirSync(this.#dir);
    this.#save();
  }

  get notes(): string {
    return join(this.#dir, 'notes');
  }

  get #env(): NodeJS.ProcessEnv {
    const path = `${join(xl, '..')}:/usr/bin:/bin`;
    const { socketPath } = this.#domnet.xenstored;
    return { PATH: path, XENSTORED_PATH: socketPath, FAKE_XL: this.#dir, RUNTIME_DIRECTORY: this.notes };
  }

  #save(): void {
    const domains = [...this.#guests].map(([domid, { name, nics }]) => ({
      domid,
      config: { c_info: { name, uuid: uuid(domid) }, nics },
    }));
    writeFileSync(join(this.#dir, 'domains.json'), JSON.stringify(domains));
  }

  /** A running guest, whose vifs are of this driver domain. */
  async guest(domid: number, name: string, nics: readonly Nic[], backend = 1): Promise<void> {
    this.#guests.set(domid, { name, nics });
    this.#save();
    const { xenstore } = this.#domnet;
    const home = `/local/domain/${domid}`;
    await xenstore.writeMany([
      [`${home}/domid`, `${domid}`],
      [`${home}/name`, name],
      [`${home}/vm`, `/vm/${uuid(domid)}`],
    ]);
    for (const { devid = 0 } of nics) {
      const path = `/local/domain/${backend}/backend/vif/${domid}/${devid}`;
      await xenstore.write(`/libxl/${domid}/device/vif/${devid}/backend`, path);
      await xenstore.write(`${home}/device/vif/${devid}/state`, '4');
    }
  }

  /** Destroys a guest. */
  async end(domid: number): Promise<void> {
    this.#guests.delete(domid);
    this.#save();
    for (const path of [`/local/domain/${domid}`, `/libxl/${domid}`, `/local/domain/0/backend/vif/${domid}`])
      await this.#domnet.xenstore.rm(path).catch(() => undefined);
  }

  /** Has a subcommand of xl run this by sh first, until the returned function is called; it fails as this does. */
  before(subcommand: string, script: string): () => void {
    const file = join(this.#dir, subcommand);
    writeFileSync(file, script);
    return () => rmSync(file, { force: true });
  }

  /** The commands that xl was given since this was called last, but for those that only look. */
  calls(): string[][] {
    const file = join(this.#dir, 'calls');
    const calls = readFileSync(file, { flag: 'a+', encoding: 'utf8' }).trim();
    rmSync(file);
    const all = calls === '' ? [] : calls.split('\n').map((line) => JSON.parse(line) as string[]);
    return all.filter(([subcommand]) => subcommand !== 'list');
  }

  /** The domid of the driver domain of a vif, as libxl has it. */
  async backendOf(domid: number, devid = 0): Promise<number | undefined> {
    const path = `/libxl/${domid}/device/vif/${devid}/backend`;
    const value = await this.#domnet.xenstore.read(path).catch(() => undefined);
    return value === undefined ? undefined : Number(value.split('/')[3]);
  }

  /** Runs the program to its end. */
  reconnect(...args: string[]): Promise<{ code: number | string; lines: string[]; errors: string }> {
    return new Promise((resolve) => {
      const child = execFile(program, args, { env: this.#env }, (_, stdout, stderr) =>
        resolve({
          code: child.exitCode ?? child.signalCode ?? 'none',
          lines: stdout.trimEnd().split('\n'),
          errors: stderr,
        }),
      );
    });
  }

  /** Starts it as its unit does. */
  service(): Background {
    return new Background(program, [], this.#env);
  }
}

export const uuid = (domid: number): string => `00000000-0000-0000-0000-${`${domid}`.padStart(12, '0')}`;
