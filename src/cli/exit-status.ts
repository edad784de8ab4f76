/** Exit statuses of the commands, as sysexits.h and the LSB number them. */
export const exit = {
  ok: 0,
  /** A vif has failed, a check found an error, a plan is refused; or the command itself failed. */
  failed: 1,
  /** The daemon does not run (LSB's "program is not running"). */
  notRunning: 3,
  usage: 64,
  config: 78,
} as const;

/** An error of a command, with its exit status. The message is printed to stderr. */
export class CommandError extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.name = 'CommandError';
    this.status = status;
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
