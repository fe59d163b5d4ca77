// Logs: choose streams, search, see how many there were when, read them newest first.
import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { duration, grouped } from "../lib/format";
import { useLoad } from "../lib/load";
import { LEVELS, LEVEL_GROUPS, completeQuery, counts, levelOfLabels, lines, newestFirst, parseSelector, writeSelector, type LogLine } from "../lib/loki";
import { param, setParams } from "../lib/place";
import { quote, times, type GridSeries } from "../lib/prom";
import { grid, range, refresh, refreshNow, timeWindow, type Grid, type Window } from "../lib/time";
import { Chart } from "../parts/chart";
import { LogList, wrap, type Filter } from "../parts/loglist";
import { Panel } from "../parts/panel";
import { Selector } from "../parts/selector";
import { Empty, Failure, StateOf } from "../parts/state";

const PAGE = 200;
/** More lines than anybody reads; the browser stays quick. */
const MOST = 5000;

export function Logs() {
  const query = param("q");
  const search = param("search");
  const exactCase = param("case") === "1";
  const full = completeQuery(query, search, exactCase);
  const isLines = full.startsWith("{");
  const filter: Filter = (name, value, keep, beside) => {
    const parsed = parseSelector(query) ?? { matchers: [], rest: "" };
    const op = keep ? "=" : "!=";
    if (beside) {
      setParams({ q: writeSelector(parsed.matchers, `${parsed.rest} | ${name}${op}${quote(value)}`.trim()) });
      return;
    }
    const others = parsed.matchers.filter((m) => !(m.name === name && (keep || m.value === value)));
    setParams({ q: writeSelector([...others, { name, op, value }], parsed.rest) });
  };
  return (
    <>
      <QueryForm query={query} search={search} exactCase={exactCase} />
      {isLines ? (
        <>
          <Histogram query={full} />
          <Lines query={full} search={search} exactCase={exactCase} onFilter={filter} />
        </>
      ) : (
        <Numbers query={full} />
      )}
    </>
  );
}

function QueryForm({ query, search, exactCase }: { query: string; search: string; exactCase: boolean }) {
  const typedQuery = useSignal(query);
  const typedSearch = useSignal(search);
  useEffect(() => {
    typedQuery.value = query;
    typedSearch.value = search;
  }, [query, search]);
  const run = (event?: Event) => {
    event?.preventDefault();
    const unchanged = typedQuery.value.trim() === query && typedSearch.value === search;
    if (unchanged) refreshNow();
    else setParams({ q: typedQuery.value.trim(), search: typedSearch.value });
  };
  const live = range.value.kind === "relative" && refresh.value !== "off";
  return (
    <form class="panel query" onSubmit={run} role="search">
      <div class="row">
        <label class="field grow">
          <span>Search</span>
          <input
            type="search"
            data-main-field
            name="search"
            placeholder="Text in the line"
            value={typedSearch}
            onInput={(e) => (typedSearch.value = e.currentTarget.value)}
          />
        </label>
        <label class="check" title="Only lines with exactly this case">
          <input type="checkbox" checked={exactCase} onChange={(e) => setParams({ case: e.currentTarget.checked ? "1" : undefined })} />
          Match case
        </label>
        <button type="submit" class="main">
          Search
        </button>
        <span class="spacer" />
        <label class="check">
          <input type="checkbox" checked={wrap.value === "on"} onChange={(e) => (wrap.value = e.currentTarget.checked ? "on" : "off")} />
          Wrap
        </label>
        <label class="check" title={range.value.kind === "absolute" ? "A fixed range has no new lines" : "Ask for new lines every 5 seconds"}>
          <input
            type="checkbox"
            checked={live}
            disabled={range.value.kind === "absolute"}
            onChange={(e) => setParams({ refresh: e.currentTarget.checked ? "5s" : "off" }, true)}
          />
          Live
        </label>
      </div>
      <Selector query={query} onChange={(q) => setParams({ q })} />
      <label class="field">
        <span>LogQL</span>
        <input
          class="mono"
          name="logql"
          spellcheck={false}
          autocomplete="off"
          placeholder='{container="api"} |= "timeout"   (empty: all streams)'
          value={typedQuery}
          onInput={(e) => (typedQuery.value = e.currentTarget.value)}
        />
      </label>
    </form>
  );
}

