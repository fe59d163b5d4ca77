// One container: its charts over time, its alerts, its latest log lines, and the ways to its logs and traces.
import { useComputed } from "@preact/signals";
import { activeAlerts } from "../lib/alerting";
import { containerOf, overlay, logSelector, logsLink, titleOf, tracesLink, type ContainerId } from "../lib/containers";
import { shortId, type Unit } from "../lib/format";
import { useLoad } from "../lib/load";
import { lines as logLines } from "../lib/loki";
import { link, place } from "../lib/place";
import { instant, matchers, range, times, type GridSeries } from "../lib/prom";
import { dateTime, grid, timeWindow, type Grid } from "../lib/time";
import { Chart, type Line } from "../parts/chart";
import { LogList } from "../parts/loglist";
import { Panel } from "../parts/panel";
import { Empty, StateOf } from "../parts/state";

const LABELS = ["id", "container_id", "name", "namespace", "pod", "container", "node"];

/** The container that the address names, by any of its labels. */
function wanted(params: URLSearchParams): Record<string, string> {
  return Object.fromEntries(LABELS.flatMap((name) => (params.get(name) ? [[name, params.get(name) ?? ""]] : [])));
}

interface Found {
  grid: Grid;
  lives: ContainerId[];
  startedMs: number | undefined;
  charts: { title: string; unit: Unit; lines: Line[]; atLeast?: number }[];
}

function row(series: GridSeries[]): (number | null)[] {
  return series[0]?.values ?? [];
}

function positive(line: Line): boolean {
  return line.values.some((v) => v !== null && v > 0 && v < 2 ** 60);
}

async function find(labels: Record<string, string>, at: Grid, cancel: AbortSignal): Promise<Found> {
  // A pod's own series and those of its network holder have the same labels but no container.
  const s = matchers(labels);
  const w = at.window;
  const ask = (query: string) => range(query, at, cancel);
  const sum = (name: string) => ask(`sum(rate(${name}{${s}}[${w}]))`);
  const most = (name: string) => ask(`max(${name}{${s}})`);
  const [memory, cpu, rss, cache, limit, quota, period, rx, tx, read, written, throttled, periods, threads, started] =
    await Promise.all([
      ask(`container_memory_working_set_bytes{${s}}`),
      ask(`sum by (id, container_id) (rate(container_cpu_usage_seconds_total{${s}}[${w}]))`),
      most("container_memory_rss"),
      most("container_memory_cache"),
      most("container_spec_memory_limit_bytes"),
      most("container_spec_cpu_quota"),
      most("container_spec_cpu_period"),
      sum("container_network_receive_bytes_total"),
      sum("container_network_transmit_bytes_total"),
      sum("container_fs_reads_bytes_total"),
      sum("container_fs_writes_bytes_total"),
      sum("container_cpu_cfs_throttled_periods_total"),
      sum("container_cpu_cfs_periods_total"),
      most("container_threads"),
      instant(`max(container_start_time_seconds{${s}})`, at.end * 1000, cancel),
    ]);
  const ratio = (over: (number | null)[], under: (number | null)[], factor: number) =>
    over.map((value, i) => {
      const by = under[i];
      return value === null || by === null || by === undefined || by <= 0 ? null : (factor * value) / by;
    });
  const cores = ratio(row(quota), row(period), 1).map((v) => (v !== null && v > 0 ? v : null));
  const optional = (...lines: Line[]) => lines.filter(positive);
  return {
    grid: at,
    lives: memory.map((m) => containerOf(m.labels)),
    startedMs: started[0] && started[0].value > 0 ? started[0].value * 1000 : undefined,
    charts: [
      {
        title: "CPU",
        unit: "cores",
        atLeast: 0.05,
        lines: [{ label: "used", values: overlay(cpu.map((c) => c.values)), fill: true }, ...optional({ label: "quota", values: cores, color: "var(--bad)", dashed: true })],
      },
      {
        title: "Memory",
        unit: "bytes",
        atLeast: 1024 ** 2,
        lines: [
          { label: "working set", values: overlay(memory.map((m) => m.values)), fill: true },
          ...optional(
            { label: "rss", values: row(rss), color: "var(--c3)" },
            { label: "cache", values: row(cache), color: "var(--c4)" },
            { label: "limit", values: row(limit), color: "var(--bad)", dashed: true },
          ),
        ],
      },
      { title: "Throttled", unit: "percent", atLeast: 10, lines: [{ label: "of periods", values: ratio(row(throttled), row(periods), 100), fill: true }] },
      { title: "Network", unit: "bytes/s", atLeast: 1024, lines: [{ label: "in", values: row(rx) }, { label: "out", values: row(tx) }] },
      { title: "Disk", unit: "bytes/s", atLeast: 1024, lines: [{ label: "read", values: row(read) }, { label: "written", values: row(written) }] },
      { title: "Threads", unit: "count", atLeast: 5, lines: [{ label: "threads", values: row(threads), fill: true }] },
    ],
  };
}

