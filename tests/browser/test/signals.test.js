// Each page shows its signal, whatever the program behind it has collected.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, hasInk, screenshot, settled, withBrowser, withPage } from "../lib/browser.js";

const state = withBrowser();

/** Both themes, because each is looked at. */
const THEMES = ["dark", "light"];

/** Fresh data may still be on its way, so pages are asked to look again soon. */
const TIME = "range=15m&refresh=5s";

async function chartWithInk(page, label) {
  const canvas = page.getByRole("figure", { name: label, exact: true }).locator("canvas");
  await canvas.waitFor();
  await eventually(async () => assert.ok(await hasInk(canvas), `${label} has nothing drawn`));
}

for (const theme of THEMES) {
  test(`the overview shows the node and its containers, ${theme}`, async () => {
    await withPage(state, { path: `/?${TIME}`, theme }, async (page) => {
      await chartWithInk(page, "CPU over time");
      await chartWithInk(page, "Memory over time");
      await page.getByText(/of \d+ cores/).first().waitFor();
      await page.locator(".disks .meter").first().waitFor();
      const names = page.locator("#containers .who a");
      await names.first().waitFor();
      await eventually(async () => {
        const cpu = await page.locator("#containers td.with-spark b").allTextContents();
        assert.ok(cpu.some((text) => /^<?[\d.]+$/.test(text)), `no CPU value among ${cpu}`);
      });
      await settled(page);
      await screenshot(page, `overview-${theme}`);
    });
  });

  test(`a container opens with its charts and leads to its logs, ${theme}`, async () => {
    await withPage(state, { path: `/?${TIME}`, theme }, async (page) => {
      const link = page.locator("#containers tbody tr:not(.gone) .who a").first();
      await link.waitFor();
      const name = await link.textContent();
      await link.click();
      await page.waitForURL(/\/container\?/);
      assert.equal(new URL(page.url()).searchParams.get("range"), "15m");
      await page.getByRole("heading", { level: 1, name }).waitFor();
      await chartWithInk(page, "Memory over time");
      await settled(page);
      await screenshot(page, `container-${theme}`);
      await page.locator(".page-head").getByRole("link", { name: "Logs" }).click();
      await page.waitForURL(/\/logs\?/);
      const chip = page.locator(".selector .chip").first();
      await chip.waitFor();
    });
  });

  test(`logs show lines, their details and how many there were when, ${theme}`, async () => {
    await withPage(state, { path: `/logs?${TIME}`, theme }, async (page) => {
      await page.locator("#lines .entry").first().waitFor();
      await chartWithInk(page, "Log lines over time");
      await page.locator(".entry-toggle").first().click();
      await page.locator(".entry-details .labels th").first().waitFor();
      const labels = await page.locator(".entry-details .labels th").allTextContents();
      assert.ok(labels.includes("service_name"), `labels: ${labels}`);
      await settled(page);
      await screenshot(page, `logs-${theme}`);
    });
  });

  test(`a trace opens as a waterfall with attributes and resource, ${theme}`, async () => {
    await withPage(state, { path: `/traces?${TIME}`, theme }, async (page) => {
      await page.locator("table.traces tbody tr").first().waitFor();
      await settled(page);
      await screenshot(page, `traces-${theme}`);
      await page.locator("table.traces tbody a").first().click();
      await page.waitForURL(/\/traces\/[0-9a-f]{32}/);
      await page.locator("#waterfall .bar").first().waitFor();
      await page.locator("#waterfall .span-row").first().click();
      await page.locator(".span-details caption", { hasText: "Resource" }).waitFor();
      await page.locator("#trace-logs").waitFor();
      await settled(page);
      await screenshot(page, `trace-${theme}`);
    });
  });

  test(`alerts show the rules and a calm watchdog, ${theme}`, async () => {
    await withPage(state, { path: `/alerts?${TIME}`, theme }, async (page) => {
      await page.locator("#rules .rule").first().waitFor();
      await page.locator("#watchdog.good").waitFor();
      assert.equal(await page.locator("#firing").getByText("Watchdog", { exact: true }).count(), 0);
      await page.locator("#losses").getByText(/^Nothing was refused or dropped in this time\.$|^Where and why$/).waitFor();
      await page.locator("#rules .rule summary").first().click();
      await page.locator("#rules .rule pre").first().waitFor();
      await settled(page);
      await screenshot(page, `alerts-${theme}`);
    });
  });

  test(`explore draws a query and lists its values, ${theme}`, async () => {
    await withPage(state, { path: `/explore?${TIME}`, theme }, async (page) => {
      const query = 'sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[1m]))';
      await page.locator("textarea[name=expr]").fill(query);
      await page.keyboard.press("Enter");
      await chartWithInk(page, query);
      await page.locator("#table tbody tr").first().waitFor();
      await settled(page);
      await screenshot(page, `explore-${theme}`);
    });
  });
}

