// Nodes that report, and what they report about themselves.
import { instant, last, matchers, range, type GridSeries, type Labels } from "./prom";
import type { Grid } from "./time";

export interface NodeId {
  /** The label by which its series are selected: ours carry `node`, a scraped exporter only `instance`. */
  label: "node" | "instance";
  name: string;
}

/** Matchers of a node's series, to stand between braces. */
export function nodeMatchers(node: NodeId): string {
  return matchers({ [node.label]: node.name });
}

function idOf(labels: Labels): NodeId | undefined {
  if (labels["node"]) return { label: "node", name: labels["node"] };
  return labels["instance"] ? { label: "instance", name: labels["instance"] } : undefined;
}

export interface SeenNode extends NodeId {
  /** When its last sample was taken, in milliseconds; `undefined` when that is more than five minutes ago. */
  seenMs: number | undefined;
}

/** Nodes with a load sample inside the range; those of our own agents first. */
export async function nodes(at: Grid, cancel: AbortSignal): Promise<SeenNode[]> {
  const inRange = `${Math.max(300, at.end - at.start)}s`;
  const [all, seen] = await Promise.all([
    instant(`count by (node, instance) (last_over_time(node_load1[${inRange}]))`, at.end * 1000, cancel),
    instant("max by (node, instance) (timestamp(node_load1))", at.end * 1000, cancel),
  ]);
  const found = new Map<string, SeenNode>();
  for (const [series, isSeen] of [...all.map((s) => [s, false] as const), ...seen.map((s) => [s, true] as const)]) {
    const id = idOf(series.labels);
    if (!id) continue;
    const key = `${id.label} ${id.name}`;
    const old = found.get(key)?.seenMs;
    found.set(key, { ...id, seenMs: isSeen ? Math.max(old ?? 0, series.value * 1000) : old });
  }
  return [...found.values()].sort((a, b) =>
    a.label === b.label ? a.name.localeCompare(b.name) : a.label === "node" ? -1 : 1,
  );
}

export type Row = (number | null)[];

export interface NodeSeries {
  grid: Grid;
  cpu: Row;
  cores: number | undefined;
  memoryUsed: Row;
  memoryTotal: number | undefined;
  load: [Row, Row, Row];
  received: Row;
  sent: Row;
  read: Row;
  written: Row;
}

/** Interfaces that carry what another one carries too. */
const VIRTUAL = "lo|veth.*|docker.*|br-.*|cni.*|cali.*|flannel.*|virbr.*|vxlan.*|kube-.*|dummy.*";

function only(series: GridSeries[]): Row {
  return series[0]?.values ?? [];
}

export async function nodeSeries(node: NodeId, at: Grid, cancel: AbortSignal): Promise<NodeSeries> {
  const s = nodeMatchers(node);
  const w = at.window;
  const ask = (query: string) => range(query, at, cancel).then(only);
  const net = (name: string) => ask(`sum(rate(${name}{${s},device!~"${VIRTUAL}"}[${w}]))`);
  const [cpu, cores, total, available, load1, load5, load15, received, sent, read, written] = await Promise.all([
    ask(`100 * (1 - avg(rate(node_cpu_seconds_total{${s},mode="idle"}[${w}])))`),
    ask(`count(node_cpu_seconds_total{${s},mode="idle"})`),
    ask(`max(node_memory_MemTotal_bytes{${s}})`),
    ask(`max(node_memory_MemAvailable_bytes{${s}})`),
    ask(`max(node_load1{${s}})`),
    ask(`max(node_load5{${s}})`),
    ask(`max(node_load15{${s}})`),
    net("node_network_receive_bytes_total"),
    net("node_network_transmit_bytes_total"),
    ask(`sum(rate(node_disk_read_bytes_total{${s}}[${w}]))`),
    ask(`sum(rate(node_disk_written_bytes_total{${s}}[${w}]))`),
  ]);
  return {
    grid: at,
    cpu,
    cores: last(cores),
    memoryUsed: total.map((t, i) => difference(t, available[i])),
    memoryTotal: last(total),
    load: [load1, load5, load15],
    received,
    sent,
    read,
    written,
  };
}

function difference(a: number | null, b: number | null | undefined): number | null {
  return a === null || b === null || b === undefined ? null : a - b;
}

export interface Disk {
  mount: string;
  device: string;
  type: string;
  available: number;
  size: number;
}

const UNREAL = "tmpfs|ramfs|devtmpfs|overlay|squashfs|iso9660|nsfs|proc|sysfs|cgroup.*|fuse.lxcfs|autofs";

/** Real file systems, one row per device: bind mounts show the same one many times. */
export async function disks(node: NodeId, atMs: number, cancel: AbortSignal): Promise<Disk[]> {
  const s = nodeMatchers(node);
  const [sizes, free] = await Promise.all([
    instant(`node_filesystem_size_bytes{${s},fstype!~"${UNREAL}"}`, atMs, cancel),
    instant(`node_filesystem_avail_bytes{${s},fstype!~"${UNREAL}"}`, atMs, cancel),
  ]);
  const key = (labels: Labels) => `${labels["device"]} ${labels["mountpoint"]}`;
  const available = new Map(free.map((f) => [key(f.labels), f.value]));
  const byDevice = new Map<string, Disk>();
  for (const { labels, value } of sizes) {
    const rest = available.get(key(labels));
    if (rest === undefined || value <= 0) continue;
    const mount = labels["mountpoint"] ?? "?";
    const device = labels["device"] ?? "";
    const known = byDevice.get(device);
    if (known && known.mount.length <= mount.length) continue;
    byDevice.set(device, { mount, device, type: labels["fstype"] ?? "", available: rest, size: value });
  }
  return [...byDevice.values()].sort((a, b) => a.available / a.size - b.available / b.size);
}
