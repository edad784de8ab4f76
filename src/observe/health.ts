import { notify } from 'node-libsystemd';

/** How often systemd is told where we are, when it set no watchdog, in ms. */
const statusMs = 10_000;

/**
 * Tells systemd, again and again, how many vifs are in which state (STATUS=) and that we are well (WATCHDOG=1): that
 * the event loop turns, since this runs at all, and that xenstore answered `check` since the last time. When it does
 * not, systemd's watchdog ends us and starts anew (sd_watchdog_enabled(3)).
 */
export function reportHealth(source: { check(): Promise<unknown>; phases(): readonly string[] }): {
  stop(): void;
} {
  const watchdogMs = Number(process.env.WATCHDOG_USEC ?? 0) / 1000;
  let answered = true;
  let told = '';
  const beat = (): void => {
    const status = summary(source.phases());
    if (status !== told) notify(`STATUS=${status}`);
    told = status;
    if (answered) notify('WATCHDOG=1');
    answered = false;
    source.check().then(
      () => {
        answered = true;
      },
      // A lost connection is told of elsewhere; the watchdog just is not fed.
      () => undefined,
    );
  };
  beat();
  // A third: one late answer, which is seen at the next beat, does not end us.
  const timer = setInterval(beat, watchdogMs > 0 ? Math.min(watchdogMs / 3, statusMs) : statusMs);
  return { stop: () => clearInterval(timer) };
}

/** `5 vifs: 4 attached, 1 failed`. */
export function summary(phases: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const phase of phases) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  const parts = [...counts].map(([phase, count]) => `${count} ${phase}`);
  return `${phases.length} ${phases.length === 1 ? 'vif' : 'vifs'}${parts.length > 0 ? `: ${parts.join(', ')}` : ''}`;
}
