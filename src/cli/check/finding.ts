/** One thing looked at: `ok`, worth knowing, likely to bite, or in the way. */
export interface Finding {
  readonly check: string;
  readonly severity: 'ok' | 'note' | 'warning' | 'error';
  readonly message: string;
  /** What to do about it; empty where there is nothing to do. */
  readonly remedy: string;
}

export const ok = (check: string, message: string): Finding => ({
  check,
  severity: 'ok',
  message,
  remedy: '',
});
export const note = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: 'note',
  message,
  remedy,
});
export const warning = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: 'warning',
  message,
  remedy,
});
export const error = (check: string, message: string, remedy: string): Finding => ({
  check,
  severity: 'error',
  message,
  remedy,
});
