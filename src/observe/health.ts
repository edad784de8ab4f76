import { notify } from 'node-libsystemd';

/** Pause between two reports to systemd when it set no watchdog, in ms. */
const statusMs = 10_000;

/** The longest that xenstored may take for an answer before that is reported, in ms. */
const patienceMs = 5000;
/** How much more time to start is asked of systemd at a time, in microseconds: several times the pause. */
const extension = 60_000_000;

/** The pauses by systemd's watchdog: a third of its time, so that one late report does not cause a restart. */
function pauses(): { beatMs: number; silentMs: number } {
  const watchdogMs = Number(process.env.WATCHDOG_USEC ?? 0) / 1000;
  if (watchdogMs <= 0) return { beatMs: statusMs, silentMs: patienceMs };
  return { beatMs: Math.min(watchdogMs / 3, statusMs), silentMs: Math.min(watchdogMs, patienceMs) };
}

/** Calls back now and at intervals. @returns a function that ends it */
function every(ms: number, beat: () => void): { stop(): void } {
  beat();
  const timer = setInterval(beat, ms);
  return { stop: () => clearInterval(timer) };
}

/** What {@link reportWaiting} has begun: `answered` says that xenstored has answered. */
export interface Waiting {
  answered(): void;
  stop(): void;
}

/**
 * Feeds systemd's watchdog until the vifs are served, and has it wait for the start while xenstored has not answered. The
 * C xenstored is one thread, which a live update or a busy dom0 stops; a restart of vifd would not help it.
 * @param silent called once when that takes long
 */
export function reportWaiting({ isStarting, silent }: { isStarting: boolean; silent(): void }): Waiting {
  const { beatMs, silentMs } = pauses();
  const since = performance.now();
  let isAnswered = false;
  let told = false;
  const { stop } = every(beatMs, () => {
    notify(isStarting && !isAnswered ? `WATCHDOG=1\nEXTEND_TIMEOUT_USEC=${extension}` : 'WATCHDOG=1');
    if (isAnswered || told || performance.now() - since < silentMs) return;
    told = true;
    notify('STATUS=waiting for xenstored, which does not answer');
    silent();
  });
  const answered = (): void => {
    isAnswered = true;
  };
  return { answered, stop };
}

export interface HealthSource {
  /** A request to xenstore over the connection that serves the vifs. */
  check(): Promise<unknown>;
  /** The same over another connection. */
  probe(): Promise<unknown>;
  phases(): readonly string[];
  /** Told when xenstored does not answer, and when it answers again. */
  silent(isSilent: boolean): void;
}

/**
 * Reports to systemd at intervals how many vifs are in which state (STATUS=), and feeds its watchdog (WATCHDOG=1) as long
 * as the event loop turns (sd_watchdog_enabled(3)). It is not fed where another connection to xenstored is answered and the
 * daemon's own is not: then a restart helps.
 */
export function reportHealth(source: HealthSource): { stop(): void } {
  const { beatMs, silentMs } = pauses();
  let askedAt: number | undefined;
  let isSilent = false;
  let other: 'none' | 'asked' | 'answered' = 'none';
  let reported = '';
  const ask = (): void => {
    askedAt = performance.now();
    const answered = (): void => {
      askedAt = undefined;
      if (isSilent) source.silent(false);
      isSilent = false;
    };
    // A lost connection, too, is an answer; the daemon reports it itself.
    source.check().then(answered, answered);
  };
  const suspect = (): void => {
    if (!isSilent) source.silent(true);
    isSilent = true;
    if (other !== 'none') return;
    other = 'asked';
    const end = (): void => {
      other = askedAt === undefined ? 'none' : 'answered';
    };
    source.probe().then(end, () => {
      other = 'none';
    });
  };
  return every(beatMs, () => {
    if (askedAt === undefined) {
      other = other === 'answered' ? 'none' : other;
      ask();
    } else if (performance.now() - askedAt >= silentMs) suspect();
    const status = `${summary(source.phases())}${isSilent ? '; xenstored does not answer' : ''}`;
    if (status !== reported) notify(`STATUS=${status}`);
    reported = status;
    if (other !== 'answered') notify('WATCHDOG=1');
  });
}

/** The number of vifs by phase, such as `5 vifs: 4 attached, 1 failed`. */
export function summary(phases: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const phase of phases) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  const parts = [...counts].map(([phase, count]) => `${count} ${phase}`);
  return `${phases.length} ${phases.length === 1 ? 'vif' : 'vifs'}${parts.length > 0 ? `: ${parts.join(', ')}` : ''}`;
}
