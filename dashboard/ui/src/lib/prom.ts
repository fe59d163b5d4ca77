// Prometheus' API: queries, rules and alerts.
import { get } from "./api";
import type { Grid } from "./time";

export type Labels = Record<string, string>;

/** A value in time, as a series on a grid: one place per step, `null` where there is no sample. */
export interface GridSeries {
  labels: Labels;
  values: (number | null)[];
}

export interface InstantValue {
  labels: Labels;
  value: number;
}

interface Answer<T> {
  status: string;
  error?: string;
  data: T;
  warnings?: string[];
}

type Pair = [number, string];

type QueryData =
  | { resultType: "vector"; result: { metric: Labels; value?: Pair }[] }
  | { resultType: "matrix"; result: { metric: Labels; values?: Pair[] }[] }
  | { resultType: "scalar" | "string"; result: Pair };

function number(text: string): number {
  if (text === "+Inf" || text === "Inf") return Infinity;
  if (text === "-Inf") return -Infinity;
  return Number(text);
}

/** A quoted string of PromQL or LogQL. */
export function quote(text: string): string {
  return JSON.stringify(text);
}

/** `name="value"` for each label; those without a value are left out. */
export function matchers(labels: Record<string, string | undefined>): string {
  return Object.entries(labels)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([name, value]) => `${name}=${quote(value ?? "")}`)
    .join(",");
}

export async function instant(query: string, atMs: number, cancel: AbortSignal): Promise<InstantValue[]> {
  const { data } = await get<Answer<QueryData>>("/api/v1/query", { query, time: (atMs / 1000).toFixed(3) }, cancel);
  if (data.resultType === "scalar") return [{ labels: {}, value: number(data.result[1]) }];
  if (data.resultType !== "vector") return [];
  return data.result.flatMap(({ metric, value }) =>
    value === undefined ? [] : [{ labels: metric, value: number(value[1]) }],
  );
}

export interface RangeResult {
  series: GridSeries[];
  warnings: string[];
}

export async function ranged(query: string, at: Grid, cancel: AbortSignal): Promise<RangeResult> {
  const answer = await get<Answer<QueryData>>(
    "/api/v1/query_range",
    { query, start: at.start, end: at.end, step: at.step },
    cancel,
  );
  const { data, warnings = [] } = answer;
  if (data.resultType !== "matrix") return { series: [], warnings };
  const series = data.result.map(({ metric, values = [] }) => ({ labels: metric, values: onGrid(values, at) }));
  return { series, warnings };
}

export async function range(query: string, at: Grid, cancel: AbortSignal): Promise<GridSeries[]> {
  return (await ranged(query, at, cancel)).series;
}

export function times(at: Grid): number[] {
  const length = Math.round((at.end - at.start) / at.step) + 1;
  return Array.from({ length }, (_, i) => at.start + i * at.step);
}

function onGrid(values: Pair[], at: Grid): (number | null)[] {
  const row: (number | null)[] = times(at).map(() => null);
  for (const [time, text] of values) {
    const place = Math.round((time - at.start) / at.step);
    const value = number(text);
    if (place >= 0 && place < row.length && Number.isFinite(value)) row[place] = value;
  }
  return row;
}

export function last(values: (number | null)[]): number | undefined {
  for (let i = values.length - 1; i >= 0; i--) {
    const value = values[i];
    if (value !== null && value !== undefined) return value;
  }
  return undefined;
}

// ---- Alerts ----

export type AlertState = "firing" | "pending" | "inactive";

export interface Alert {
  labels: Labels;
  annotations: Labels;
  state: AlertState;
  activeAt?: string;
  value?: string;
}

export interface Rule {
  type: "alerting" | "recording";
  name: string;
  query: string;
  state?: AlertState;
  duration?: number;
  labels?: Labels;
  annotations?: Labels;
  alerts?: Alert[];
  health?: string;
  lastError?: string;
  lastEvaluation?: string;
}

export interface RuleGroup {
  name: string;
  file: string;
  interval?: number;
  rules: Rule[];
}

export async function rules(cancel: AbortSignal): Promise<RuleGroup[]> {
  return (await get<Answer<{ groups?: RuleGroup[] }>>("/api/v1/rules", {}, cancel)).data.groups ?? [];
}

export async function alerts(cancel: AbortSignal): Promise<Alert[]> {
  return (await get<Answer<{ alerts?: Alert[] }>>("/api/v1/alerts", {}, cancel)).data.alerts ?? [];
}

/** The alert that always fires, to show that alerting works. */
export function isWatchdog(name: string | undefined): boolean {
  return name?.toLowerCase() === "watchdog";
}

export async function metricNames(start: number, end: number, cancel: AbortSignal): Promise<string[]> {
  const params = { start: (start / 1000).toFixed(3), end: (end / 1000).toFixed(3) };
  return (await get<Answer<string[] | null>>("/api/v1/label/__name__/values", params, cancel)).data ?? [];
}

export interface BuildInfo {
  version?: string;
  revision?: string;
}

export async function buildInfo(cancel: AbortSignal): Promise<BuildInfo> {
  return (await get<Answer<BuildInfo>>("/api/v1/status/buildinfo", {}, cancel)).data;
}
