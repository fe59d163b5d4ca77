// What surrounds the pages: time range, theme, token, trouble, size.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { screenshot, settled, withBrowser, withPage } from "../lib/browser.js";

const state = withBrowser();

test("the time range stands in the address, and reload, links and back keep it", async () => {
  await withPage(state, { path: "/" }, async (page) => {
    const button = page.locator("#range");
    await button.getByText("Last 1h").waitFor();
    await button.click();
    await page.getByRole("button", { name: "15m", exact: true }).click();
    await page.waitForURL(/[?&]range=15m/);
    await button.getByText("Last 15m").waitFor();
    await page.reload();
    await button.getByText("Last 15m").waitFor();
    await page.getByRole("link", { name: "Logs", exact: true }).first().click();
    await page.waitForURL(/\/logs\?.*range=15m/);
    await page.goBack();
    await page.waitForURL((url) => url.pathname === "/" && url.search.includes("range=15m"));
    await page.goBack();
    await button.getByText("Last 1h").waitFor();
    await page.goForward();
    await button.getByText("Last 15m").waitFor();
  });
});

test("an absolute range can be chosen and survives a reload", async () => {
  await withPage(state, { path: "/explore?expr=up" }, async (page) => {
    const button = page.locator("#range");
    await button.click();
    const now = Date.now();
    const local = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * 60e3).toISOString().slice(0, 19);
    await page.getByLabel("From").fill(local(now - 600e3));
    await page.getByLabel("To", { exact: true }).fill(local(now - 700e3));
    await page.getByRole("button", { name: "Apply" }).click();
    await page.getByText("The start has to be before the end.").waitFor();
    await page.getByLabel("To", { exact: true }).fill(local(now - 60e3));
    await page.getByRole("button", { name: "Apply" }).click();
    await page.waitForURL(/from=.*&to=/);
    assert.match(await button.textContent(), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d – \d\d/);
    const text = await button.textContent();
    await page.reload();
    await button.waitFor();
    assert.equal(await button.textContent(), text);
    assert.equal(new URL(page.url()).searchParams.get("expr"), "up");
  });
});

test("a time that can't be read is said, not swallowed", async () => {
  await withPage(state, { path: "/alerts?range=soon" }, async (page) => {
    await page.getByText("The time range in the address can't be read").waitFor();
  });
});

test("dark and light follow the system until chosen, and the choice stays", async () => {
  for (const [system, other] of [["dark", "light"], ["light", "dark"]]) {
    await withPage(state, { path: "/alerts", theme: system }, async (page) => {
      const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
      const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      await page.locator("#theme").waitFor();
      assert.equal(await theme(), system);
      const before = await background();
      await page.locator("#theme").click();
      assert.equal(await theme(), other);
      assert.notEqual(await background(), before);
      await page.reload();
      await page.locator("#theme").waitFor();
      assert.equal(await theme(), other);
      await page.locator("#theme").click();
      assert.equal(await theme(), system);
      // Back on the system's choice means following the system again.
      await page.emulateMedia({ colorScheme: other });
      await page.waitForFunction((wanted) => document.documentElement.dataset.theme === wanted, other);
    });
  }
});

const API = /\/(api|loki|jaeger)\//;

test("a server that wants a token gets it from a field, and only in a header", async () => {
  const expected = [/status 401/, /console: .*401/];
  const prepare = (context) =>
    context.route(API, (route) =>
      route.request().headers()["authorization"] === "Bearer right-token"
        ? route.continue({ headers: { ...route.request().headers(), authorization: "" } })
        : route.fulfill({ status: 401, contentType: "text/plain", body: "a bearer token is needed" }),
    );
  await withPage(state, { path: "/alerts", expected, prepare }, async (page) => {
    const field = page.getByLabel("Token", { exact: true });
    await field.waitFor();
    await screenshot(page, "token-dark");
    await field.fill("wrong-token");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.getByText("That token was refused.").waitFor();
    await field.fill("right-token");
    await page.getByRole("button", { name: "Continue" }).click();
    await page.locator("#rules .rule").first().waitFor();
    assert.ok(!page.url().includes("right-token"));
    assert.equal(await page.evaluate(() => JSON.stringify(localStorage).includes("right-token")), false);
    // The tab remembers it.
    await page.reload();
    await page.locator("#rules .rule").first().waitFor();
  });
});

