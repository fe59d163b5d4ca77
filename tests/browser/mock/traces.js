// Traces of the mock's shop: one checkout every twenty seconds, some slow, some failing.
import { chance, hex, pick } from "./noise.js";

const EVERY_SECONDS = 20;

function slotOf(seconds) {
  return Math.floor(seconds / EVERY_SECONDS) * EVERY_SECONDS;
}

export function traceIdAt(seconds) {
  return hex(32, "trace", slotOf(seconds));
}

const PLAN = {
  "POST /api/checkout": ["frontend", "server", [
    ["POST", "frontend", "client", 0.02, 0.96, [
      ["POST /checkout", "checkout", "server", 0.01, 0.98, [
        ["validate order", "checkout", "internal", 0.01, 0.06, []],
        ["GET cart", "checkout", "client", 0.08, 0.16, [
          ["GET /cart/:id", "cart", "server", 0.1, 0.8, [["GET", "cart", "client", 0.2, 0.5, []]]],
        ]],
        ["SELECT stock", "checkout", "client", 0.26, 0.14, []],
        ["charge card", "checkout", "client", 0.42, 0.45, [
          ["POST /charge", "payments", "server", 0.03, 0.94, [
            ["fraud check", "payments", "internal", 0.05, 0.3, []],
            ["POST provider", "payments", "client", 0.38, 0.58, []],
          ]],
        ]],
        ["INSERT orders", "checkout", "client", 0.88, 0.08, []],
        ["publish order.created", "checkout", "producer", 0.965, 0.03, []],
      ]],
    ]],
  ]],
  "GET /api/products": ["frontend", "server", [
    ["GET", "frontend", "client", 0.05, 0.9, [
      ["GET /products", "catalog", "server", 0.04, 0.92, [
        ["GET redis", "catalog", "client", 0.05, 0.1, []],
        ["SELECT products", "catalog", "client", 0.2, 0.7, []],
      ]],
    ]],
  ]],
};

function traceOf(slot, nowSeconds) {
  const root = chance("kind", slot) < 0.55 ? "POST /api/checkout" : "GET /api/products";
  const slow = chance("slow", slot) < 0.1 ? 6 : 1;
  const total = (root.startsWith("POST") ? 240_000 : 45_000) * (0.5 + chance("d", slot)) * slow;
  const failed = root.startsWith("POST") && chance("fail", slot) < 0.12;
  const traceID = traceIdAt(slot);
  const processes = {};
  const spans = [];
  const visit = ([operationName, service, kind, offset, share, below], parent, start, duration) => {
    const processID = `p-${service}`;
    processes[processID] ??= {
      serviceName: service,
      tags: [
        { key: "service.version", type: "string", value: "4.12.1" },
        { key: "container.id", type: "string", value: hex(64, service, 0) },
        { key: "k8s.namespace.name", type: "string", value: "shop" },
        { key: "k8s.pod.name", type: "string", value: `${service}-6f7c9d5b4-x2x8p` },
        { key: "k8s.container.name", type: "string", value: service },
        { key: "host.name", type: "string", value: "edge-7" },
        { key: "telemetry.sdk.language", type: "string", value: "go" },
      ],
    };
    const spanID = hex(16, slot, operationName, service, offset);
    const own = { start: Math.round(start + duration * offset), duration: Math.round(duration * share) };
    const error = failed && ["charge card", "POST /charge", "POST provider", "POST /checkout", "POST", "POST /api/checkout"].includes(operationName);
    spans.push({
      traceID, spanID, operationName, processID, startTime: own.start, duration: own.duration, warnings: null,
      references: parent ? [{ refType: "CHILD_OF", traceID, spanID: parent }] : [],
      tags: [
        { key: "span.kind", type: "string", value: kind },
        ...(kind === "server" ? [{ key: "http.request.method", type: "string", value: operationName.split(" ")[0] }, { key: "http.response.status_code", type: "int64", value: error ? 502 : 200 }] : []),
        ...(operationName.startsWith("SELECT") || operationName.startsWith("INSERT") ? [{ key: "db.system", type: "string", value: "postgresql" }, { key: "db.statement", type: "string", value: `${operationName} WHERE id = $1` }] : []),
        { key: "user.tier", type: "string", value: pick(["free", "gold"], slot) },
        ...(error ? [{ key: "error", type: "bool", value: true }, { key: "otel.status_code", type: "string", value: "ERROR" }, { key: "otel.status_description", type: "string", value: "upstream timed out" }] : []),
      ],
      logs: error && operationName === "POST provider"
        ? [{ timestamp: own.start + Math.round(own.duration * 0.9), fields: [{ key: "event", type: "string", value: "exception" }, { key: "exception.type", type: "string", value: "TimeoutError" }, { key: "exception.message", type: "string", value: "no answer after 2000 ms" }] }]
        : operationName === "validate order"
          ? [{ timestamp: own.start + Math.round(own.duration * 0.4), fields: [{ key: "event", type: "string", value: "rules loaded" }, { key: "count", type: "int64", value: 14 }] }]
          : [],
    });
    for (const child of below) visit(child, spanID, own.start, own.duration);
  };
  const [service, kind, below] = PLAN[root];
  visit([root, service, kind, 0, 1, below], undefined, slot * 1e6, total);
  return slot > nowSeconds ? undefined : { traceID, spans, processes, warnings: null };
}

export function services() {
  return ["cart", "catalog", "checkout", "frontend", "payments"];
}

function operationsOf(plan, service, found) {
  const [name, own, , , , below] = plan;
  if (own === service) found.add(name);
  for (const child of below) operationsOf(child, service, found);
  return found;
}

export function operations(service) {
  const found = new Set();
  for (const [root, [own, kind, below]] of Object.entries(PLAN)) operationsOf([root, own, kind, 0, 1, below], service, found);
  return [...found].sort();
}

const UNITS = { us: 1, µs: 1, ms: 1e3, s: 1e6, m: 60e6 };

function microseconds(text) {
  const [, number, unit] = /^([\d.]+)(us|µs|ms|s|m)$/.exec(text) ?? [];
  return Number(number) * UNITS[unit];
}

export function search({ service, operation, tags, minDuration, maxDuration, start, end, limit }, nowSeconds) {
  const wanted = Object.entries(tags ?? {});
  const found = [];
  for (let slot = slotOf(Math.min(end / 1e6, nowSeconds)); slot >= start / 1e6 && found.length < limit; slot -= EVERY_SECONDS) {
    const trace = traceOf(slot, nowSeconds);
    const matches = trace?.spans.some((span) => {
      const all = [...span.tags, ...trace.processes[span.processID].tags];
      return (
        (!service || trace.processes[span.processID].serviceName === service) &&
        (!operation || span.operationName === operation) &&
        (!minDuration || span.duration >= microseconds(minDuration)) &&
        (!maxDuration || span.duration <= microseconds(maxDuration)) &&
        wanted.every(([key, value]) => all.some((t) => t.key === key && String(t.value) === value))
      );
    });
    if (matches) found.push(trace);
  }
  return found;
}

export function byId(id, nowSeconds) {
  for (let slot = slotOf(nowSeconds); slot > nowSeconds - 86400; slot -= EVERY_SECONDS) {
    if (traceIdAt(slot) === id) return traceOf(slot, nowSeconds);
  }
  return undefined;
}
