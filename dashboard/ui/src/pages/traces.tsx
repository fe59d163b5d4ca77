// Trace search: by service, operation, tags and duration; the newest first, with the slow ones easy to see.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { duration, plural } from "../lib/format";
import { colorOf, operations, parseTags, searchTraces, services, type Trace } from "../lib/jaeger";
import { useLoad } from "../lib/load";
import { go, link, param, setParams } from "../lib/place";
import { refreshNow, shortTime, timeWindow } from "../lib/time";
import { Panel } from "../parts/panel";
import { Empty, StateOf } from "../parts/state";

const LIMITS = [20, 50, 100, 200];
const DURATION = /^\d+(\.\d+)?(ns|us|µs|ms|s|m|h)$/;

export function Traces() {
  const tags = parseTags(param("tags"));
  const wantedLimit = Number(param("limit"));
  const search = {
    service: param("service"),
    operation: param("operation"),
    tags: { ...tags, ...(param("errors") === "1" ? { error: "true" } : {}) },
    minDuration: param("min"),
    maxDuration: param("max"),
    limit: LIMITS.includes(wantedLimit) ? wantedLimit : 50,
  };
  const { start, end } = timeWindow.value;
  const load = useLoad(JSON.stringify(search), timeWindow.value, (cancel) => searchTraces(search, start, end, cancel));
  const sort = param("sort");
  const found = load.data && sortTraces(load.data, sort);
  return (
    <>
      <SearchForm />
      <Panel
        id="results"
        title={<>Traces {found && <small class="faint">{plural(found.length, "trace")}{found.length >= search.limit ? ", the newest" : ""}</small>}</>}
        busy={load.loading}
        aside={
          <label class="check">
            Sort
            <select value={sort} onChange={(e) => setParams({ sort: e.currentTarget.value }, true)}>
              <option value="">newest first</option>
              <option value="slow">slowest first</option>
              <option value="errors">most errors first</option>
            </select>
          </label>
        }
      >
        {tags === undefined && (
          <p class="notice warm" role="alert">
            The tags can't be read and are left out. Write them like <code>http.status_code=500 peer="a b"</code>.
          </p>
        )}
        {found === undefined || load.error ? (
          <StateOf of={load} what="The search failed." />
        ) : found.length === 0 ? (
          <Empty title="No trace matches in this time range.">
            <p>Spans arrive over OTLP, on ports 4317 (gRPC) and 4318 (HTTP) unless configured otherwise.</p>
          </Empty>
        ) : (
          <TraceList traces={found} />
        )}
      </Panel>
    </>
  );
}

function sortTraces(traces: Trace[], sort: string): Trace[] {
  const newest = (a: Trace, b: Trace) => b.start - a.start;
  if (sort === "slow") return traces.toSorted((a, b) => b.duration - a.duration || newest(a, b));
  if (sort === "errors") return traces.toSorted((a, b) => b.errors - a.errors || newest(a, b));
  return traces.toSorted(newest);
}

