// What fires right now, for every page: asked once per refresh.
import { effect, signal } from "@preact/signals";
import { alerts, isWatchdog, type Alert } from "./prom";
import { tokenWanted } from "./api";
import { timeWindow } from "./time";

export const activeAlerts = signal<Alert[] | undefined>(undefined);

/** How many alerts fire, without the one that always does; `undefined` until known. */
export const firing = signal<number | undefined>(undefined);

export function keepAlertsFresh(): void {
  effect(() => {
    void timeWindow.value;
    if (tokenWanted.value !== "") return;
    const cancel = new AbortController();
    alerts(cancel.signal).then(
      (found) => {
        const real = found.filter((a) => !isWatchdog(a.labels["alertname"]));
        activeAlerts.value = real;
        firing.value = real.filter((a) => a.state === "firing").length;
      },
      () => {
        // The page that needs them says why; a badge that is not known is not shown.
        if (!cancel.signal.aborted) firing.value = undefined;
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
