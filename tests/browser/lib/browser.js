// Opens the page in headless Chromium and holds what every page is held to: no error in the console, no failed
// request, no request to another host.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { after, before } from "node:test";
import { chromium } from "playwright-core";
import { start } from "../mock/serve.js";

const SCREENSHOTS = fileURLToPath(new URL("../screenshots", import.meta.url));

/** How long a condition may take. Generous, because a slow machine is no failure. */
export const PATIENCE_MS = 60_000;

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-extensions",
];

/** Starts the browser around a file's tests, and the mock when `BINNACLE_URL` names no running program. */
export function withBrowser() {
  const state = { url: "", browser: undefined, mock: undefined };
  before(async () => {
    mkdirSync(SCREENSHOTS, { recursive: true });
    if (!process.env.BINNACLE_URL) state.mock = await start();
    state.url = (process.env.BINNACLE_URL ?? state.mock.url).replace(/\/$/, "");
    state.browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      headless: true,
      args: ARGUMENTS,
    });
  });
  after(async () => {
    await state.browser?.close();
    await state.mock?.close();
  });
  return state;
}

/**
 * Runs `body` with a fresh page. `expected` are patterns of complaints that the test brings about itself.
 * `prepare` gets the context before the page loads anything, to intercept requests.
 */
export async function withPage(state, { path, theme = "dark", size = [1440, 900], expected = [], prepare }, body) {
  const context = await state.browser.newContext({
    baseURL: state.url,
    colorScheme: theme,
    viewport: { width: size[0], height: size[1] },
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const complaints = [];
  try {
    await prepare?.(context);
    const page = await context.newPage();
    page.on("console", (message) => {
      // Chromium's advice on our reading the canvas is about this test.
      if (/willReadFrequently/.test(message.text())) return;
      if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => complaints.push(`exception: ${error.stack}`));
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol !== "data:" && origin !== new URL(state.url).origin) complaints.push(`foreign request: ${request.url()}`);
    });
    page.on("requestfailed", (request) => {
      // The page gives up questions itself when the reader moves on.
      const reason = request.failure()?.errorText ?? "";
      if (reason !== "net::ERR_ABORTED") complaints.push(`failed: ${request.url()} ${reason}`);
    });
    page.on("response", async (response) => {
      if (response.status() < 400) return;
      const body = await response.text().catch(() => "");
      complaints.push(`status ${response.status()}: ${response.url()} ${body.slice(0, 300)}`);
    });
    await page.goto(path);
    await body(page);
    await settled(page);
  } finally {
    await context.close();
  }
  const real = complaints.filter((text) => !expected.some((pattern) => pattern.test(text)));
  assert.deepEqual(real, []);
}

/** Waits until nothing on the page is being loaded any more. */
export async function settled(page) {
  await page.waitForFunction(() => !document.querySelector('[aria-busy="true"], .loading'));
}

/** Asks until `ask` does not throw; throws its last error when the time is over. */
export async function eventually(ask, patienceMs = PATIENCE_MS) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((done) => setTimeout(done, 100));
  }
}

export async function screenshot(page, name) {
  await page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });
}

/** Whether the canvas of a chart has anything but axes on it: pixels of a palette's colour. */
export async function hasInk(locator) {
  return locator.evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let colored = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [r, g, b, a] = [data[i], data[i + 1], data[i + 2], data[i + 3]];
      if (a > 100 && Math.max(r, g, b) - Math.min(r, g, b) > 40) colored++;
    }
    return colored > 20;
  });
}
