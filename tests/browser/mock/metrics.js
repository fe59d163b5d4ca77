// Series of one node with its containers, and just enough PromQL for what the page asks.
import { chance, hex, wave } from "./noise.js";

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
export const NODE = "edge-7";

const pod = (namespace, name, container, image, rest = {}) => ({ namespace, pod: name, container, image, ...rest });

/** Lives are counted back from now, in seconds: [from, to], and `to` of 0 is still alive. */
const CONTAINERS = [
  pod("shop", "checkout-6f7c9d5b4-x2x8p", "checkout", "registry.local/shop/checkout:4.12.1", { cpu: 0.42, memory: 310, limit: 512 }),
  pod("shop", "cart-5d8b7f6c9-kq7mz", "cart", "registry.local/shop/cart:2.3.0", { cpu: 0.18, memory: 471, limit: 512 }),
  pod("shop", "catalog-7c5f8d9b6-4jw2n", "catalog", "registry.local/shop/catalog:9.0.4", { cpu: 0.83, memory: 690, limit: 1024, quota: 1, throttled: 0.46 }),
  pod("shop", "payments-79d6b8f5c-pp9vl", "payments", "registry.local/shop/payments:1.8.2", { cpu: 0.07, memory: 120, limit: 256, lives: [[90000, 2100], [2080, 1250], [1220, 480], [450, 0]], ooms: [1, 1, 1, 0] }),
  pod("shop", "frontend-84b5c7d6f-zz4ht", "nginx", "nginx:1.29", { cpu: 0.03, memory: 18, limit: 128 }),
  pod("data", "postgres-0", "postgres", "postgres:18.1", { cpu: 0.55, memory: 2900, limit: 4096 }),
  pod("data", "redis-0", "redis", "redis:8.2", { cpu: 0.09, memory: 210 }),
  pod("data", "kafka-1", "kafka", "apache/kafka:4.1.0", { cpu: 0.37, memory: 1450, limit: 2048 }),
  pod("kube-system", "coredns-6799fbcd5-q8k2c", "coredns", "coredns/coredns:1.13.1", { cpu: 0.01, memory: 22, limit: 170 }),
  pod("kube-system", "kube-proxy-m2q4d", "kube-proxy", "kube-proxy:v1.35.0", { cpu: 0.004, memory: 25 }),
  pod("batch", "report-29384710-7xk2j", "report", "registry.local/batch/report:77", { cpu: 0.95, memory: 240, limit: 512, lives: [[2600, 1500]] }),
  { container: "binnacle", name: "binnacle", image: "binnacle:0.1.0", cpu: 0.05, memory: 96, lives: [[86400 * 3, 0]] },
];

function livesOf(spec) {
  const lives = spec.lives ?? [[86400 * (2 + chance(spec.container) * 20), 0]];
  return lives.map(([from, to], i) => {
    const id = hex(64, spec.container, i);
    const cgroup = spec.pod ? `/kubepods/burstable/pod${hex(8, spec.pod)}/${id}` : `/system.slice/docker-${id}.scope`;
    const labels = {
      ...(spec.pod ? { namespace: spec.namespace, pod: spec.pod } : {}),
      container: spec.container,
      container_id: id,
      name: spec.name ?? id,
      image: spec.image,
      id: cgroup,
      node: NODE,
      instance: NODE,
      job: "cadvisor",
    };
    return { spec, labels, from, to, ooms: spec.ooms?.[i] ?? 0 };
  });
}

export const lives = CONTAINERS.flatMap(livesOf);