// ---- Counts over time ----

const LEVEL_NAMES: Record<string, string> = { "": "no level" };

function byLevel(series: GridSeries[], at: Grid) {
  const sums = new Map(LEVELS.map((level) => [level, times(at).map((): number | null => null)]));
  for (const { labels, values } of series) {
    const sum = sums.get(levelOfLabels(labels));
    values.forEach((value, i) => {
      if (sum && value !== null && value > 0) sum[i] = (sum[i] ?? 0) + value;
    });
  }
  return [...sums]
    .filter(([, values]) => values.some((v) => v !== null))
    .map(([level, values]) => ({ label: LEVEL_NAMES[level] ?? level, values, color: `var(--level-${level || "none"})` }))
    .reverse();
}

/** A bar stands for the time up to its point, so the last one reaches beyond now. */
function barGrid(at: Window): Grid {
  const inside = grid(at, 80, 1);
  return { ...inside, end: inside.end * 1000 < at.end ? inside.end + inside.step : inside.end };
}

function Histogram({ query }: { query: string }) {
  const at = useComputed(() => barGrid(timeWindow.value)).value;
  const load = useLoad(query, timeWindow.value, async (cancel) => {
    const found = await counts(`sum by (${LEVEL_GROUPS}) (count_over_time(${query} [${at.step}s]))`, at, cancel);
    const lines = byLevel(found, at);
    return { at, lines };
  });
  // The lines below carry the same complaint about a bad query; once is enough.
  if (load.error && !load.data) return null;
  const { data } = load;
  return (
    <Panel
      id="histogram"
      title={<>Lines over time {data && <small class="faint">{duration(data.at.step)} a bar</small>}</>}
      busy={load.loading}
    >
      {data === undefined ? (
        <StateOf of={load} what="" />
      ) : data.lines.length === 0 ? (
        <p class="state faint">No lines in this time range.</p>
      ) : (
        <Chart
          // A bar counts the lines before its time.
          times={times(data.at).map((t) => t - data.at.step)}
          lines={data.lines}
          unit="count"
          height={96}
          from={timeWindow.value.start / 1000}
          to={timeWindow.value.end / 1000}
          stackedBars
          label="Log lines over time"
        />
      )}
    </Panel>
  );
}

function Numbers({ query }: { query: string }) {
  const at = useComputed(() => grid(timeWindow.value)).value;
  const load = useLoad(query, timeWindow.value, async (cancel) => ({ at, series: await counts(query, at, cancel) }));
  return (
    <Panel title="Result" busy={load.loading}>
      {load.data === undefined || load.error ? (
        <StateOf of={load} what="The query failed." />
      ) : load.data.series.length === 0 ? (
        <Empty title="The query gives no series in this time range." />
      ) : (
        <Chart
          times={times(load.data.at)}
          lines={load.data.series.slice(0, 30).map((s) => ({ label: JSON.stringify(s.labels), values: s.values }))}
          unit="number"
          height={260}
          from={timeWindow.value.start / 1000}
          to={timeWindow.value.end / 1000}
          label="Result over time"
        />
      )}
    </Panel>
  );
}

// ---- The lines ----

interface LinesProps {
  query: string;
  search: string;
  exactCase: boolean;
  onFilter: Filter;
}

function ns(ms: number): bigint {
  return BigInt(Math.floor(ms)) * 1_000_000n;
}

/** `fresh` first, then those of `old` that are not among them. */
function join(fresh: LogLine[], old: LogLine[]): LogLine[] {
  const known = new Set(fresh.map((e) => e.key));
  return [...fresh, ...old.filter((e) => !known.has(e.key))].sort(newestFirst);
}

