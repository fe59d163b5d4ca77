// What Binnacle refused, dropped or lost, as its own counters tell.
import { ranged, type GridSeries } from "./prom";

export interface Loss {
  what: string;
  /** The labels that say where and why, in words. */
  reason: string;
  count: number;
  isBytes: boolean;
}

const QUERY_WORDS =
  "rejected|refused|dropped|skipped|cut|truncated|failed|failures|lost|missed|abandoned|queue_full|head_full|without_group|damages|damaged|unreadable";
const NAMES = `binnacle_(.+_)?(${QUERY_WORDS})(_.+)?_total|binnacle_alert_notifications_total`;

/** Plain words for the counters, without `binnacle_` and `_total`. One that is not here is shown by its name. */
const WORDS: Record<string, string> = {
  agent_cgroups_skipped: "Control groups not looked at",
  agent_kernel_log_lost: "Kernel log overwritten before it was read",
  agent_log_bytes_lost: "Log file bytes never handed on",
  agent_log_files_skipped: "Log files not followed",
  agent_log_lines_cut: "Log lines cut short by the agent",
  agent_log_lines_rejected: "Log lines the agent's store refused",
  agent_samples_dropped: "Samples the agent dropped",
  agent_spool_dropped: "Batches dropped from the spool",
  agent_spool_refused: "Batches refused by a full spool, to be sent again",
  alert_alerts_without_group: "Alerts held back, too many groups",
  alert_ends_abandoned: "Ends of alerts that no receiver took",
  alert_group_iterations_missed: "Rule group evaluations left out",
  alert_notification_attempts_failed: "Attempts to notify that failed",
  alert_notifications: "Notifications not delivered",
  alert_rule_evaluation_failures: "Rule evaluations that failed",
  alert_rule_samples_rejected: "Samples of rules that the store refused",
  alert_state_save_failures: "Saves of the alert state that failed, tried again",
  events_damaged: "Damaged blocks of logs and traces",
  events_head_full: "Writes of logs and traces refused, memory full",
  events_rejected: "Log entries and spans refused by the store",
  http_connections_failed: "Connections that ended badly",
  log_lines_cut: "Log lines cut short by the store",
  receive_refused_requests: "Whole requests refused",
  receive_rejected: "Received items refused",
  scrape_samples_dropped: "Scraped samples not stored",
  scrapes_missed: "Scrapes left out",
  telemetry_dropped: "Own log records and spans dropped",
  tsdb_exemplars_dropped: "Exemplars dropped, they are not stored",
  tsdb_metadata_dropped: "Metric descriptions not remembered",
  tsdb_rejected: "Samples refused by the metric store",
  tsdb_unreadable: "Damage met while reading metrics",
  wal_cut_bytes: "Unfinished writes cut from the log, never acknowledged",
  wal_damages: "Damaged ranges of the write-ahead log",
  wal_failures: "Writes the log could not make durable",
  wal_queue_full: "Writes refused, the log's queue was full",
};

/** The labels that say where, then those that say why; all others are summed over. */
const WHERE = ["protocol", "signal", "store", "queue", "log", "listener", "receiver", "outcome", "reason"];

const POINTS = 60;

/**
 * What the counters grew by, most first; `undefined` when none of them was stored in this time.
 *
 * `increase` will not do: many counters begin to exist with their first loss, and it does not see the step from
 * nothing to that. So the values themselves are asked for, and one that was not there before began at zero.
 */
export async function losses(at: { start: number; end: number }, cancel: AbortSignal): Promise<Loss[] | undefined> {
  const step = Math.max(1, Math.ceil((at.end - at.start) / 1000 / POINTS));
  const end = Math.floor(at.end / 1000);
  const window = `${Math.max(step, 300)}s`;
  const start = end - Math.ceil((at.end - at.start) / 1000 / step) * step;
  const query = `last_over_time({__name__=~"${NAMES}",outcome!="delivered"}[${window}])`;
  const { series } = await ranged(query, { start, end, step, window }, cancel);
  if (series.length === 0) return undefined;
  const rows = new Map<string, Loss>();
  for (const one of series) {
    const count = Math.round(growth(one));
    if (count <= 0) continue;
    const name = (one.labels["__name__"] ?? "").replace(/^binnacle_|_total$/g, "");
    const reason = WHERE.flatMap((label) => one.labels[label] ?? []).join(", ").replaceAll("_", " ");
    const key = `${name} ${reason}`;
    const row = rows.get(key) ?? { what: WORDS[name] ?? name.replaceAll("_", " "), reason, count: 0, isBytes: /_bytes(_|$)/.test(name) };
    row.count += count;
    rows.set(key, row);
  }
  return [...rows.values()].sort((a, b) => b.count - a.count || a.what.localeCompare(b.what));
}

/** A counter that falls was begun anew, at zero. */
function growth({ values }: GridSeries): number {
  let before = values[0] ?? 0;
  let sum = 0;
  for (const value of values.slice(1)) {
    if (value === null) continue;
    sum += value < before ? value : value - before;
    before = value;
  }
  return sum;
}
