// What fires right now, for every page: asked once per refresh.
import { effect, signal } from "@preact/signals";
import { alerts, isWatchdog, type Alert } from "./prom";
import { tokenWanted } from "./api";
import { timeWindow } from "./time";

export const activeAlerts = signal<Alert[] | undefined>(undefined);

/** How many alerts fire, without the one that always does; `undefined` until known. */
export const firing = signal<number | undefined>(undefined);

/** Whether the alert that always fires does; `undefined` until known. */
export const watchdogFires = signal<boolean | undefined>(undefined);

export function keepAlertsFresh(): void {
  effect(() => {
    void timeWindow.value;
    if (tokenWanted.value !== "") return;
    const cancel = new AbortController();
    alerts(cancel.signal).then(
      (found) => {
        const real = found.filter((a) => !isWatchdog(a.labels["alertname"]));
        activeAlerts.value = real;
        watchdogFires.value = found.some((a) => isWatchdog(a.labels["alertname"]) && a.state === "firing");
        firing.value = real.filter((a) => a.state === "firing").length;
      },
      () => {
        // What is not known is not shown: neither a count nor that all is quiet.
        if (cancel.signal.aborted) return;
        firing.value = undefined;
        activeAlerts.value = undefined;
      },
    );
    return () => cancel.abort();
  });
}

const ORDER = ["critical", "page", "error", "warning", "info", "none"];

/** Smaller is worse. */
export function severityRank(severity: string | undefined): number {
  const rank = ORDER.indexOf((severity ?? "").toLowerCase());
  return rank < 0 ? 3 : rank;
}
