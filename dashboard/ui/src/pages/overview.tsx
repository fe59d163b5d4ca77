// The first page: how this node and its containers fare, worst first.
import { useComputed } from "@preact/signals";
import { activeAlerts, severityRank, watchdogFires } from "../lib/alerting";
import { bytes, count, duration, format, type Unit } from "../lib/format";
import { useLoad } from "../lib/load";
import { disks, nodes, nodeSeries, type NodeId, type SeenNode } from "../lib/nodes";
import { link, param, setParams } from "../lib/place";
import { last, times } from "../lib/prom";
import { grid, now, timeWindow } from "../lib/time";
import { Chart, type Line } from "../parts/chart";
import { ContainerTable } from "../parts/containers";
import { Panel } from "../parts/panel";
import { Meter } from "../parts/spark";
import { Empty, StateOf } from "../parts/state";

export function Overview() {
  const at = useComputed(() => grid(timeWindow.value)).value;
  const found = useLoad("nodes", timeWindow.value, (cancel) => nodes(at, cancel));
  const wanted = param("node");
  const node = found.data?.find((n) => n.name === wanted) ?? (wanted === "" ? found.data?.[0] : undefined);
  return (
    <>
      <Attention />
      {found.data === undefined ? (
        <Panel title="Node">
          <StateOf of={found} what="The nodes could not be listed." />
        </Panel>
      ) : node === undefined ? (
        <Panel title="Node">
          <Empty title={wanted === "" ? "No node reported in this time range." : `Node ${wanted} did not report in this time range.`}>
            <p>
              A node reports within seconds of its agent's start. Check that the agent runs (the collector has one
              inside unless it was started with <code>--no-agent</code>), or choose a longer time range.
            </p>
            {wanted !== "" && <a href={link("/")}>All nodes</a>}
          </Empty>
        </Panel>
      ) : (
        <>
          <NodePart node={node} all={found.data} />
          <ContainerTable node={node} />
        </>
      )}
    </>
  );
}

/** Firing alerts in one line, or a calm word. */
function Attention() {
  const all = activeAlerts.value;
  if (all === undefined) return null;
  const silent = watchdogFires.value === false;
  const firing = all
    .filter((a) => a.state === "firing")
    .sort((a, b) => severityRank(a.labels["severity"]) - severityRank(b.labels["severity"]));
  const pending = all.length - firing.length;
  return (
    <p class={`attention ${firing.length > 0 ? "bad" : silent ? "warm" : "good"}`} role="status">
      {firing.length === 0 && silent ? (
        <span>
          <b>No alert fires, nor does the watchdog.</b> It always should, so <a href={link("/alerts")}>alerting may not work</a>.
        </span>
      ) : firing.length === 0 ? (
        <span>
          <b>All quiet.</b> No alert fires{pending > 0 ? `, ${pending} pending` : ""}.
        </span>
      ) : (
        <>
          <b>{firing.length} firing</b>
          {firing.slice(0, 6).map((alert) => (
            <a
              key={JSON.stringify(alert.labels)}
              class={`pill ${severityRank(alert.labels["severity"]) <= 2 ? "bad" : "warm"}`}
              href={link("/alerts", { name: alert.labels["alertname"] })}
              title={alert.annotations["summary"] ?? ""}
            >
              {alert.labels["alertname"]}
              <span class="subject">
                {alert.labels["container"] || alert.labels["pod"] || alert.labels["instance"] || alert.labels["node"]}
              </span>
              {alert.activeAt && <small>{duration(Math.max(0, Math.round((now() - Date.parse(alert.activeAt)) / 1000)))}</small>}
            </a>
          ))}
          {firing.length > 6 && <a href={link("/alerts")}>and {firing.length - 6} more</a>}
        </>
      )}
    </p>
  );
}

