import { notify } from 'node-libsystemd';

/** Pause between two reports to systemd when it set no watchdog, in ms. */
const statusMs = 10_000;

/**
 * Reports to systemd at intervals how many vifs are in which state (STATUS=), and feeds its watchdog (WATCHDOG=1) as long
 * as the event loop turns and `check` succeeded since the last report; else systemd restarts the daemon
 * (sd_watchdog_enabled(3)).
 * @param source.check a request to xenstore
 */
export function reportHealth(source: { check(): Promise<unknown>; phases(): readonly string[] }): {
  stop(): void;
} {
  const watchdogMs = Number(process.env.WATCHDOG_USEC ?? 0) / 1000;
  let answered = true;
  let reported = '';
  const beat = (): void => {
    const status = summary(source.phases());
    if (status !== reported) notify(`STATUS=${status}`);
    reported = status;
    if (answered) notify('WATCHDOG=1');
    answered = false;
    source.check().then(
      () => {
        answered = true;
      },
      // The daemon reports a lost connection itself; here the watchdog is not fed.
      () => undefined,
    );
  };
  beat();
  // A third of the watchdog's time, so that one late answer does not cause a restart.
  const timer = setInterval(beat, watchdogMs > 0 ? Math.min(watchdogMs / 3, statusMs) : statusMs);
  return { stop: () => clearInterval(timer) };
}

/** The number of vifs by phase, such as `5 vifs: 4 attached, 1 failed`. */
export function summary(phases: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const phase of phases) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  const parts = [...counts].map(([phase, count]) => `${count} ${phase}`);
  return `${phases.length} ${phases.length === 1 ? 'vif' : 'vifs'}${parts.length > 0 ? `: ${parts.join(', ')}` : ''}`;
}