test("a search narrows the lines and marks what was found", async () => {
  await withPage(state, { path: "/logs?range=15m" }, async (page) => {
    const lines = page.locator("#lines .entry-line");
    await eventually(async () => {
      if ((await lines.count()) < 2) await page.locator("#refresh").click();
      assert.ok((await lines.count()) >= 2, "too few lines");
    });
    await settled(page);
    const all = await lines.allTextContents();
    // A word of one line that not every line has.
    const words = all.flatMap((line) => line.match(/[A-Za-z]{4,}/g) ?? []);
    const has = (line, word) => line.toLowerCase().includes(word.toLowerCase());
    const word = words.find((w) => all.some((line) => !has(line, w)));
    assert.ok(word, "no word tells lines apart");
    await page.locator("input[name=search]").fill(word.toUpperCase());
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.searchParams.get("search") === word.toUpperCase());
    await page.locator("mark").first().waitFor();
    await settled(page);
    const found = await lines.allTextContents();
    assert.ok(found.length > 0 && found.every((line) => has(line, word)), `${word} is not in ${found.find((l) => !has(l, word))}`);
    // With the case that was typed there is nothing, since it was turned to capitals.
    await page.locator("input[name=search]").fill("no-line-says-this-7f3a9c");
    await page.keyboard.press("Enter");
    await page.locator("#lines").getByText("No lines.").waitFor();
  });
});

test("a filter by label leaves only its stream", async () => {
  await withPage(state, { path: "/logs?range=15m&refresh=5s" }, async (page) => {
    await page.locator("#lines .entry").first().waitFor();
    await page.getByLabel("Label to filter by").selectOption("service_name");
    const values = page.getByLabel("Value", { exact: true });
    await eventually(async () => assert.ok((await values.locator("option").count()) > 1, "no values"));
    const value = await values.locator("option").nth(1).evaluate((option) => option.value);
    await values.selectOption(value);
    await page.waitForURL((url) => url.searchParams.get("q") === `{service_name=${JSON.stringify(value)}}`);
    await page.locator("#lines .entry").first().waitFor();
    await settled(page);
    await page.locator(".entry-toggle").first().click();
    const row = page.locator(".entry-details tr", { has: page.locator("th", { hasText: /^service_name$/ }) });
    assert.equal(await row.locator("td").first().textContent(), value);
    // And the chip takes it away again.
    await page.getByLabel("Remove service_name").click();
    await page.waitForURL((url) => !url.searchParams.has("q"));
  });
});

test("traces are found by service, and a span's keys work", async () => {
  await withPage(state, { path: "/traces?range=15m&refresh=5s" }, async (page) => {
    await page.locator("table.traces tbody tr").first().waitFor();
    const services = page.locator("select[name=service]");
    await eventually(async () => assert.ok((await services.locator("option").count()) > 1, "no services"));
    const service = await services.locator("option").nth(1).evaluate((option) => option.value);
    await services.selectOption(service);
    await page.waitForURL((url) => url.searchParams.get("service") === service);
    await settled(page);
    await page.locator("table.traces tbody tr").first().waitFor();
    for (const cell of await page.locator("table.traces td.services").all()) {
      const services = await cell.getAttribute("title");
      assert.ok(services.split(", ").includes(service), `${service} is not among ${services}`);
    }
    await page.locator("table.traces tbody a").first().click();
    const first = page.locator("#waterfall .span-row").first();
    await first.waitFor();
    await first.focus();
    await page.keyboard.press("Enter");
    await page.locator(".span-details").waitFor();
    assert.match(page.url(), /[?&]span=/);
    await page.keyboard.press("Enter");
    await page.locator(".span-details").waitFor({ state: "detached" });
  });
});
