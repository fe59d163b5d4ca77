// One trace: where its time went, what went wrong, and its log lines.
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ApiError } from "../lib/api";
import { duration, plural } from "../lib/format";
import { trace as loadTrace, type Trace } from "../lib/jaeger";
import { useLoad } from "../lib/load";
import { EVERYTHING, lines, newestFirst, writeSelector, type LogLine } from "../lib/loki";
import { link, param, setParams } from "../lib/place";
import { quote } from "../lib/prom";
import { exactTime, timeWindow } from "../lib/time";
import { LogList } from "../parts/loglist";
import { Panel } from "../parts/panel";
import { Empty, StateOf } from "../parts/state";
import { Waterfall } from "../parts/waterfall";

export function TracePage({ id }: { id: string }) {
  const load = useLoad(id, timeWindow.value.tick, (cancel) => loadTrace(id, cancel).catch(missing));
  const trace = load.data;
  return (
    <>
      <header class="page-head">
        <h1>
          <a href={link("/traces")} class="crumb">Traces</a>
          <span aria-hidden="true"> / </span>
          {trace ? trace.root.name : <span class="mono">{id}</span>}
        </h1>
      </header>
      {load.error || load.loading && trace === undefined ? (
        <StateOf of={load} what="The trace could not be loaded." />
      ) : trace === undefined ? (
        <Empty title="There is no such trace.">
          <p>
            It may be older than what is kept, or its spans have not arrived yet.
          </p>
        </Empty>
      ) : (
        <Whole trace={trace} />
      )}
    </>
  );
}

/** A trace that does not exist is an answer, not a failure. */
function missing(error: unknown): undefined {
  if (error instanceof ApiError && error.trouble === "rejected" && /not found/i.test(error.message)) return undefined;
  throw error;
}

function Whole({ trace }: { trace: Trace }) {
  const facts: [string, string][] = [
    ["Service", trace.root.service],
    ["Started", exactTime(trace.start / 1000)],
    ["Duration", duration(trace.duration / 1e6)],
    ["Spans", String(trace.spans.length)],
    ["Services", String(trace.services.length)],
    ["Depth", String(trace.depth)],
    ["Trace id", trace.id],
  ];
  return (
    <>
      <dl class="facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd class="mono">{value}</dd>
          </div>
        ))}
        {trace.errors > 0 && (
          <div>
            <dt>Errors</dt>
            <dd><span class="tag bad">{plural(trace.errors, "span")}</span></dd>
          </div>
        )}
      </dl>
      <Waterfall trace={trace} selected={param("span")} onSelect={(span) => setParams({ span }, true)} />
      <TraceLogs trace={trace} />
    </>
  );
}

const LIMIT = 500;
/** Lines are written a little before and after the spans they belong to. */
const MARGIN_MS = 60e3;

function TraceLogs({ trace }: { trace: Trace }) {
  const from = Math.floor(trace.start / 1000 - MARGIN_MS);
  const to = Math.ceil((trace.start + trace.duration) / 1000 + MARGIN_MS);
  // The id stands beside the line when it came over OTLP, and in the line when it was written to a file.
  const beside = `${EVERYTHING} | trace_id=${quote(trace.id)}`;
  const inside = `${EVERYTHING} |= ${quote(trace.id)}`;
  const load = useLoad(trace.id, `${from} ${to}`, async (cancel) => {
    const ask = (query: string) => lines(query, BigInt(from) * 1_000_000n, BigInt(to) * 1_000_000n, LIMIT, cancel);
    const [a, b] = await Promise.all([ask(beside), ask(inside)]);
    const all = new Map<string, LogLine>([...a, ...b].map((line) => [line.key, line]));
    return { lines: [...all.values()].sort(newestFirst).reverse(), query: a.length > 0 ? beside : inside };
  });
  const around = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const nearby = containerOfRoot(trace);
  const compact = useSignal(false);
  useEffect(() => {
    compact.value = false;
  }, [trace.id]);
  return (
    <Panel
      id="trace-logs"
      title={<>Logs of this trace {load.data && load.data.lines.length > 0 && <small class="faint">{plural(load.data.lines.length, "line")}, oldest first</small>}</>}
      busy={load.loading}
      aside={
        <>
          {nearby !== undefined && <a href={link("/logs", { q: nearby, ...around })}>All lines of {trace.root.service} then</a>}
          <a href={link("/logs", { q: load.data?.query ?? beside, ...around })} id="logs-of-trace">Open in Logs</a>
        </>
      }
    >
      {load.data === undefined ? (
        <StateOf of={load} what="Log lines could not be loaded." />
      ) : load.data.lines.length === 0 ? (
        <Empty title="No log line carries this trace's id." />
      ) : (
        <LogList entries={load.data.lines} />
      )}
    </Panel>
  );
}

function containerOfRoot(trace: Trace): string | undefined {
  const value = (key: string) => {
    const found = trace.root.resource.find((t) => t.key === key)?.value;
    return typeof found === "string" ? found : "";
  };
  const id = value("container.id");
  if (id !== "") return writeSelector([{ name: "container_id", op: "=", value: id }], "");
  return writeSelector([{ name: "service_name", op: "=", value: trace.root.service }], "");
}
