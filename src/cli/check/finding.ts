/** The result of one check, with a remedy where there is a problem. */
export interface Finding {
  readonly check: string;
  /** `note` is worth knowing, `warning` likely to cause a fault, `error` keeps vifs from being attached. */
  readonly severity: 'ok' | 'note' | 'warning' | 'error';
  readonly message: string;
  /** What to do about it; empty for `ok`. */
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

/** How a severity is printed. */
export const marks = { ok: 'ok', note: 'note', warning: 'WARNING', error: 'ERROR' } as const;
