// Data that real systems send now and then: ids that are shared or missing, rings, lines without end, markup.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, settled, withBrowser, withPage } from "../lib/browser.js";

const state = withBrowser();
const ID = "0123456789abcdef0123456789abcdef";

function span(spanID, parent, rest = {}) {
  return {
    traceID: ID, spanID, operationName: `op ${spanID}`, processID: "p1", startTime: 1_700_000_000_000_000, duration: 1000,
    references: parent ? [{ refType: "CHILD_OF", traceID: ID, spanID: parent }] : [], tags: [], logs: [], ...rest,
  };
}

/** Opens the waterfall of these spans. */
async function withTrace(spans, body) {
  const processes = { p1: { serviceName: "odd", tags: [] } };
  const prepare = async (context) => {
    await context.route(/\/jaeger\/api\/traces\//, (route) => route.fulfill({ json: { data: [{ traceID: ID, spans, processes }] } }));
    await context.route(/\/loki\//, (route) => route.fulfill({ json: { data: { resultType: "streams", result: [] } } }));
  };
  await withPage(state, { path: `/traces/${ID}`, prepare }, async (page) => {
    await page.locator("#waterfall .span-row").first().waitFor();
    await settled(page);
    await body(page);
  });
}

async function titles(page) {
  return (await page.locator(".span-title").allTextContents()).map((text) => text.trim());
}

test("every span of an odd trace has its row", async () => {
  for (const [name, spans, expected] of [
    ["children by start", [span("c", "a", { startTime: 1_700_000_000_000_500 }), span("b", "a"), span("a")], ["odd op a", "odd op b", "odd op c"]],
    ["a missing parent", [span("a"), span("b", "gone")], ["odd op a", "odd op bparent missing"]],
    ["its own parent", [span("a", "a")], ["odd op a"]],
    ["a ring", [span("a", "b"), span("b", "a")], ["odd op a", "odd op b"]],
    ["client and server share an id", [span("a"), span("b", "a", { operationName: "client" }), span("b", "a", { operationName: "server" })], ["odd op a", "odd client", "odd server"]],
    ["no process", [span("a", undefined, { processID: "p9" })], ["unknown op a"]],
    ["no duration", [span("a", undefined, { duration: 0 })], ["odd op a"]],
    ["an error", [span("a", undefined, { tags: [{ key: "error", value: true }] })], ["!odd op a"]],
    ["not an error", [span("a", undefined, { tags: [{ key: "error", value: false }] })], ["odd op a"]],
    ["markup", [span("a", undefined, { operationName: "<img src=x onerror=alert(1)>" })], ["odd <img src=x onerror=alert(1)>"]],
  ]) {
    await withTrace(spans, async (page) => assert.deepEqual(await titles(page), expected, name));
  }
});

test("a chain of two thousand spans opens, folded where it is deep", async () => {
  const spans = Array.from({ length: 2000 }, (_, i) => span(`s${i}`, i === 0 ? undefined : `s${i - 1}`));
  await withTrace(spans, async (page) => {
    assert.deepEqual(await titles(page), ["odd op s0", "odd op s1", "odd op s2 +1997"]);
    await page.locator(".span-row").last().focus();
    await page.keyboard.press("ArrowRight");
    await eventually(async () => assert.equal((await titles(page)).length, 4));
  });
});

/** Serves lines as Loki does: newest first, the end exclusive, at most the limit. */
function serveLines(entries) {
  return (context) =>
    context.route(/\/loki\/api\/v1\//, (route) => {
      const url = new URL(route.request().url());
      const query = url.searchParams.get("query") ?? "";
      if (!url.pathname.endsWith("query_range")) return route.fulfill({ json: { status: "success", data: [] } });
      if (!query.startsWith("{")) return route.fulfill({ json: { data: { resultType: "matrix", result: [] } } });
      const [start, end] = [BigInt(url.searchParams.get("start")), BigInt(url.searchParams.get("end"))];
      const values = entries.filter(([ns]) => ns >= start && ns < end).slice(0, Number(url.searchParams.get("limit")));
      const result = [{ stream: { service_name: "odd" }, values: values.map(([ns, line, extra]) => [String(ns), line, ...(extra ? [{ structuredMetadata: extra }] : [])]) }];
      return route.fulfill({ json: { status: "success", data: { resultType: "streams", result } } });
    });
}

const NOW_NS = BigInt(Date.now()) * 1_000_000n - 5_000_000_000n;

test("older lines follow page by page, each once, also when many share a time", async () => {
  // Nanoseconds apart, and 150 of them at the same one, across the edge of the first page of 200.
  const entries = Array.from({ length: 530 }, (_, i) => [NOW_NS - BigInt(i < 120 || i >= 270 ? i : 120), `line ${i}`]);
  await withPage(state, { path: "/logs", prepare: serveLines(entries) }, async (page) => {
    const lines = page.locator("#lines .entry-line");
    await lines.first().waitFor();
    assert.equal(await lines.count(), 200);
    while (await page.locator("#older").isVisible()) {
      const before = await lines.count();
      await page.locator("#older").click();
      await eventually(async () => assert.ok((await lines.count()) > before || !(await page.locator("#older").isVisible())));
    }
    const texts = await lines.allTextContents();
    assert.equal(new Set(texts).size, texts.length, "a line twice");
    assert.equal(texts.length, 530);
    await page.getByText("That is all in this time range.").waitFor();
  });
});

test("odd lines are shown as they are", async () => {
  const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  const lines = [
    ["", "", undefined],
    ["<script>alert(1)</script>", "", undefined],
    ["x".repeat(200_000), "", undefined],
    ["\u001b[31mred\u001b[0m", "", undefined],
    ['{"level":"error","msg":"m"}', "error", undefined],
    ["E0412 10:11:12.131415 1 main.go:1] klog", "error", undefined],
    ["2026-01-01 [WARN] careful", "warn", undefined],
    ["an information desk without a level", "", undefined],
    ["plain", "debug", { level: "Debug" }],
    [`traceparent=00-${trace}-00f067aa0ba902b7-01`, "", undefined],
    ["beside", "", { trace_id: trace }],
  ];
  const entries = lines.map(([line, , extra], i) => [NOW_NS - BigInt(i), line, extra]);
  await withPage(state, { path: "/logs", prepare: serveLines(entries) }, async (page) => {
    await page.locator("#lines .entry").first().waitFor();
    const shown = await page.locator("#lines .entry-line").allTextContents();
    assert.deepEqual(shown, lines.map(([line]) => line || " "));
    assert.deepEqual(await page.locator("#lines .entry-level").allTextContents(), lines.map(([, level]) => level));
    for (const row of [9, 10]) {
      await page.locator(".entry-toggle").nth(row).click();
      const link = page.locator("#lines .entry").nth(row).getByRole("link", { name: /^Trace / });
      assert.match(await link.getAttribute("href"), new RegExp(`^/traces/${trace}`));
    }
    // What stands beside a line is filtered by behind the selector, not in it.
    await page.getByLabel(`Only trace_id=${trace}`).click();
    await page.waitForURL((url) => url.searchParams.get("q") === `{} | trace_id="${trace}"`);
  });
});

test("what was refused and dropped is counted by reason, whatever its counters went through", async () => {
  const counter = (name, labels, values) => ({ name, labels, values });
  const check = async (name, counters, expected) => {
    let query;
    const prepare = (context) =>
      context.route(/\/api\/v1\/query_range/, (route) => {
        const p = new URL(route.request().url()).searchParams;
        const [start, end, step] = ["start", "end", "step"].map((key) => Number(p.get(key)));
        query = p.get("query");
        const length = Math.round((end - start) / step) + 1;
        const result = counters.map(({ name, labels, values }) => ({
          metric: { __name__: name, instance: "a", ...labels },
          // The given values spread over the range, the first at its start, the last at its end.
          values: Array.from({ length }, (_, i) => [start + i * step, values[Math.floor((i * values.length) / length)]])
            .flatMap(([time, value]) => (value === null ? [] : [[time, String(value)]])),
        }));
        return route.fulfill({ json: { status: "success", data: { resultType: "matrix", result } } });
      });
    await withPage(state, { path: "/alerts?range=15m", prepare }, async (page) => {
      await page.locator("#losses td, #losses p.faint:not(.loading)").first().waitFor();
      await settled(page);
      const rows = await page.locator("#losses tbody tr").all();
      const shown = await Promise.all(rows.map(async (row) => (await row.locator("td").allTextContents()).join(" | ")));
      const calm = await page.locator("#losses p.faint").allTextContents();
      assert.deepEqual([...shown, ...calm], expected, name);
      // What the program counts is asked for, and nothing else.
      const names = new RegExp(`^(?:${/__name__=~"([^"]*)"/.exec(query)[1]})$`);
      for (const { name } of counters) assert.match(name, names);
      assert.doesNotMatch("binnacle_query_executions_total", names);
      assert.doesNotMatch("binnacle_tsdb_samples_total", names);
    });
  };
  const TSDB = "binnacle_tsdb_rejected_total";
  for (const [name, counters, expected] of [
    ["none stored", [], ["Not known: none of Binnacle's own counters was stored in this time."]],
    ["none grew", [counter(TSDB, { reason: "too_old" }, [7, 7])], ["Nothing was refused or dropped in this time."]],
    ["grew", [counter(TSDB, { reason: "too_old" }, [7, 9])], ["Samples refused by the metric store | too old | 2"]],
    ["began with its first loss", [counter(TSDB, { reason: "too_old" }, [null, 5])], ["Samples refused by the metric store | too old | 5"]],
    ["began anew", [counter(TSDB, { reason: "too_old" }, [40, 3, 7])], ["Samples refused by the metric store | too old | 7"]],
    ["gone since", [counter(TSDB, { reason: "too_old" }, [1, 4, null])], ["Samples refused by the metric store | too old | 3"]],
    [
      "two nodes are summed, reasons are not",
      [
        counter(TSDB, { reason: "too_old" }, [0, 2]),
        counter(TSDB, { reason: "too_old", instance: "b" }, [0, 3]),
        counter(TSDB, { reason: "label_limit" }, [0, 4]),
      ],
      ["Samples refused by the metric store | too old | 5", "Samples refused by the metric store | label limit | 4"],
    ],
    [
      "all that tells where",
      [counter("binnacle_receive_rejected_total", { protocol: "otlp_http", signal: "logs", reason: "too_old" }, [0, 1])],
      ["Received items refused | otlp http, logs, too old | 1"],
    ],
    ["bytes", [counter("binnacle_agent_log_bytes_lost_total", { reason: "rotated" }, [0, 3072])], ["Log file bytes never handed on | rotated | 3 KiB"]],
    ["one without words", [counter("binnacle_new_things_dropped_total", {}, [0, 1])], ["new things dropped |  | 1"]],
  ]) {
    await check(name, counters, expected);
  }
});