export function Container() {
  const labels = wanted(place.value.params);
  const subject = matchers(labels);
  const at = useComputed(() => grid(timeWindow.value)).value;
  const load = useLoad(subject, timeWindow.value, (cancel) => find(labels, at, cancel));
  if (subject === "") {
    return (
      <Empty title="This address names no container.">
        <a href={link("/")}>To the overview</a>
      </Empty>
    );
  }
  const who = load.data?.lives.at(-1) ?? containerOf(labels);
  return (
    <>
      <header class="page-head">
        <h1>
          <a href={link("/", { node: who.node })} class="crumb">
            {who.node || "Overview"}
          </a>
          <span aria-hidden="true"> / </span>
          {titleOf(who)}
        </h1>
        <nav class="actions" aria-label="This container elsewhere">
          <a class="button" href={logsLink(who)}>Logs</a>
          <a class="button" href={tracesLink(who)}>Traces</a>
        </nav>
      </header>
      <Facts who={who} startedMs={load.data?.startedMs} lives={load.data?.lives.length ?? 1} />
      <OwnAlerts who={who} />
      {load.data === undefined ? (
        <StateOf of={load} what="This container could not be loaded." />
      ) : load.data.lives.length === 0 ? (
        <Empty title="This container reported nothing in this time range.">
          <p>It may have ended earlier, or not have started yet: choose another time range.</p>
        </Empty>
      ) : (
        <Charts found={load.data} busy={load.loading} trouble={load.error} />
      )}
      <RecentLogs who={who} />
    </>
  );
}

function Facts({ who, startedMs, lives }: { who: ContainerId; startedMs: number | undefined; lives: number }) {
  const facts: [string, string][] = [
    ["Namespace", who.namespace],
    ["Pod", who.pod],
    ["Image", who.image],
    ["Id", shortId(who.containerId)],
    ["Node", who.node],
    ["Started", startedMs === undefined ? "" : dateTime(startedMs)],
    ["Restarts in this range", lives > 1 ? String(lives - 1) : ""],
    ["Control group", who.cgroup],
  ];
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== "")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="mono" title={name === "Id" ? who.containerId : undefined}>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function OwnAlerts({ who }: { who: ContainerId }) {
  const own = (activeAlerts.value ?? []).filter(({ labels }) =>
    who.containerId !== "" && labels["container_id"]
      ? labels["container_id"] === who.containerId
      : who.pod !== ""
        ? labels["pod"] === who.pod && (!labels["container"] || labels["container"] === who.container)
        : who.name !== "" && labels["name"] === who.name,
  );
  if (own.length === 0) return null;
  return (
    <p class="attention bad" role="status">
      {own.map((alert) => (
        <a
          key={JSON.stringify(alert.labels)}
          class={`pill ${alert.state === "firing" ? "bad" : "warm"}`}
          href={link("/alerts", { name: alert.labels["alertname"] })}
        >
          {alert.labels["alertname"]} <small>{alert.state}</small>
        </a>
      ))}
    </p>
  );
}

function Charts({ found, busy, trouble }: { found: Found; busy: boolean; trouble: Error | undefined }) {
  const has = ({ lines }: { lines: Line[] }) => lines.some((l) => l.values.some((v) => v !== null));
  const missing = found.charts.filter((c) => !has(c)).map((c) => c.title);
  const box = { times: times(found.grid), from: timeWindow.value.start / 1000, to: timeWindow.value.end / 1000 };
  return (
    <>
      {trouble && <p class="notice warm">Not up to date: {trouble.message}</p>}
      <div class="charts">
        {found.charts.filter(has).map(({ title, unit, lines, atLeast }) => (
          <Panel key={title} title={undefined} busy={busy}>
            <Chart {...box} title={title} lines={lines} unit={unit} height={160} atLeast={atLeast} sync="container" label={`${title} over time`} />
          </Panel>
        ))}
      </div>
      {missing.length > 0 && <p class="faint small">Not reported in this time range: {missing.join(", ").toLowerCase()}.</p>}
    </>
  );
}

const RECENT = 50;

function RecentLogs({ who }: { who: ContainerId }) {
  const query = logSelector(who);
  const { start, end } = timeWindow.value;
  const load = useLoad(query, timeWindow.value, (cancel) =>
    logLines(query, BigInt(Math.floor(start)) * 1_000_000n, BigInt(Math.ceil(end)) * 1_000_000n, RECENT, cancel),
  );
  return (
    <Panel title="Latest log lines" busy={load.loading} aside={<a href={logsLink(who)}>All logs</a>} id="recent-logs">
      {load.data === undefined ? (
        <StateOf of={load} what="Log lines could not be loaded." />
      ) : load.data.length === 0 ? (
        <Empty title="No log lines of this container in this time range." />
      ) : (
        <LogList entries={load.data} compact />
      )}
    </Panel>
  );
}