/** name → [{labels, value(age), rate(age)}]; age is how long before now, in seconds. */
function build(nowSeconds) {
  const series = new Map();
  const add = (name, labels, what) => {
    const list = series.get(name) ?? [];
    list.push({ labels: { ...labels, __name__: name }, from: Infinity, to: 0, ...what });
    series.set(name, list);
  };
  const at = (age) => nowSeconds - age;
  for (const { spec, labels, from, to, ooms } of lives) {
    const span = { from, to };
    const who = labels.container_id;
    const growth = (age) => (spec.ooms ? Math.min(1, (from - age) / Math.max(1, from - to)) : 1);
    const memory = (age) =>
      ooms ? Math.min(spec.limit * 0.995, spec.limit * (0.3 + 0.7 * growth(age))) * MIB : spec.memory * MIB * (0.93 + 0.07 * wave(who, at(age), 0.1));
    const cpu = (age) => spec.cpu * wave(who, at(age));
    const gauge = (name, value) => add(name, labels, { ...span, value });
    const counter = (name, rate, extra = {}) => add(name, { ...labels, ...extra }, { ...span, rate });
    counter("container_cpu_usage_seconds_total", cpu, { cpu: "total" });
    gauge("container_memory_working_set_bytes", memory);
    gauge("container_memory_rss", (age) => memory(age) * 0.82);
    gauge("container_memory_cache", (age) => memory(age) * 0.21);
    gauge("container_spec_memory_limit_bytes", () => (spec.limit ?? 0) * MIB);
    gauge("container_spec_cpu_quota", () => (spec.quota ?? 0) * 100000);
    gauge("container_spec_cpu_period", () => 100000);
    gauge("container_start_time_seconds", () => nowSeconds - from);
    gauge("container_threads", (age) => 8 + Math.round(20 * chance(who) + 3 * wave(who, at(age))));
    add("container_oom_events_total", labels, { ...span, value: () => ooms, increase: () => 0 });
    counter("container_cpu_cfs_periods_total", () => 10);
    counter("container_cpu_cfs_throttled_periods_total", (age) => 10 * (spec.throttled ?? 0.002) * wave(who, at(age)));
    const net = 2e5 * spec.cpu;
    counter("container_network_receive_bytes_total", (age) => net * wave(`${who}r`, at(age)), { interface: "eth0" });
    counter("container_network_transmit_bytes_total", (age) => net * 2.2 * wave(`${who}t`, at(age)), { interface: "eth0" });
    counter("container_fs_reads_bytes_total", (age) => net * 0.1 * wave(`${who}fr`, at(age), 1), { device: "/dev/vda" });
    counter("container_fs_writes_bytes_total", (age) => net * 0.7 * wave(`${who}fw`, at(age), 1), { device: "/dev/vda" });
  }
  const host = { node: NODE, instance: NODE, job: "node" };
  const cores = 8;
  for (let cpu = 0; cpu < cores; cpu++) {
    const busy = (age) => Math.min(0.98, 0.44 * wave(`cpu${cpu}`, at(age)));
    add("node_cpu_seconds_total", { ...host, cpu: String(cpu), mode: "idle" }, { rate: (age) => 1 - busy(age) });
    add("node_cpu_seconds_total", { ...host, cpu: String(cpu), mode: "user" }, { rate: (age) => busy(age) * 0.7 });
    add("node_cpu_seconds_total", { ...host, cpu: String(cpu), mode: "system" }, { rate: (age) => busy(age) * 0.3 });
  }
  add("node_memory_MemTotal_bytes", host, { value: () => 15.6 * GIB });
  add("node_memory_MemAvailable_bytes", host, { value: (age) => 15.6 * GIB - 8.4 * GIB * (0.9 + 0.1 * wave("mem", at(age))) });
  for (const [name, factor] of [["node_load1", 1], ["node_load5", 0.9], ["node_load15", 0.8]]) {
    add(name, host, { value: (age) => 3.6 * factor * (1 + (wave("load", at(age)) - 1) * factor * factor) });
  }
  const disks = [["/", "/dev/vda1", 80, 31], ["/boot", "/dev/vda2", 1, 0.7], ["/var/lib/data", "/dev/vdb", 500, 38], ["/var/lib/data/bind", "/dev/vdb", 500, 38]];
  for (const [mountpoint, device, size, free] of disks) {
    const labels = { ...host, mountpoint, device, fstype: "ext4" };
    add("node_filesystem_size_bytes", labels, { value: () => size * GIB });
    add("node_filesystem_avail_bytes", labels, { value: () => free * GIB });
  }
  for (const [name, rate] of [["node_network_receive_bytes_total", 1.9e6], ["node_network_transmit_bytes_total", 3.1e6]]) {
    add(name, { ...host, device: "eth0" }, { rate: (age) => rate * wave(name, at(age)) });
  }
  for (const [name, rate] of [["node_disk_read_bytes_total", 4e5], ["node_disk_written_bytes_total", 5.2e6]]) {
    add(name, { ...host, device: "vda" }, { rate: (age) => rate * wave(name, at(age), 1.2) });
  }
  for (const [job, instance, up] of [["node", "127.0.0.1:9100", 1], ["binnacle", "127.0.0.1:9090", 1], ["shop", "10.0.3.17:8080", 0]]) {
    add("up", { job, instance }, { value: () => up });
  }
  const own = { job: "binnacle", instance: "127.0.0.1:9090", node: NODE };
  add("binnacle_tsdb_rejected_total", { ...own, reason: "too_old" }, { value: (age) => (age < 600 ? 152 : 140) });
  add("binnacle_tsdb_rejected_total", { ...own, reason: "label_limit" }, { value: () => 9 });
  // Exists from its first loss on.
  add("binnacle_receive_rejected_total", { ...own, protocol: "otlp_http", signal: "logs", reason: "too_old" }, { from: 400, value: () => 5 });
  // Begins anew after a restart.
  add("binnacle_agent_log_lines_cut_total", own, { value: (age) => (age > 500 ? 40 : age > 200 ? 3 : 7) });
  add("binnacle_agent_log_bytes_lost_total", { ...own, reason: "rotated" }, { value: (age) => (age < 300 ? 3 * MIB : 0) });
  add("binnacle_alert_notifications_total", { ...own, receiver: "hook", outcome: "delivered" }, { value: (age) => Math.floor((nowSeconds - age) / 60) });
  return series;
}

