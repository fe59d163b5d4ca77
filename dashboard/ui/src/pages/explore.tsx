// Explore: any PromQL, as a chart over the range and as a table of the newest values.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { count, format, plural } from "../lib/format";
import { useLoad } from "../lib/load";
import { link, param, setParams } from "../lib/place";
import { instant, metricNames, ranged, times, type GridSeries, type InstantValue, type Labels } from "../lib/prom";
import { dateTime, grid, refreshNow, timeWindow } from "../lib/time";
import { Chart, PALETTE_SIZE } from "../parts/chart";
import { Panel } from "../parts/panel";
import { Empty, StateOf } from "../parts/state";

const MOST_LINES = 20;
const MOST_ROWS = 200;

const EXAMPLES = [
  ["Targets that are down", "up == 0"],
  ["Busiest containers", "topk(5, sum by (container) (rate(container_cpu_usage_seconds_total[2m])))"],
  ["Memory by container", 'sum by (container) (container_memory_working_set_bytes{container!=""})'],
  ["CPU by mode", 'sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[2m]))'],
] as const;

export function Explore() {
  // `g0.expr` is what links to Prometheus' own page carry.
  const expr = param("expr") || param("g0.expr");
  return (
    <>
      <QueryForm expr={expr} />
      {expr === "" ? (
        <Panel title="Examples">
          <ul class="examples">
            {EXAMPLES.map(([name, query]) => (
              <li key={name}>
                <a href={link("/explore", { expr: query })}>{name}</a>
                <code>{query}</code>
              </li>
            ))}
          </ul>
        </Panel>
      ) : (
        <Result expr={expr} />
      )}
    </>
  );
}

function QueryForm({ expr }: { expr: string }) {
  const typed = useSignal(expr);
  const box = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    typed.value = expr;
  }, [expr]);
  const { start, end } = timeWindow.value;
  const names = useLoad("metrics", Math.round(end / 300e3), (cancel) => metricNames(start, end, cancel));
  const run = (event?: Event) => {
    event?.preventDefault();
    const next = typed.value.trim();
    if (next === expr) refreshNow();
    else setParams({ expr: next, "g0.expr": undefined });
  };
  const insert = (name: string) => {
    const field = box.current;
    if (name === "" || !field) return;
    const [from, to] = [field.selectionStart, field.selectionEnd];
    typed.value = typed.value.slice(0, from) + name + typed.value.slice(to);
    field.focus();
  };
  return (
    <form class="panel query" onSubmit={run} role="search">
      <div class="row">
        <label class="field grow">
          <span>PromQL</span>
          <textarea
            ref={box}
            class="mono"
            name="expr"
            data-main-field
            rows={Math.min(8, Math.max(2, typed.value.split("\n").length))}
            spellcheck={false}
            placeholder="sum by (container) (rate(container_cpu_usage_seconds_total[2m]))"
            value={typed}
            onInput={(e) => (typed.value = e.currentTarget.value)}
            onKeyDown={(e) => {
              if (e.key === "Enter" && !e.shiftKey) run(e);
            }}
          />
        </label>
        <div class="stack">
          <button type="submit" class="main">Run</button>
          <small class="faint">Enter runs, Shift+Enter breaks the line</small>
        </div>
      </div>
      <div class="row">
        <select aria-label="Insert a metric" value="" onChange={(e) => insert(e.currentTarget.value)}>
          <option value="">{names.data ? `insert one of ${count(names.data.length)} metrics…` : names.error ? "metrics can't be listed" : "Loading…"}</option>
          {(names.data ?? []).map((name) => (
            <option key={name} value={name}>{name}</option>
          ))}
        </select>
      </div>
    </form>
  );
}

