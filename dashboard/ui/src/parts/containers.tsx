// The table of a node's containers.
import { useComputed, useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { bytes, format, plural } from "../lib/format";
import { containerLink, containers, logsLink, memoryShare, subtitleOf, titleOf, tracesLink, trouble, MUCH_MEMORY, MUCH_THROTTLED, type ContainerRow } from "../lib/containers";
import { useLoad } from "../lib/load";
import type { NodeId } from "../lib/nodes";
import { go, param, setParams } from "../lib/place";
import { grid, shortTime, timeWindow } from "../lib/time";
import { Panel } from "./panel";
import { Meter, Spark } from "./spark";
import { Empty, StateOf } from "./state";

const POINTS = 60;
const FIRST_ROWS = 100;

type Column = "name" | "cpu" | "memory" | "network" | "throttled" | "events";

const VALUES: Record<Column, (row: ContainerRow) => number | string> = {
  name: (row) => titleOf(row.who).toLowerCase(),
  cpu: (row) => row.cpuNow ?? -1,
  memory: (row) => row.memoryNow ?? -1,
  network: (row) => (row.received ?? -1) + (row.sent ?? 0),
  throttled: (row) => row.throttled ?? -1,
  events: (row) => row.ooms * 1000 + row.restarts,
};

/** Living ones with troubles first, then by name, so that rows stay in their places from refresh to refresh. */
function calmOrder(a: ContainerRow, b: ContainerRow): number {
  const rank = (row: ContainerRow) =>
    row.goneMs === undefined || row.ooms > 0 ? ["bad", "warm", ""].indexOf(trouble(row)) : 3;
  return rank(a) - rank(b) || byName(a, b);
}

function byName(a: ContainerRow, b: ContainerRow): number {
  return titleOf(a.who).localeCompare(titleOf(b.who)) || a.key.localeCompare(b.key);
}

function sorted(rows: ContainerRow[], column: string, down: boolean): ContainerRow[] {
  const value = Object.hasOwn(VALUES, column) ? VALUES[column as Column] : undefined;
  if (!value) return rows.toSorted(calmOrder);
  return rows.toSorted((a, b) => {
    const [x, y] = [value(a), value(b)];
    const order = typeof x === "string" || typeof y === "string" ? String(x).localeCompare(String(y)) : x - y;
    return (down ? -order : order) || byName(a, b);
  });
}

export function ContainerTable({ node }: { node: NodeId }) {
  const at = useComputed(() => grid(timeWindow.value, POINTS, 15)).value;
  const everything = param("cgroups") === "all";
  const load = useLoad(`containers ${node.name} ${everything}`, timeWindow.value, (cancel) =>
    containers(node, at, !everything, cancel),
  );
  const filter = useSignal("");
  const all = useSignal(false);
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matching = (load.data ?? []).filter((row) => {
    const text = Object.values(row.who).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const [column = "", direction] = param("sort").split(".");
  const rows = sorted(matching, column, direction === "down");
  const shown = all.value ? rows : rows.slice(0, FIRST_ROWS);
  const alive = (load.data ?? []).filter((row) => row.goneMs === undefined).length;
  const kind = everything ? "control group" : "container";
  return (
    <Panel
      id="containers"
      title={<>Containers {load.data && <small class="faint">{plural(alive, kind)} running</small>}</>}
      busy={load.loading}
      aside={
        <>
          <label class="check">
            <input
              type="checkbox"
              checked={everything}
              onChange={(e) => setParams({ cgroups: e.currentTarget.checked ? "all" : undefined })}
            />
            All control groups
          </label>
          <input
            type="search"
            placeholder="Filter by name, pod, image…"
            aria-label="Filter containers"
            data-main-field
            value={filter}
            onInput={(e) => (filter.value = e.currentTarget.value)}
          />
        </>
      }
    >
      {load.data === undefined || (load.error && load.data.length === 0) ? (
        <StateOf of={load} what="Containers could not be loaded." />
      ) : load.data.length === 0 ? (
        <Empty title={`No ${kind} was seen in this time range.`}>
          <p>A container shows up here some seconds after it starts.</p>
          {!everything && (
            <button type="button" onClick={() => setParams({ cgroups: "all" })}>
              Show all control groups
            </button>
          )}
        </Empty>
      ) : rows.length === 0 ? (
        <Empty title="No container matches the filter." />
      ) : (
        <>
          {load.error && <p class="notice warm">Not up to date: {load.error.message}</p>}
          <div class="scroll">
            <table class="containers">
              <thead>
                <tr>
                  <Head column="name">Container</Head>
                  <Head column="cpu" down>CPU, cores</Head>
                  <Head column="memory" down>Memory, working set</Head>
                  <Head column="network" down>Network in / out</Head>
                  <Head column="throttled" down>Throttled</Head>
                  <Head column="events" down>Events</Head>
                  <th>
                    <span class="hidden">Links</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {shown.map((row) => (
                  <Row key={row.key} row={row} />
                ))}
              </tbody>
            </table>
          </div>
          {rows.length > shown.length && (
            <button type="button" onClick={() => (all.value = true)}>
              Show {rows.length - shown.length} more
            </button>
          )}
        </>
      )}
    </Panel>
  );
}

function Head({ column, down = false, children }: { column: Column; down?: boolean; children: ComponentChildren }) {
  const first = `${column}.${down ? "down" : "up"}`;
  const second = `${column}.${down ? "up" : "down"}`;
  const current = param("sort");
  const next = current === first ? second : current === second ? undefined : first;
  const active = current.startsWith(`${column}.`);
  const descending = current.endsWith(".down");
  return (
    <th aria-sort={active ? (descending ? "descending" : "ascending") : "none"}>
      <button type="button" class="sort" onClick={() => setParams({ sort: next }, true)}>
        {children}
        <span aria-hidden="true">{active ? (descending ? " ↓" : " ↑") : ""}</span>
      </button>
    </th>
  );
}

function Row({ row }: { row: ContainerRow }) {
  const { who } = row;
  const gone = row.goneMs !== undefined;
  const open = (event: MouseEvent) => {
    // The cell's own links work as links, and marking text is not a click.
    if (event.target instanceof Element && event.target.closest("a")) return;
    if (String(getSelection()) === "") go(containerLink(who));
  };
  const share = memoryShare(row);
  return (
    <tr class={`${gone ? "gone" : ""} ${trouble(row) === "" ? "" : `troubled ${trouble(row)}`}`} onClick={open}>
      <td class="who">
        <a href={containerLink(who)} title={[who.containerId, who.image, who.cgroup].filter(Boolean).join("\n")}>
          {titleOf(who)}
        </a>
        <small>{subtitleOf(who)}</small>
      </td>
      <td class="with-spark">
        <Spark values={row.cpu} label="CPU over time" />
        <b>{gone ? "" : format(row.cpuNow, "cores")}</b>
      </td>
      <td class="memory">
        <Spark values={row.memory} top={row.limit} label="Memory over time" />
        <div>
          <span>
            <b class={share >= MUCH_MEMORY ? "bad-text" : ""}>{gone ? "" : format(row.memoryNow, "bytes")}</b>
            {row.limit !== undefined && <span class="faint"> of {bytes(row.limit)}</span>}
          </span>
          {row.limit !== undefined && !gone && (
            <Meter share={share} label={`${Math.round(share * 100)} percent of its limit`} />
          )}
        </div>
      </td>
      <td class="numbers">
        {row.received !== undefined && (
          <>
            {format(row.received, "bytes/s")} <span class="faint">/</span> {format(row.sent, "bytes/s")}
          </>
        )}
      </td>
      <td class="numbers">
        {row.throttled !== undefined && (
          <span class={row.throttled >= MUCH_THROTTLED ? "warm-text" : row.throttled < 0.005 ? "faint" : ""}>
            {format(Math.round(row.throttled * 100), "percent")}
          </span>
        )}
      </td>
      <td class="events">
        {row.ooms > 0 && <span class="tag bad">OOM × {row.ooms}</span>}
        {row.restarts > 0 && <span class="tag warm">restarted × {row.restarts}</span>}
        {row.goneMs !== undefined ? (
          <span class="tag">ended {shortTime(row.goneMs)}</span>
        ) : (
          row.startedMs !== undefined &&
          row.startedMs >= timeWindow.value.start && <span class="tag">started {shortTime(row.startedMs)}</span>
        )}
      </td>
      <td class="links">
        <a href={logsLink(who)}>Logs</a>
        <a href={tracesLink(who)}>Traces</a>
      </td>
    </tr>
  );
}
