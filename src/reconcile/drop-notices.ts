import type { Logger } from 'pino';
import { dropCure } from '../model/drop-cures.js';
import { parseVifName } from '../model/vif-id.js';

/** The packets that each vif's filter dropped, by the vif's name and the reason. */
type Drops = ReadonlyMap<string, Readonly<Record<string, number>>>;

/**
 * Logs that a vif has packets dropped, once for each reason while its filter stays. The kernel tells of no counter that
 * begins to count, so the counters are read now and then.
 */
export class DropNotices {
  readonly #read: () => Promise<Drops>;
  readonly #log: Logger;
  #known: ReadonlySet<string> | undefined;

  constructor(read: () => Promise<Drops>, log: Logger) {
    this.#read = read;
    this.#log = log;
  }

  /**
   * Logs the reasons for which packets were dropped for the first time since it was last called. What is counted at the
   * first call was logged by the daemon that ran then. Never rejects.
   */
  async tell(): Promise<void> {
    let drops: Drops;
    try {
      drops = await this.#read();
    } catch (error) {
      this.#log.debug({ err: error }, 'drops not read');
      return;
    }
    const now = new Set<string>();
    for (const [vif, reasons] of drops) {
      for (const [reason, packets] of Object.entries(reasons)) {
        if (packets === 0) continue;
        const what = `${vif} ${reason}`;
        now.add(what);
        if (this.#known?.has(what) === false) this.#first(vif, reason, packets);
      }
    }
    // What is counted no longer is forgotten: the next vif of that name has a filter that begins at 0.
    this.#known = now;
  }

  #first(vif: string, reason: string, packets: number): void {
    const cure = dropCure(reason);
    const fields = { vif, ...parseVifName(vif), reason, packets };
    this.#log.info(cure === undefined ? fields : { ...fields, cure }, 'vif has packets dropped');
  }
}
