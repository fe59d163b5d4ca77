// Serves the built page with made-up data, for looking at it and for its tests without a collector.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import * as alerts from "./alerts.js";
import * as logs from "./logs.js";
import * as metrics from "./metrics.js";
import * as traces from "./traces.js";

const DIST = process.env.BINNACLE_UI_DIST ?? fileURLToPath(new URL("../../../dashboard/ui/dist", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
// The same as the program sends: what breaks under it has to break here too.
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

function answer(url, nowMs) {
  const { pathname, searchParams: p } = url;
  const nowSeconds = nowMs / 1000;
  const prometheus = (data) => ({ status: "success", data });
  const matrix = (start, end, step) => {
    const times = Array.from({ length: Math.floor((end - start) / step) + 1 }, (_, i) => start + i * step);
    const found = metrics.evaluate(p.get("query"), nowSeconds, times.map((t) => nowSeconds - t));
    return found.map(({ labels, values }) => ({
      metric: labels,
      values: values.flatMap((v, i) => (v === null ? [] : [[times[i], String(v)]])),
    }));
  };
  switch (pathname) {
    case "/api/v1/query_range":
      return prometheus({ resultType: "matrix", result: matrix(Number(p.get("start")), Number(p.get("end")), Number(p.get("step"))) });
    case "/api/v1/query": {
      const time = Number(p.get("time") ?? nowSeconds);
      const found = metrics.evaluate(p.get("query"), nowSeconds, [nowSeconds - time]);
      return prometheus({ resultType: "vector", result: found.map(({ labels, values }) => ({ metric: labels, value: [time, String(values[0])] })) });
    }
    case "/api/v1/label/__name__/values":
      return prometheus(metrics.metricNames());
    case "/api/v1/rules":
      return prometheus({ groups: alerts.groups(nowMs) });
    case "/api/v1/alerts":
      return prometheus({ alerts: alerts.groups(nowMs).flatMap((g) => g.rules.flatMap((r) => r.alerts ?? [])) });
    case "/api/v1/status/buildinfo":
      return prometheus({ version: "0.1.0" });
    case "/loki/api/v1/labels":
      return prometheus(Object.keys(logs.labelValues()).sort());
    case "/loki/api/v1/query_range": {
      const query = p.get("query");
      const [start, end] = [BigInt(p.get("start")), BigInt(p.get("end"))];
      if (query.trim().startsWith("{")) {
        return prometheus({ resultType: "streams", result: logs.streams(query, start, end, Number(p.get("limit") ?? 100), nowSeconds) });
      }
      return prometheus({ resultType: "matrix", result: logs.counts(query, Number(start) / 1e9, Number(end) / 1e9, Number(p.get("step")), nowSeconds) });
    }
    case "/jaeger/api/services":
      return { data: traces.services(), errors: null };
    case "/jaeger/api/traces": {
      const search = Object.fromEntries(p);
      return {
        data: traces.search({ ...search, start: Number(search.start), end: Number(search.end), limit: Number(search.limit ?? 20), tags: search.tags && JSON.parse(search.tags) }, nowSeconds),
        errors: null,
      };
    }
  }
  const values = /^\/loki\/api\/v1\/label\/(\w+)\/values$/.exec(pathname)?.[1];
  if (values) return prometheus([...(logs.labelValues()[values] ?? [])].sort());
  const service = /^\/jaeger\/api\/services\/([^/]+)\/operations$/.exec(pathname)?.[1];
  if (service) return { data: traces.operations(decodeURIComponent(service)), errors: null };
  const id = /^\/jaeger\/api\/traces\/(\w+)$/.exec(pathname)?.[1];
  if (id) {
    const found = traces.byId(id, nowSeconds);
    return found ? { data: [found], errors: null } : { status: 404, body: { data: null, errors: [{ code: 404, msg: "trace not found" }] } };
  }
  return undefined;
}

/** Listens on a free port of loopback unless told otherwise; resolves to `{url, close}`. */
export function start({ port = 0, dist = DIST } = {}) {
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://127.0.0.1");
    const json = (status, body) => {
      response.writeHead(status, { "Content-Type": "application/json" });
      response.end(JSON.stringify(body));
    };
    if (/^\/(api|loki|jaeger)\//.test(url.pathname)) {
      try {
        const body = answer(url, Date.now());
        if (body === undefined) json(404, { status: "error", error: "no such path" });
        else if (body.body) json(body.status, body.body);
        else json(200, body);
      } catch (error) {
        const isBad = error instanceof metrics.BadQuery || error instanceof logs.BadQuery;
        json(isBad ? 400 : 500, { status: "error", errorType: isBad ? "bad_data" : "internal", error: isBad ? error.message : String(error.stack) });
      }
      return;
    }
    const wanted = join(dist, normalize(url.pathname));
    const file = existsSync(wanted) && statSync(wanted).isFile() ? wanted : join(dist, "index.html");
    response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream", "Content-Security-Policy": POLICY });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.on("error", reject);
    server.listen(port, "127.0.0.1", () => {
      resolve({ url: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((done) => (server.close(done), server.closeAllConnections())) });
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await start({ port: Number(process.env.PORT ?? 9099) });
  console.log(`The page with made-up data: ${url}`);
}
