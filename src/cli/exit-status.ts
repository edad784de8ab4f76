/** Exit statuses: of sysexits.h and LSB where they have one. */
export const exit = {
  ok: 0,
  /** The answer is no: a vif has failed, a check found something, a plan is refused; or it could not be done. */
  failed: 1,
  /** The daemon does not run (LSB's "program is not running"). */
  notRunning: 3,
  usage: 64,
  config: 78,
} as const;

/** A command that cannot be carried out, with what the shell is told. */
export class CommandError extends Error {
  readonly status: number;

  constructor(message: string, status: number) {
    super(message);
    this.name = 'CommandError';
    this.status = status;
  }
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