// ---- Just enough PromQL ----

const MATCHER = /([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;

function matches(labels, matchers) {
  return matchers.every(({ name, op, value }) => {
    const has = labels[name] ?? "";
    if (op === "=") return has === value;
    if (op === "!=") return has !== value;
    return new RegExp(`^(?:${value})$`).test(has) === (op === "=~");
  });
}

export class BadQuery extends Error {}

/** Values of a query at some ages: [{labels, values: [number | null]}]. */
export function evaluate(query, nowSeconds, ages) {
  const all = build(nowSeconds);
  const text = query.trim();
  const opens = (text.match(/[({[]/g) ?? []).length;
  const closes = (text.match(/[)}\]]/g) ?? []).length;
  if (opens !== closes) throw new BadQuery('1:' + (text.length + 1) + ': parse error: unexpected end of input');
  const names = [...text.matchAll(/[A-Za-z_:][\w:]*/g)].map((m) => m[0]).filter((n) => all.has(n));
  const name = names[0];
  const byName = /^last_over_time\((\{__name__=~.*\})\[/.exec(text)?.[1];
  if (byName !== undefined) return lastOfMany(all, byName, ages);
  if (name === undefined) return [];
  const braces = new RegExp(`${name}\\s*\\{([^}]*)\\}`).exec(text)?.[1] ?? "";
  const matchers = [...braces.matchAll(MATCHER)].map(([, n, op, value]) => ({ name: n, op, value: JSON.parse(`"${value}"`) }));
  const call = new RegExp(`(rate|increase|changes|timestamp|max_over_time|last_over_time)\\(\\s*${name}`).exec(text)?.[1] ?? "";
  const window = Number(/\[(\d+)s\]/.exec(text)?.[1] ?? 300);
  const found = all.get(name).filter((s) => matches(s.labels, matchers)).map((s) => ({ labels: s.labels, values: ages.map((age) => valueAt(s, call, age, window, nowSeconds)) }));
  const aggregate = /\b(sum|max|min|avg|count)\b\s*(?:by\s*\(([^)]*)\))?\s*\(/.exec(text);
  let result = aggregate ? grouped(found, aggregate[1], (aggregate[2] ?? "").split(",").map((l) => l.trim()).filter(Boolean)) : found;
  if (call !== "" || aggregate) result = result.map(({ labels: { __name__, ...labels }, values }) => ({ labels, values }));
  if (/^100 \* \(1 -/.test(text)) result = result.map((r) => ({ ...r, values: r.values.map((v) => (v === null ? null : 100 * (1 - v))) }));
  if (/== 0$/.test(text)) result = result.map((r) => ({ ...r, values: r.values.map((v) => (v === 0 ? v : null)) }));
  const top = Number(/^topk\((\d+)/.exec(text)?.[1] ?? 0);
  if (top > 0) result = result.sort((a, b) => (b.values.at(-1) ?? 0) - (a.values.at(-1) ?? 0)).slice(0, top);
  return result.filter((r) => r.values.some((v) => v !== null));
}

/** Series of whatever name the matchers take; their names stay. */
function lastOfMany(all, selector, ages) {
  const matchers = [...selector.matchAll(MATCHER)].map(([, n, op, value]) => ({ name: n, op, value: JSON.parse(`"${value}"`) }));
  const found = [...all.values()].flat().filter((s) => matches(s.labels, matchers));
  return found.map((s) => ({ labels: s.labels, values: ages.map((age) => (age <= s.from ? s.value(age) : null)) }));
}

function valueAt(series, call, age, window, nowSeconds) {
  const overTime = call === "increase" || call === "changes" || call.endsWith("_over_time");
  const alive = age <= series.from && age >= series.to;
  const within = overTime && series.to <= age + window && age <= series.from;
  if (!alive && !within) return null;
  if (call === "timestamp") return nowSeconds - age - 4;
  if (call === "changes") return 0;
  if (call === "increase") return series.increase ? series.increase(age) : (series.rate?.(age) ?? 0) * window;
  if (series.rate) return call === "rate" ? series.rate(age) : series.rate(age) * 1e5;
  return series.value(age);
}

function grouped(found, how, by) {
  const groups = new Map();
  for (const { labels, values } of found) {
    const own = Object.fromEntries(by.filter((l) => labels[l] !== undefined).map((l) => [l, labels[l]]));
    const key = JSON.stringify(own);
    const group = groups.get(key) ?? { labels: own, rows: [] };
    group.rows.push(values);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ labels, rows }) => ({
    labels,
    values: rows[0].map((_, i) => {
      const here = rows.map((r) => r[i]).filter((v) => v !== null);
      if (here.length === 0) return null;
      const sum = here.reduce((a, b) => a + b, 0);
      return { sum, avg: sum / here.length, count: here.length, max: Math.max(...here), min: Math.min(...here) }[how];
    }),
  }));
}

export function metricNames() {
  return [...build(0).keys()].sort();
}
