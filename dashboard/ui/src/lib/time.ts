// The time range that all pages share: from the address, re-evaluated at every refresh.
import { computed, effect, signal } from "@preact/signals";
import { place, setParams } from "./place";
import { remembered } from "./remember";

export const QUICK_RANGES = ["5m", "15m", "30m", "1h", "3h", "6h", "12h", "24h", "2d", "7d", "30d"];
export const REFRESH_CHOICES = ["off", "5s", "10s", "30s", "1m", "5m"];

const UNITS: Record<string, number> = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 7 * 86400e3 };
const DEFAULT_MS = 3600e3;
const LONGEST_MS = 3660 * 86400e3;

export type Range = { kind: "relative"; ms: number; text: string } | { kind: "absolute"; from: number; to: number };

/** Milliseconds of "15m", "1h30m", …; `undefined` when it is none. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^(\d+(\.\d+)?[smhdw])+$/.test(trimmed)) return undefined;
  let ms = 0;
  for (const [, number, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)([smhdw])/g)) {
    ms += Number(number) * (UNITS[unit ?? ""] ?? 0);
  }
  return ms > 0 && ms <= LONGEST_MS ? ms : undefined;
}

/** A point in time as milliseconds or as ISO 8601. */
export function parseInstant(text: string): number | undefined {
  const ms = /^\d{12,14}$/.test(text) ? Number(text) : Date.parse(text);
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

export const range = computed<Range>(() => {
  const { params } = place.value;
  const from = parseInstant(params.get("from") ?? "");
  const to = parseInstant(params.get("to") ?? "");
  if (from !== undefined && to !== undefined && from < to) return { kind: "absolute", from, to };
  const text = params.get("range") ?? "1h";
  const ms = parseDuration(text);
  return ms === undefined ? { kind: "relative", ms: DEFAULT_MS, text: "1h" } : { kind: "relative", ms, text };
});

/** Whether the address holds a time that can't be read; the default is shown then, and the reader is told. */
export const rangeIsBad = computed(() => {
  const { params } = place.value;
  if (params.has("from") || params.has("to")) return range.value.kind !== "absolute";
  const text = params.get("range");
  return text !== null && parseDuration(text) === undefined;
});

/** Pages whose contents follow the time by themselves unless told otherwise. */
const LIVE_PAGES = ["/", "/container", "/alerts"];

export const refresh = computed(() => {
  const { path, params } = place.value;
  const wanted = params.get("refresh") ?? "";
  if (REFRESH_CHOICES.includes(wanted)) return wanted;
  return LIVE_PAGES.includes(path) ? "30s" : "off";
});

/** How far the server's clock is ahead of this one, in milliseconds; small differences count as none. */
let skewMs = 0;

export function learnServerTime(dateHeader: string | null): void {
  const server = dateHeader === null ? NaN : Date.parse(dateHeader);
  if (!Number.isFinite(server)) return;
  const skew = server - Date.now();
  skewMs = Math.abs(skew) > 5000 ? skew : 0;
}

export function now(): number {
  return Date.now() + skewMs;
}

const tick = signal(0);
let lastTick = Date.now();

export function refreshNow(): void {
  lastTick = Date.now();
  tick.value++;
}

export interface Window {
  /** Milliseconds. */
  start: number;
  /** Milliseconds. */
  end: number;
  /** Counts refreshes, so that absolute ranges can be asked again too. */
  tick: number;
}

export const timeWindow = computed<Window>(() => {
  const at = range.value;
  const count = tick.value;
  if (at.kind === "absolute") return { start: at.from, end: at.to, tick: count };
  const end = now();
  return { start: end - at.ms, end, tick: count };
});

/** Steps from which a chart of about 240 points is made, in seconds. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];

export interface Grid {
  /** Seconds, a multiple of the step. */
  start: number;
  /** Seconds, a multiple of the step. */
  end: number;
  /** Seconds. */
  step: number;
  /** A window for `rate` that holds several scrapes at short steps and the whole step at long ones, as PromQL. */
  window: string;
}

/** Steps on whole multiples, so that points stay where they are from one refresh to the next. */
export function grid(at: { start: number; end: number }, points = 240, smallest = 5): Grid {
  const wanted = Math.max((at.end - at.start) / 1000 / points, smallest);
  const step = STEPS.find((s) => s >= wanted * 0.8) ?? 86400;
  const start = Math.ceil(at.start / 1000 / step) * step;
  const end = Math.max(Math.floor(at.end / 1000 / step) * step, start);
  return { start, end, step, window: `${Math.max(60, step)}s` };
}

export function setRange(choice: string | { from: number; to: number }): void {
  if (typeof choice === "string") {
    setParams({ range: choice, from: undefined, to: undefined });
    refreshNow();
  } else {
    const iso = (ms: number) => new Date(Math.round(ms)).toISOString();
    setParams({ range: undefined, from: iso(choice.from), to: iso(choice.to) });
  }
}

/** Refreshes on the interval that was chosen, not while nobody looks, and at once when somebody looks again. */
export function keepRefreshing(): void {
  effect(() => {
    const ms = parseDuration(refresh.value);
    if (ms === undefined || range.value.kind === "absolute") return;
    const due = () => {
      if (!document.hidden && Date.now() - lastTick >= ms - 50) refreshNow();
    };
    const timer = setInterval(due, ms);
    document.addEventListener("visibilitychange", due);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", due);
    };
  });
}

// ---- Writing times down ----

/** "utc" or "local". */
export const zone = remembered("zone", "local");

const pad = (n: number, width = 2) => String(n).padStart(width, "0");

/** The fields of a time in the chosen zone. */
function fields(ms: number) {
  const d = new Date(zone.value === "utc" ? ms : ms - new Date(ms).getTimezoneOffset() * 60e3);
  return {
    date: `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`,
    clock: `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`,
    ms: pad(d.getUTCMilliseconds(), 3),
  };
}

export function clock(ms: number): string {
  return fields(ms).clock;
}

export function dateTime(ms: number): string {
  const f = fields(ms);
  return `${f.date} ${f.clock}`;
}

export function exactTime(ms: number): string {
  const f = fields(ms);
  return `${f.date} ${f.clock}.${f.ms}`;
}

/** The clock alone for today's times, else with the date. */
export function shortTime(ms: number): string {
  const f = fields(ms);
  return f.date === fields(now()).date ? f.clock : `${f.date.slice(5)} ${f.clock}`;
}

export function zoneName(): string {
  if (zone.value === "utc") return "UTC";
  const minutes = -new Date().getTimezoneOffset();
  if (minutes === 0) return "UTC";
  const sign = minutes < 0 ? "−" : "+";
  const rest = Math.abs(minutes) % 60;
  return `UTC${sign}${Math.floor(Math.abs(minutes) / 60)}${rest === 0 ? "" : `:${pad(rest)}`}`;
}

/** For an `<input type="datetime-local">`, and back. */
export function toInput(ms: number): string {
  const f = fields(ms);
  return `${f.date}T${f.clock}`;
}

export function fromInput(text: string): number | undefined {
  return parseInstant(zone.value === "utc" ? `${text}Z` : text);
}

export function describe(at: Range): string {
  if (at.kind === "relative") return `Last ${at.text}`;
  const from = fields(at.from);
  const to = fields(at.to);
  return `${from.date} ${from.clock} – ${from.date === to.date ? to.clock : `${to.date} ${to.clock}`}`;
}
