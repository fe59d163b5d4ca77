// Containers of a node: who they are, how they fare, and where else they are to be found.
import { writeSelector, type Matcher } from "./loki";
import { nodeMatchers, type NodeId, type Row } from "./nodes";
import { instant, last, matchers, range, type InstantValue, type Labels } from "./prom";
import { link } from "./place";
import type { Grid } from "./time";

export interface ContainerId {
  /** The control group's path, which every series has. */
  cgroup: string;
  containerId: string;
  name: string;
  namespace: string;
  pod: string;
  container: string;
  image: string;
  node: string;
}

export function containerOf(labels: Labels): ContainerId {
  const at = (name: string) => labels[name] ?? "";
  return {
    cgroup: at("id"),
    containerId: at("container_id"),
    name: at("name"),
    namespace: at("namespace"),
    pod: at("pod"),
    container: at("container"),
    image: at("image"),
    node: at("node"),
  };
}

/** Whether labels belong to a container, and not to a slice, a pod or its network holder. */
export function isContainer(who: ContainerId): boolean {
  return who.containerId + who.name + who.container !== "" && who.container !== "POD";
}

export function titleOf(who: ContainerId): string {
  const name = who.container || who.name || who.containerId || who.cgroup;
  return /^[0-9a-f]{32,}$/.test(name) ? name.slice(0, 12) : name;
}

export function subtitleOf(who: ContainerId): string {
  if (who.pod !== "") return who.namespace === "" ? who.pod : `${who.namespace} / ${who.pod}`;
  return who.image || (who.containerId === titleOf(who) ? "" : who.containerId.slice(0, 12));
}

/** Labels that stay the same when the container is started anew, so that one page shows all its lives. */
export function lastingLabels(who: ContainerId): Record<string, string> {
  if (who.pod !== "" && who.container !== "") {
    return { namespace: who.namespace, pod: who.pod, container: who.container };
  }
  if (who.name !== "") return { name: who.name, node: who.node };
  if (who.containerId !== "") return { container_id: who.containerId };
  return { id: who.cgroup, node: who.node };
}

export function containerLink(who: ContainerId): string {
  return link("/container", lastingLabels(who));
}

/** Streams of a container have the same labels as its metrics, apart from `name` and `id`. */
export function logSelector(who: ContainerId): string {
  const labels: [string, string][] =
    who.pod !== "" && who.container !== ""
      ? [["namespace", who.namespace], ["pod", who.pod], ["container", who.container]]
      : who.containerId !== ""
        ? [["container_id", who.containerId]]
        : [["container", who.container || who.name]];
  const found = labels.filter(([, value]) => value !== "");
  return writeSelector(found.map(([name, value]): Matcher => ({ name, op: "=", value })), "");
}

export function logsLink(who: ContainerId): string {
  return link("/logs", { q: logSelector(who) });
}

/** Spans carry the identity as attributes of their resource. */
export function traceTags(who: ContainerId): string {
  if (who.containerId !== "") return `container.id=${who.containerId}`;
  if (who.pod !== "") return `k8s.pod.name=${who.pod}`;
  return `container.name=${JSON.stringify(who.container || who.name)}`;
}

export function tracesLink(who: ContainerId): string {
  return link("/traces", { tags: traceTags(who) });
}

// ---- The table ----

export interface ContainerRow {
  key: string;
  who: ContainerId;
  /** Its last sample is older than the rest: it has ended. Milliseconds of that sample. */
  goneMs: number | undefined;
  cpu: Row;
  cpuNow: number | undefined;
  memory: Row;
  memoryNow: number | undefined;
  /** Bytes; `undefined` when there is none. */
  limit: number | undefined;
  received: number | undefined;
  sent: number | undefined;
  /** Share of enforcement periods in which it was throttled, 0 to 1. */
  throttled: number | undefined;
  /** Starts inside the range after the first life that was seen. */
  restarts: number;
  ooms: number;
  /** Milliseconds. */
  startedMs: number | undefined;
}

/** No machine has this much: control groups of version 1 write "unlimited" as about 2^63. */
const UNLIMITED = 2 ** 60;

