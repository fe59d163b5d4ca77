// Loki's API: log lines, counts and labels; and what can be read off a line.
import { get } from "./api";
import { quote, type GridSeries, type Labels } from "./prom";
import type { Grid } from "./time";

export interface LogLine {
  /** Stream, time and text: the same line has the same key in two answers. */
  key: string;
  ns: bigint;
  ms: number;
  line: string;
  /** The stream's labels. */
  stream: Labels;
  /** What came beside the line. */
  metadata: Labels;
  level: Level;
}

export type Level = "fatal" | "error" | "warn" | "info" | "debug" | "trace" | "";
export const LEVELS: Level[] = ["fatal", "error", "warn", "info", "debug", "trace", ""];

type Entry = [string, string] | [string, string, Extra];
interface Extra {
  structuredMetadata?: Labels;
  parsed?: Labels;
}

interface Answer<T> {
  data: T;
}

type QueryData =
  | { resultType: "streams"; result: { stream: Labels; values: Entry[] }[] }
  | { resultType: "matrix"; result: { metric: Labels; values: [number, string][] }[] }
  | { resultType: "vector"; result: { metric: Labels; value: [number, string] }[] };

/** Lines, newest first; `end` is exclusive. */
export async function lines(
  query: string,
  start: bigint,
  end: bigint,
  limit: number,
  cancel: AbortSignal,
): Promise<LogLine[]> {
  const params = { query, start: String(start), end: String(end), limit, direction: "backward" };
  // Otherwise what stands beside a line is mixed into its stream's labels, where it can't be filtered by.
  const apart = { "X-Loki-Response-Encoding-Flags": "categorize-labels" };
  const { data } = await get<Answer<QueryData>>("/loki/api/v1/query_range", params, cancel, apart);
  if (data.resultType !== "streams") return [];
  const all = data.result.flatMap(({ stream, values }) => {
    const name = JSON.stringify(Object.entries(stream).sort());
    return values.map((entry) => readEntry(name, stream, entry));
  });
  return all.sort(newestFirst);
}

export function newestFirst(a: LogLine, b: LogLine): number {
  return a.ns === b.ns ? 0 : a.ns > b.ns ? -1 : 1;
}

function readEntry(name: string, stream: Labels, [time, line, extra]: Entry): LogLine {
  const ns = BigInt(time);
  const metadata = { ...extra?.structuredMetadata, ...extra?.parsed };
  return {
    key: `${time} ${name} ${line}`,
    ns,
    ms: Number(ns / 1_000_000n),
    line,
    stream,
    metadata,
    level: levelOf({ ...stream, ...metadata }, line),
  };
}

/** A query that gives numbers instead of lines. */
export async function counts(query: string, at: Grid, cancel: AbortSignal): Promise<GridSeries[]> {
  const params = { query, start: `${at.start}000000000`, end: `${at.end}000000000`, step: at.step };
  const { data } = await get<Answer<QueryData>>("/loki/api/v1/query_range", params, cancel);
  if (data.resultType !== "matrix") return [];
  const length = Math.round((at.end - at.start) / at.step) + 1;
  return data.result.map(({ metric, values }) => {
    const row: (number | null)[] = Array.from({ length }, () => null);
    for (const [time, text] of values) {
      const place = Math.round((time - at.start) / at.step);
      if (place >= 0 && place < length) row[place] = Number(text);
    }
    return { labels: metric, values: row };
  });
}

function bounds(start: number, end: number) {
  return { start: `${Math.floor(start)}000000`, end: `${Math.ceil(end)}000000` };
}

export async function labelNames(start: number, end: number, cancel: AbortSignal): Promise<string[]> {
  return (await get<Answer<string[] | null>>("/loki/api/v1/labels", bounds(start, end), cancel)).data ?? [];
}

export async function labelValues(name: string, start: number, end: number, cancel: AbortSignal): Promise<string[]> {
  const path = `/loki/api/v1/label/${encodeURIComponent(name)}/values`;
  return (await get<Answer<string[] | null>>(path, bounds(start, end), cancel)).data ?? [];
}

// ---- What a line says about itself ----

const LEVEL_LABELS = ["level", "detected_level", "severity", "severity_text", "lvl", "loglevel"];

/** Labels by which counts are grouped to be coloured. */
export const LEVEL_GROUPS = "level, detected_level, severity_text";

const LEVEL_WORDS: [RegExp, Level][] = [
  [/^(fatal|panic|crit|critical|emerg|emergency|alert|f)$/, "fatal"],
  [/^(error|err|eror|severe|e)\d?$/, "error"],
  [/^(warn|warning|w)\d?$/, "warn"],
  [/^(info|information|informational|notice|i)\d?$/, "info"],
  [/^(debug|dbug|d)\d?$/, "debug"],
  [/^(trace|verbose|t)\d?$/, "trace"],
];