/** What tells a series from the others: labels that all share are left out, and a lone label needs no name. */
function nameAmong(labels: Labels, all: GridSeries[]): string {
  const { __name__: name = "", ...rest } = labels;
  const own = Object.entries(rest).filter(([n, v]) => all.length === 1 || all.some((s) => s.labels[n] !== v));
  if (own.length === 0) return name || "value";
  const [only] = own;
  if (own.length === 1 && only && all.every((s) => s.labels["__name__"] === labels["__name__"])) return only[1] || "(none)";
  return `${name}{${own.map(([n, v]) => `${n}="${v}"`).join(", ")}}`;
}

function Result({ expr }: { expr: string }) {
  const at = useComputed(() => grid(timeWindow.value)).value;
  const chart = useLoad(`range ${expr}`, timeWindow.value, async (cancel) => ({ at, ...(await ranged(expr, at, cancel)) }));
  const table = useLoad(`instant ${expr}`, timeWindow.value, (cancel) => instant(expr, timeWindow.value.end, cancel));
  const { data } = chart;
  const drawn = data?.series.slice(0, MOST_LINES) ?? [];
  return (
    <>
      <Panel
        id="chart"
        title={<>Over time {data && <small class="faint">{plural(data.series.length, "series", "series")}, one point per {data.at.step} s</small>}</>}
        busy={chart.loading}
      >
        {chart.error && <StateOf of={chart} what="The query failed." />}
        {data === undefined ? (
          !chart.error && <StateOf of={chart} what="" />
        ) : data.series.length === 0 ? (
          !chart.error && (
            <Empty title="No data.">
              <p>The query is fine, and nothing matches it in this time range.</p>
            </Empty>
          )
        ) : (
          <>
            {data.warnings.map((warning) => <p class="notice warm" key={warning}>{warning}</p>)}
            <Chart
              times={times(data.at)}
              lines={drawn.map((s, i) => ({
                label: nameAmong(s.labels, data.series),
                values: s.values,
                // The palette starts over here, so the lines have to differ otherwise.
                dashed: i >= PALETTE_SIZE,
              }))}
              unit="number"
              height={280}
              from={timeWindow.value.start / 1000}
              to={timeWindow.value.end / 1000}
              label={expr}
            />
            {data.series.length > MOST_LINES && (
              <p class="faint small">
                The first {MOST_LINES} of {data.series.length} series are drawn. <code>topk</code> or an aggregation shows the others.
              </p>
            )}
          </>
        )}
      </Panel>
      <Panel
        id="table"
        title={<>At {dateTime(timeWindow.value.end)} {table.data && <small class="faint">{plural(table.data.length, "value")}</small>}</>}
        busy={table.loading}
      >
        {table.data === undefined ? (
          !chart.error && <StateOf of={table} what="The query failed." />
        ) : table.data.length === 0 ? (
          <Empty title="No value at the end of this time range." />
        ) : (
          <Values values={table.data} />
        )}
      </Panel>
    </>
  );
}

function Values({ values }: { values: InstantValue[] }) {
  // Labels that all rows share say nothing; they stand above the table once.
  const names = [...new Set(values.flatMap((v) => Object.keys(v.labels)))].sort();
  const shared = names.filter((n) => values.length > 1 && values.every((v) => v.labels[n] === values[0]?.labels[n]));
  const columns = names.filter((n) => !shared.includes(n));
  const rows = values.toSorted((a, b) => b.value - a.value).slice(0, MOST_ROWS);
  return (
    <>
      {shared.length > 0 && (
        <p class="faint small breakable">All have {shared.map((n) => `${n}="${values[0]?.labels[n] ?? ""}"`).join(", ")}</p>
      )}
      <div class="scroll">
        <table class="values">
          <thead>
            <tr>
              {columns.map((n) => <th key={n}>{n}</th>)}
              <th class="numbers">value</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((v) => (
              <tr key={JSON.stringify(v.labels)}>
                {columns.map((n) => <td key={n} class="breakable">{v.labels[n] ?? ""}</td>)}
                <td class="numbers mono" title={String(v.value)}>{format(v.value, "number")}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {values.length > MOST_ROWS && <p class="faint small">The {MOST_ROWS} largest of {values.length} values.</p>}
    </>
  );
}
