// Log lines of the mock's containers, some of them with a trace, and just enough LogQL.
import { lives } from "./metrics.js";
import { chance, hex, pick } from "./noise.js";
import { traceIdAt } from "./traces.js";

const PATHS = ["/api/cart", "/api/checkout", "/api/products?page=2", "/healthz", "/api/products/4711", "/static/app.js"];

const WRITERS = {
  checkout: (c, t) =>
    c < 0.06
      ? `{"level":"error","msg":"payment failed: upstream timed out after 2000 ms","order":"${hex(8, t)}","trace_id":"${traceIdAt(t)}","attempt":3}`
      : c < 0.14
        ? `{"level":"warn","msg":"retrying payment","order":"${hex(8, t)}","attempt":2}`
        : `{"level":"info","msg":"order accepted","order":"${hex(8, t)}","total_cents":${Math.round(c * 20000)},"trace_id":"${traceIdAt(t)}"}`,
  payments: (c, t) =>
    c < 0.3
      ? `level=error msg="heap grows, ${Math.round(60 + c * 100)} % of limit" trace_id=${traceIdAt(t)}`
      : `level=info msg="charge ok" amount=${Math.round(c * 9000)} provider=${pick(["visa", "sepa"], t)} trace_id=${traceIdAt(t)}`,
  nginx: (c, t) =>
    `10.42.0.${Math.floor(c * 250)} - - [request] "GET ${pick(PATHS, t, "p")} HTTP/1.1" ${c < 0.03 ? 502 : c < 0.08 ? 404 : 200} ${Math.round(c * 9000)} "-" "Mozilla/5.0" rt=${(c * 0.4).toFixed(3)}`,
  postgres: (c) =>
    c < 0.05
      ? "ERROR:  deadlock detected"
      : c < 0.15
        ? `LOG:  duration: ${(c * 9000).toFixed(1)} ms  statement: SELECT p.id, p.name, p.price FROM products p JOIN stock s ON s.product_id = p.id WHERE s.amount > 0 ORDER BY p.rank LIMIT 50`
        : "LOG:  checkpoint complete: wrote 312 buffers (1.9%)",
  cart: (c) => `${c < 0.02 ? "WARN" : c < 0.5 ? "DEBUG" : "INFO"}  cart.store - saved ${Math.ceil(c * 9)} items in ${Math.ceil(c * 40)} ms`,
};

const EVERY_SECONDS = { nginx: 2, checkout: 6, cart: 5, payments: 9, postgres: 11 };

function streamOf({ labels }, stream) {
  const { namespace, pod, container, container_id, image, node } = labels;
  return { namespace, pod, container, container_id, image, node, service_name: container, stream };
}

/** All lines between two times in seconds, newest first. */
function* linesBetween(from, to, nowSeconds) {
  for (let second = Math.floor(to); second >= Math.floor(from); second--) {
    for (const life of lives) {
      const { container } = life.labels;
      const every = EVERY_SECONDS[container];
      const age = nowSeconds - second;
      if (!every || second % every !== 0 || age > life.from || age < life.to) continue;
      const c = chance(container, second);
      const ns = BigInt(second) * 1_000_000_000n + BigInt(Math.floor(c * 999_999_999));
      const ms = Number(ns / 1_000_000n) / 1000;
      if (ms < from || ms >= to) continue;
      yield { ns, stream: streamOf(life, c < 0.06 ? "stderr" : "stdout"), line: WRITERS[container](c, second), metadata: {} };
    }
  }
}

const MATCHER = /([A-Za-z_]\w*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"/g;

export class BadQuery extends Error {}

function parse(query) {
  const text = query.trim();
  if (!text.startsWith("{") || !text.includes("}")) throw new BadQuery(`parse error at line 1, col 1: unexpected ${JSON.stringify(text.slice(0, 12))}, a query starts with {`);
  const end = text.indexOf("}");
  const matchers = [...text.slice(1, end).matchAll(MATCHER)].map(([, name, op, value]) => ({ name, op, value: JSON.parse(`"${value}"`) }));
  const filters = [...text.slice(end + 1).matchAll(/(\|=|\|~|!=|!~)\s*"((?:[^"\\]|\\.)*)"/g)].map(([, op, value]) => ({ op, value: JSON.parse(`"${value}"`) }));
  const fields = [...text.slice(end + 1).matchAll(/\|\s*(\w+)="([^"]*)"/g)].map(([, name, value]) => ({ name, op: "=", value }));
  return { matchers, filters, fields };
}

function fits({ stream, line, metadata }, { matchers, filters, fields }) {
  const labelled = (labels, list) =>
    list.every(({ name, op, value }) => {
      const has = labels[name] ?? "";
      if (op === "=") return has === value;
      if (op === "!=") return has !== value;
      return new RegExp(`^(?:${value})$`).test(has) === (op === "=~");
    });
  if (!labelled(stream, matchers) || !labelled({ ...stream, ...metadata }, fields)) return false;
  return filters.every(({ op, value }) => {
    if (op === "|=") return line.includes(value);
    if (op === "!=") return !line.includes(value);
    const insensitive = value.startsWith("(?i)");
    const found = new RegExp(insensitive ? value.slice(4) : value, insensitive ? "i" : "").test(line);
    return found === (op === "|~");
  });
}

/** Streams in Loki's shape, the newest lines only. */
export function streams(query, startNs, endNs, limit, nowSeconds) {
  const parsed = parse(query);
  const result = new Map();
  let count = 0;
  for (const entry of linesBetween(Number(startNs) / 1e9, Number(endNs) / 1e9, nowSeconds)) {
    if (!fits(entry, parsed)) continue;
    if (++count > limit) break;
    const key = JSON.stringify(entry.stream);
    const list = result.get(key) ?? [];
    list.push([String(entry.ns), entry.line]);
    result.set(key, list);
  }
  return [...result].map(([key, values]) => ({ stream: JSON.parse(key), values }));
}

/** `sum by (…) (count_over_time(QUERY [Ns]))` in Loki's shape. */
export function counts(query, start, end, step, nowSeconds) {
  const inner = /count_over_time\((.*)\[(\d+)s\]\)\)$/s.exec(query.trim());
  if (!inner) throw new BadQuery("parse error: only count_over_time is mocked");
  const parsed = parse(inner[1]);
  const sums = new Map();
  for (const entry of linesBetween(start - step, Math.min(end, nowSeconds), nowSeconds)) {
    if (!fits(entry, parsed)) continue;
    const seconds = Number(entry.ns / 1_000_000n) / 1000;
    const at = start + Math.ceil((seconds - start) / step) * step;
    const level = /level[="':]+(\w+)/.exec(entry.line)?.[1] ?? /\b(ERROR|WARN|INFO|DEBUG)\b/.exec(entry.line)?.[1]?.toLowerCase() ?? "";
    const series = sums.get(level) ?? new Map();
    series.set(at, (series.get(at) ?? 0) + 1);
    sums.set(level, series);
  }
  return [...sums].map(([level, series]) => ({
    metric: level === "" ? {} : { level },
    values: [...series].sort((a, b) => a[0] - b[0]).map(([time, n]) => [time, String(n)]),
  }));
}

export function labelValues() {
  const all = {};
  for (const life of lives) {
    if (!EVERY_SECONDS[life.labels.container]) continue;
    for (const [name, value] of Object.entries({ ...streamOf(life, "stdout") })) {
      if (value !== undefined) (all[name] ??= new Set()).add(value);
    }
  }
  all.stream.add("stderr");
  return all;
}