export function levelOfWord(word: string): Level {
  const lower = word.toLowerCase();
  return LEVEL_WORDS.find(([pattern]) => pattern.test(lower))?.[1] ?? "";
}

const SAID_LEVEL = /\b(?:level|lvl|severity)["']?\s*[=:]\s*["']?([a-z]+)/i;
const KLOG = /^([IWEF])\d{4} \d\d:\d\d/;
const BARE_LEVEL =
  /(?:^|[\s[(<|])(FATAL|PANIC|CRITICAL|ERROR|ERR|WARNING|WARN|INFO|NOTICE|DEBUG|TRACE|fatal|panic|error|warn|warning|info|debug)(?=$|[\s\])>|:])/;

export function levelOfLabels(labels: Labels): Level {
  for (const name of LEVEL_LABELS) {
    const level = levelOfWord(labels[name] ?? "");
    if (level !== "") return level;
  }
  return "";
}

export function levelOf(labels: Labels, line: string): Level {
  const labelled = levelOfLabels(labels);
  if (labelled !== "") return labelled;
  const head = line.slice(0, 300);
  const word = SAID_LEVEL.exec(head)?.[1] ?? KLOG.exec(head)?.[1] ?? BARE_LEVEL.exec(head.slice(0, 80))?.[1];
  return word === undefined ? "" : levelOfWord(word);
}

const TRACE_LABELS = ["trace_id", "traceid", "traceID", "traceId", "trace"];
const SAID_TRACE = /\btrace_?id["']?\s*[=:]\s*["']?([0-9a-f]{16,32})\b/i;
const TRACEPARENT = /\b00-([0-9a-f]{32})-[0-9a-f]{16}-\d\d\b/;

export function traceOf(entry: LogLine): string | undefined {
  for (const labels of [entry.metadata, entry.stream]) {
    for (const name of TRACE_LABELS) {
      const id = labels[name]?.toLowerCase();
      if (id !== undefined && /^[0-9a-f]{16,32}$/.test(id) && !/^0+$/.test(id)) return id;
    }
  }
  return (SAID_TRACE.exec(entry.line)?.[1] ?? TRACEPARENT.exec(entry.line)?.[1])?.toLowerCase();
}

// ---- Selectors ----

export interface Matcher {
  name: string;
  op: "=" | "!=" | "=~" | "!~";
  value: string;
}

/** Every stream has a service name, so this selects all of them. */
export const EVERYTHING = '{service_name=~".+"}';

/** Splits `{…} rest`; `undefined` when the braces can't be read, for example in the middle of typing. */
export function parseSelector(query: string): { matchers: Matcher[]; rest: string } | undefined {
  const text = query.trim();
  if (!text.startsWith("{")) return undefined;
  const part = /\s*([A-Za-z_][A-Za-z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|`[^`]*`)\s*(,|(?=\}))/y;
  part.lastIndex = 1;
  const found: Matcher[] = [];
  for (;;) {
    const at = part.lastIndex;
    const closing = /^\s*\}/.exec(text.slice(at));
    if (closing) return { matchers: found, rest: text.slice(at + closing[0].length).trim() };
    const match = part.exec(text);
    if (!match) return undefined;
    const [, name = "", op = "=", quoted = ""] = match;
    const value = unquote(quoted);
    if (value === undefined) return undefined;
    found.push({ name, op: op as Matcher["op"], value });
  }
}

function unquote(text: string): string | undefined {
  if (text.startsWith("`")) return text.slice(1, -1);
  try {
    return JSON.parse(text) as string;
  } catch {
    return undefined;
  }
}

export function writeSelector(matchers: Matcher[], rest: string): string {
  const inside = matchers.map(({ name, op, value }) => `${name}${op}${quote(value)}`).join(", ");
  return `{${inside}}${rest === "" ? "" : ` ${rest}`}`;
}

/** The whole query: an empty selector becomes everything, and the searched text becomes a line filter. */
export function completeQuery(query: string, search: string, exactCase: boolean): string {
  const parsed = parseSelector(query);
  const base = query.trim() === "" || (parsed?.matchers.length === 0 && parsed.rest === "") ? EVERYTHING : query.trim();
  const filled = parsed && parsed.matchers.length === 0 && parsed.rest !== "" ? `${EVERYTHING} ${parsed.rest}` : base;
  if (search === "") return filled;
  const filter = exactCase ? `|= ${quote(search)}` : `|~ ${quote(`(?i)${escapeRegex(search)}`)}`;
  return `${filled} ${filter}`;
}

export function escapeRegex(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