function SearchForm() {
  const service = param("service");
  const operation = param("operation");
  const typed = { tags: useSignal(param("tags")), min: useSignal(param("min")), max: useSignal(param("max")) };
  const id = useSignal("");
  const wrong = useSignal("");
  useEffect(() => {
    typed.tags.value = param("tags");
    typed.min.value = param("min");
    typed.max.value = param("max");
  }, [param("tags"), param("min"), param("max")]);
  const known = useLoad("services", timeWindow.value, services);
  const names = useLoad(service, timeWindow.value, (cancel) => (service === "" ? Promise.resolve([]) : operations(service, cancel)));
  const run = (event: Event) => {
    event.preventDefault();
    wrong.value = "";
    const wantedId = id.value.trim().toLowerCase();
    if (wantedId !== "") {
      if (/^[0-9a-f]{1,32}$/.test(wantedId)) go(link(`/traces/${wantedId}`));
      else wrong.value = "A trace id is up to 32 hexadecimal digits.";
      return;
    }
    const values = { tags: typed.tags.value.trim(), min: typed.min.value.trim(), max: typed.max.value.trim() };
    if ([values.min, values.max].some((v) => v !== "" && !DURATION.test(v))) {
      wrong.value = "Write durations like 250ms or 1.5s.";
    } else if (values.tags === param("tags") && values.min === param("min") && values.max === param("max")) {
      refreshNow();
    } else setParams(values);
  };
  return (
    <form class="panel query" onSubmit={run} role="search">
      <div class="row wrap">
        <label class="field">
          <span>Service</span>
          <select name="service" value={service} onChange={(e) => setParams({ service: e.currentTarget.value, operation: undefined })}>
            <option value="">All services</option>
            {withChosen(known.data, service).map((s) => (
              <option key={s} value={s}>{s}</option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>Operation</span>
          <select name="operation" value={operation} disabled={service === ""} onChange={(e) => setParams({ operation: e.currentTarget.value })}>
            <option value="">All operations</option>
            {withChosen(names.data, operation).map((o) => (
              <option key={o} value={o}>{o}</option>
            ))}
          </select>
        </label>
        <label class="field grow">
          <span>Tags</span>
          <input class="mono" name="tags" data-main-field spellcheck={false} placeholder="http.status_code=500 user=ann" value={typed.tags} onInput={(e) => (typed.tags.value = e.currentTarget.value)} />
        </label>
        <label class="field">
          <span>Min</span>
          <input name="min" size={7} placeholder="100ms" value={typed.min} onInput={(e) => (typed.min.value = e.currentTarget.value)} />
        </label>
        <label class="field">
          <span>Max</span>
          <input name="max" size={7} placeholder="5s" value={typed.max} onInput={(e) => (typed.max.value = e.currentTarget.value)} />
        </label>
        <label class="field">
          <span>Limit</span>
          <select value={param("limit") || "50"} onChange={(e) => setParams({ limit: e.currentTarget.value })}>
            {LIMITS.map((n) => (
              <option key={n} value={n}>{n}</option>
            ))}
          </select>
        </label>
        <label class="check">
          <input type="checkbox" checked={param("errors") === "1"} onChange={(e) => setParams({ errors: e.currentTarget.checked ? "1" : undefined })} />
          Errors only
        </label>
        <label class="field">
          <span>Trace id</span>
          <input class="mono" name="id" size={14} spellcheck={false} placeholder="open by id" value={id} onInput={(e) => (id.value = e.currentTarget.value)} />
        </label>
        <button type="submit" class="main">Search</button>
      </div>
      {wrong.value !== "" && (
        <p class="bad-text" role="alert">
          {wrong}
        </p>
      )}
    </form>
  );
}

/** A choice from the address is shown even when the server does not know it. */
function withChosen(known: string[] | undefined, chosen: string): string[] {
  const all = known ?? [];
  return chosen === "" || all.includes(chosen) ? all : [chosen, ...all];
}

function TraceList({ traces }: { traces: Trace[] }) {
  const longest = traces.reduce((most, t) => Math.max(most, t.duration), 1);
  return (
    <div class="scroll">
      <table class="traces">
        <thead>
          <tr>
            <th>Started</th>
            <th>Operation</th>
            <th>Duration</th>
            <th>Spans</th>
            <th>Services</th>
          </tr>
        </thead>
        <tbody>
          {traces.map((t) => {
            const address = link(`/traces/${t.id}`);
            const open = (event: MouseEvent) => {
              if (event.target instanceof Element && event.target.closest("a")) return;
              if (String(getSelection()) === "") go(address);
            };
            return (
              <tr key={t.id} onClick={open} class={t.errors > 0 ? "troubled bad" : ""}>
                <td class="mono nowrap">{shortTime(t.start / 1000)}</td>
                <td class="operation">
                  <a href={address}>
                    <b style={{ color: colorOf(t.root.service) }}>{t.root.service}</b> {t.root.name}
                  </a>
                  <small class="mono faint">{t.id.slice(0, 16)}</small>
                </td>
                <td class="trace-duration">
                  <b>{duration(t.duration / 1e6)}</b>
                  <div class="meter thin" aria-hidden="true">
                    <i style={{ width: `${Math.max(0.5, (t.duration / longest) * 100)}%` }} />
                  </div>
                </td>
                <td class="nowrap">
                  {t.spans.length}{" "}
                  {t.errors > 0 && <span class="tag bad">{plural(t.errors, "error")}</span>}
                </td>
                <td class="services" title={t.services.join(", ")}>
                  {t.services.slice(0, 5).map((s) => (
                    <span class="service" key={s}>
                      <i style={{ background: colorOf(s) }} />
                      {s}
                    </span>
                  ))}
                  {t.services.length > 5 && <span class="faint">+{t.services.length - 5}</span>}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}