test("a server that is gone is said once, and what was there stays on screen", async () => {
  let gone = false;
  const prepare = (context) => context.route(API, (route) => (gone ? route.abort("connectionrefused") : route.continue()));
  const expected = [/ERR_CONNECTION_REFUSED/];
  await withPage(state, { path: "/alerts", expected, prepare }, async (page) => {
    await page.locator("#rules .rule").first().waitFor();
    await settled(page);
    gone = true;
    await page.locator("#refresh").click();
    await page.getByText("Binnacle does not answer.").waitFor();
    assert.ok((await page.locator("#rules .rule").count()) > 0);
    await screenshot(page, "unreachable-dark");
    gone = false;
    await page.getByRole("button", { name: "Ask now" }).click();
    await page.getByText("Binnacle does not answer.").waitFor({ state: "detached" });
  });
});

test("nothing there is said in words on every page", async () => {
  const bodies = [
    [/\/api\/v1\/query_range/, { status: "success", data: { resultType: "matrix", result: [] } }],
    [/\/api\/v1\/query/, { status: "success", data: { resultType: "vector", result: [] } }],
    [/\/api\/v1\/rules/, { status: "success", data: { groups: [] } }],
    [/\/api\/v1\/alerts/, { status: "success", data: { alerts: [] } }],
    [/\/loki\/api\/v1\/query_range/, { status: "success", data: { resultType: "streams", result: [] } }],
    [/\/jaeger\/api\/traces/, { data: [] }],
    [/./, { status: "success", data: [] }],
  ];
  const prepare = (context) =>
    context.route(API, (route) => {
      const [, body] = bodies.find(([pattern]) => pattern.test(new URL(route.request().url()).pathname.replace("/loki/api/v1/query_range", "/loki/api/v1/query_range")));
      return route.fulfill({ json: body });
    });
  for (const [path, text] of [
    ["/", "No node reported in this time range."],
    ["/container?container_id=abc", "This container reported nothing in this time range."],
    ["/logs", "No lines."],
    ["/traces", "No trace matches in this time range."],
    ["/traces/0123456789abcdef0123456789abcdef", "There is no such trace."],
    ["/alerts", "No rules are loaded."],
    ["/explore?expr=up", "No data."],
    ["/nowhere", "There is no such page."],
  ]) {
    await withPage(state, { path, prepare }, async (page) => {
      await page.getByText(text).first().waitFor();
    });
  }
});

test("a query that is wrong says what is wrong with it", async () => {
  const expected = [/status 400/, /console: .*400/];
  await withPage(state, { path: "/explore?expr=sum(", expected }, async (page) => {
    await page.getByText("The query failed.").first().waitFor();
    assert.match(await page.locator(".failure .mono").first().textContent(), /\S{3}/);
    await screenshot(page, "bad-query-dark");
  });
  await withPage(state, { path: "/logs?q=%7Bservice_name%3D%22a%22", expected }, async (page) => {
    await page.getByText("The query failed.").first().waitFor();
  });
});

test("the keyboard reaches the content and the search field", async () => {
  await withPage(state, { path: "/logs" }, async (page) => {
    await page.locator("input[name=search]").waitFor();
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("name")), "search");
    await page.locator("#range").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Time range" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog", { name: "Time range" }).waitFor({ state: "detached" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "range");
  });
});

test("pages fit a narrow window and a phone", async () => {
  for (const [name, size] of [["narrow", [1000, 760]], ["phone", [390, 780]]]) {
    for (const path of ["/", "/logs", "/traces", "/alerts", "/explore?expr=node_load1"]) {
      await withPage(state, { path, size }, async (page) => {
        await page.locator(".panel").first().waitFor();
        await settled(page);
        const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(content <= window, `${path} is ${content} px wide in a window of ${window} px`);
        await screenshot(page, `${name}-${path.slice(1, 4) || "overview"}`);
      });
    }
  }
});

test("the page is small", async () => {
  await withPage(state, { path: "/alerts" }, async (page) => {
    const scripts = await page.evaluate(() => [...document.scripts].map((s) => s.src));
    let bytes = 0;
    for (const address of scripts) bytes += gzipSync(await (await page.request.get(address)).body(), { level: 9 }).length;
    assert.ok(scripts.length > 0 && bytes < 60 * 1024, `${bytes} bytes of script after gzip`);
  });
});