function Lines({ query, search, exactCase, onFilter }: LinesProps) {
  const at: Window = timeWindow.value;
  const older = useSignal<{ of: string; entries: LogLine[]; done: boolean; error?: Error; loading: boolean } | undefined>(undefined);
  const shown = useRef<LogLine[]>([]);
  const load = useLoad(query, at, async (cancel) => {
    const entries = await lines(query, ns(at.start), ns(at.end) + 1n, PAGE, cancel);
    return { at, entries, full: entries.length >= PAGE };
  });
  const paging = useRef<AbortController | undefined>(undefined);
  // Older pages belong to one query and range; following the time keeps them while the new page touches them.
  const subject = `${query} ${range.value.kind === "absolute" ? at.start : range.value.ms}`;
  useEffect(() => () => paging.current?.abort(), [subject]);
  const extra = older.value?.of === subject ? older.value : undefined;
  const first = load.data?.entries ?? [];
  const reaches = first.length > 0 && !load.data?.full ? true : touches(first, extra?.entries ?? []);
  const entries = (extra && reaches ? join(first, extra.entries) : first).slice(0, MOST);
  shown.current = entries;
  const atEnd = extra && reaches ? extra.done : load.data !== undefined && !load.data.full;

  const loadOlder = async () => {
    const oldest = shown.current.at(-1);
    if (!oldest || extra?.loading) return;
    const cancel = new AbortController();
    paging.current = cancel;
    const before = shown.current;
    older.value = { of: subject, entries: before, done: false, loading: true };
    try {
      // The end is exclusive, and other lines may have the oldest one's time: ask for that time again.
      let page = await lines(query, ns(at.start), oldest.ns + 1n, PAGE, cancel.signal);
      let joined = join(page, before);
      if (joined.length === before.length && page.length >= PAGE) {
        page = await lines(query, ns(at.start), oldest.ns, PAGE, cancel.signal);
        joined = join(page, before);
      }
      older.value = { of: subject, entries: joined, done: page.length < PAGE, loading: false };
    } catch (error) {
      if (cancel.signal.aborted) return;
      const shownError = error instanceof Error ? error : new Error(String(error));
      older.value = { of: subject, entries: before, done: false, loading: false, error: shownError };
    }
  };

  return (
    <Panel
      id="lines"
      title={<>Lines {entries.length > 0 && <small class="faint">{grouped(entries.length)} shown, newest first</small>}</>}
      busy={load.loading}
    >
      {load.error && <Failure error={load.error} what="The query failed." />}
      {load.data === undefined ? (
        !load.error && <StateOf of={load} what="" />
      ) : entries.length === 0 ? (
        !load.error && (
          <Empty title="No lines.">
            <p>
              Nothing matches in this time range.
              {search !== "" && " The search text has to stand in the line itself."} Try a longer range or fewer filters.
            </p>
          </Empty>
        )
      ) : (
        <>
          <LogList entries={entries} search={search} exactCase={exactCase} onFilter={onFilter} />
          {extra?.error && <Failure error={extra.error} what="Older lines could not be loaded." />}
          <p class="more">
            {atEnd ? (
              <span class="faint">That is all in this time range.</span>
            ) : entries.length >= MOST ? (
              <span class="faint">{grouped(MOST)} lines are shown. Narrow the search or the time range to see others.</span>
            ) : (
              <button type="button" onClick={() => void loadOlder()} disabled={extra?.loading} id="older">
                {extra?.loading ? "Loading…" : "Load older lines"}
              </button>
            )}
          </p>
        </>
      )}
    </Panel>
  );
}

/** Whether a page of newest lines reaches back to lines we have, so that nothing is missing between them. */
function touches(first: LogLine[], have: LogLine[]): boolean {
  const oldest = first.at(-1);
  const newest = have[0];
  return oldest !== undefined && newest !== undefined && oldest.ns <= newest.ns;
}