function NodePart({ node, all }: { node: SeenNode; all: SeenNode[] }) {
  const at = useComputed(() => grid(timeWindow.value)).value;
  const subject = `${node.label} ${node.name}`;
  const load = useLoad(`series ${subject}`, timeWindow.value, (cancel) => nodeSeries(node, at, cancel));
  const data = load.data;
  const box = data && { times: times(data.grid), from: timeWindow.value.start / 1000, to: timeWindow.value.end / 1000 };
  const cores = data?.cores;
  const share = data?.memoryTotal ? (last(data.memoryUsed) ?? 0) / data.memoryTotal : undefined;
  const chart = (title: string, note: string, unit: Unit, lines: Line[], atLeast?: number) => {
    const some = box && lines.some((l) => l.values.some((v) => v !== null));
    return (
      <Panel title={some ? undefined : title} busy={load.loading}>
        {some ? (
          <Chart {...box} title={title} note={note} lines={lines} unit={unit} height={104} atLeast={atLeast} sync="overview" label={`${title} over time`} />
        ) : load.data ? (
          <p class="state faint">Not reported in this time range.</p>
        ) : (
          <StateOf of={load} what={`${title} could not be loaded.`} />
        )}
      </Panel>
    );
  };
  return (
    <section aria-label="Node" class="node">
      <header class="page-head">
        <h1>
          <NodePicker node={node} all={all} />
        </h1>
        <Freshness node={node} />
      </header>
      {load.error && load.data && <p class="notice warm">Not up to date: {load.error.message}</p>}
      <div class="charts">
        {chart("CPU", cores ? `of ${cores} cores` : "", "percent", [
          { label: "busy", values: data?.cpu ?? [], fill: true },
        ], 100)}
        {chart("Memory", data?.memoryTotal && share !== undefined ? `${format(share * 100, "percent")} of ${bytes(data.memoryTotal)}` : "", "bytes", [
          { label: "used", values: data?.memoryUsed ?? [], fill: true },
        ], data?.memoryTotal)}
        {chart("Load", cores ? `on ${cores} cores` : "", "number", [
          { label: "1 min", values: data?.load[0] ?? [] },
          { label: "5 min", values: data?.load[1] ?? [] },
          { label: "15 min", values: data?.load[2] ?? [] },
        ], cores)}
        {chart("Network", "", "bytes/s", [
          { label: "in", values: data?.received ?? [] },
          { label: "out", values: data?.sent ?? [] },
        ], 1024)}
        {chart("Disk", "", "bytes/s", [
          { label: "read", values: data?.read ?? [] },
          { label: "written", values: data?.written ?? [] },
        ], 1024)}
        <Disks node={node} />
      </div>
    </section>
  );
}

function NodePicker({ node, all }: { node: NodeId; all: NodeId[] }) {
  if (all.length === 1) return <>{node.name}</>;
  return (
    <select
      aria-label="Node"
      value={node.name}
      onChange={(e) => setParams({ node: e.currentTarget.value })}
    >
      {all.map((n) => (
        <option key={`${n.label} ${n.name}`} value={n.name}>
          {n.name}
        </option>
      ))}
    </select>
  );
}

/** Whether data still arrives: charts alone don't show that at a glance. */
function Freshness({ node }: { node: SeenNode }) {
  if (node.seenMs === undefined) {
    return <span class="fresh bad-text">● no data for more than 5 minutes</span>;
  }
  const age = Math.max(0, (timeWindow.value.end - node.seenMs) / 1000);
  return (
    <span class={`fresh ${age > 120 ? "warm-text" : "faint"}`}>
      <i aria-hidden="true">●</i> data {age < 3 ? "just in" : `${duration(Math.round(age))} old`}
    </span>
  );
}

function Disks({ node }: { node: NodeId }) {
  const end = timeWindow.value.end;
  const load = useLoad(`disks ${node.label} ${node.name}`, timeWindow.value, (cancel) => disks(node, end, cancel));
  return (
    <Panel title="File systems" busy={load.loading}>
      {load.data === undefined ? (
        <StateOf of={load} what="File systems could not be loaded." />
      ) : load.data.length === 0 ? (
        <p class="state faint">Not reported in this time range.</p>
      ) : (
        <ul class="disks">
          {load.data.map((disk) => {
            const used = 1 - disk.available / disk.size;
            return (
              <li key={`${disk.device} ${disk.mount}`} title={`${disk.device}, ${disk.type}`}>
                <span class="mono">{disk.mount}</span>
                <span class="faint">
                  {bytes(disk.available)} free of {bytes(disk.size)}
                </span>
                <b>{count(Math.round(used * 100))} %</b>
                <Meter share={used} label={`${Math.round(used * 100)} percent used`} />
              </li>
            );
          })}
        </ul>
      )}
    </Panel>
  );
}
