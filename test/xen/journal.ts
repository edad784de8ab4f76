import { type Follower, follow } from './follower.js';

/** An entry of domnet's journal; the kernel's have no unit. `priority` is syslog's. */
export interface JournalEntry {
  readonly unit: string | undefined;
  readonly priority: number;
  readonly message: string;
}

/** domnet's journal as it is written, its kernel's log among it. */
export class Journal {
  readonly entries: JournalEntry[] = [];
  readonly #follower: Follower;

  constructor() {
    const fields = 'MESSAGE,PRIORITY,UNIT,_SYSTEMD_UNIT';
    const command = `journalctl -f --no-tail -o json --output-fields=${fields}`;
    this.#follower = follow('domnet', command, (line) => {
      const { MESSAGE, PRIORITY, UNIT, _SYSTEMD_UNIT } = JSON.parse(line) as Record<string, unknown>;
      // A message of systemd about a unit counts as the unit's own.
      const unit = (UNIT ?? _SYSTEMD_UNIT) as string | undefined;
      // A message that is not valid text is an array of bytes.
      if (typeof MESSAGE === 'string')
        this.entries.push({ unit, priority: Number(PRIORITY), message: MESSAGE });
    });
  }

  /** A command line for domnet that writes pending entries to the journal, and then one with the text `mark`. */
  static sync = (mark: string): string => `journalctl --sync; logger ${mark}`;

  close(): void {
    this.#follower.stop();
  }
}