/** All control groups of a node that were alive in the range. */
export async function containers(
  node: NodeId,
  at: Grid,
  onlyContainers: boolean,
  cancel: AbortSignal,
): Promise<ContainerRow[]> {
  const s = nodeMatchers(node) + (onlyContainers ? ',name!="",container!="POD"' : "");
  const w = at.window;
  const end = at.end * 1000;
  const span = `${Math.max(60, at.end - at.start)}s`;
  const now = (query: string) => instant(query, end, cancel);
  const [memory, cpu, limit, received, sent, throttled, periods, oomRise, oomMost, started, restarted] = await Promise.all([
    range(`container_memory_working_set_bytes{${s}}`, at, cancel),
    range(`sum by (id) (rate(container_cpu_usage_seconds_total{${s}}[${w}]))`, at, cancel),
    now(`container_spec_memory_limit_bytes{${s}}`),
    now(`sum by (id) (rate(container_network_receive_bytes_total{${s}}[${w}]))`),
    now(`sum by (id) (rate(container_network_transmit_bytes_total{${s}}[${w}]))`),
    now(`sum by (id) (rate(container_cpu_cfs_throttled_periods_total{${s}}[5m]))`),
    now(`sum by (id) (rate(container_cpu_cfs_periods_total{${s}}[5m]))`),
    now(`max by (id) (increase(container_oom_events_total{${s}}[${span}]))`),
    now(`max by (id) (max_over_time(container_oom_events_total{${s}}[${span}]))`),
    now(`max by (id) (last_over_time(container_start_time_seconds{${s}}[${span}]))`),
    now(`max by (id) (changes(container_start_time_seconds{${s}}[${span}]))`),
  ]);
  const byId = (values: InstantValue[]) => new Map(values.map((v) => [v.labels["id"] ?? "", v.value]));
  const limits = byId(limit);
  const [rx, tx] = [byId(received), byId(sent)];
  const [stopped, all] = [byId(throttled), byId(periods)];
  const [rises, mosts] = [byId(oomRise), byId(oomMost)];
  const [starts, again] = [byId(started), byId(restarted)];
  const cpuById = new Map(cpu.map((c) => [c.labels["id"] ?? "", c.values]));
  const lives = memory.map((series): Life => {
    const who = containerOf(series.labels);
    const id = who.cgroup;
    const firstAt = series.values.findIndex((v) => v !== null);
    const lastAt = series.values.findLastIndex((v) => v !== null);
    const startSeconds = starts.get(id);
    const born = startSeconds !== undefined ? startSeconds >= at.start : firstAt > 2;
    // A counter that is not zero when it is first seen has not risen in the eyes of `increase`.
    const ooms = born ? Math.max(mosts.get(id) ?? 0, rises.get(id) ?? 0) : (rises.get(id) ?? 0);
    const count = all.get(id);
    return {
      key: id,
      who,
      lastAt,
      goneMs: lastAt < series.values.length - 3 ? (at.start + lastAt * at.step) * 1000 : undefined,
      cpu: cpuById.get(id) ?? [],
      cpuNow: last((cpuById.get(id) ?? []).slice(-3)),
      memory: series.values,
      memoryNow: last(series.values.slice(-3)),
      limit: realLimit(limits.get(id)),
      received: rx.get(id),
      sent: tx.get(id),
      throttled: count !== undefined && count > 0 ? (stopped.get(id) ?? 0) / count : undefined,
      restarts: again.get(id) ?? 0,
      ooms: Math.round(ooms),
      startedMs: startSeconds === undefined || startSeconds <= 0 ? undefined : startSeconds * 1000,
    };
  });
  return joinLives(lives);
}

type Life = ContainerRow & { lastAt: number };

function realLimit(value: number | undefined): number | undefined {
  return value === undefined || value <= 0 || value >= UNLIMITED ? undefined : value;
}

/** One row per container: its latest life, with what happened to the earlier ones. */
function joinLives(lives: Life[]): ContainerRow[] {
  const groups = new Map<string, Life[]>();
  for (const life of lives) {
    const key = isContainer(life.who) ? matchers(lastingLabels(life.who)) : life.key;
    groups.set(key, [...(groups.get(key) ?? []), life]);
  }
  return [...groups].map(([key, group]) => {
    const latest = group.reduce((a, b) =>
      b.lastAt > a.lastAt || (b.lastAt === a.lastAt && (b.startedMs ?? 0) > (a.startedMs ?? 0)) ? b : a,
    );
    return {
      ...latest,
      key,
      cpu: overlay(group.map((g) => g.cpu)),
      memory: overlay(group.map((g) => g.memory)),
      restarts: group.reduce((sum, g) => sum + g.restarts, group.length - 1),
      ooms: group.reduce((sum, g) => sum + g.ooms, 0),
    };
  });
}

/** Several lives on one line; where two overlap, the larger value is drawn. */
export function overlay(rows: Row[]): Row {
  const [first = [], ...rest] = rows;
  return first.map((value, i) =>
    rest.reduce<number | null>((most, row) => {
      const other = row[i] ?? null;
      return most === null ? other : other === null ? most : Math.max(most, other);
    }, value),
  );
}

export const MUCH_THROTTLED = 0.25;
export const MUCH_MEMORY = 0.9;

/** Whether it deserves a look: "bad" for what kills or soon will, "warm" for what slows. */
export function trouble(row: ContainerRow): "bad" | "warm" | "" {
  if (row.ooms > 0 || memoryShare(row) >= MUCH_MEMORY) return "bad";
  return row.restarts > 0 || (row.throttled ?? 0) >= MUCH_THROTTLED ? "warm" : "";
}

export function memoryShare(row: ContainerRow): number {
  return row.limit === undefined || row.memoryNow === undefined ? 0 : row.memoryNow / row.limit;
}
