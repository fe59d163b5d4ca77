// Jaeger's API, and a trace arranged for drawing.
import { get } from "./api";

export interface Tag {
  key: string;
  type?: string;
  value: unknown;
}

interface JaegerSpan {
  traceID: string;
  spanID: string;
  operationName: string;
  references?: { refType: string; traceID: string; spanID: string }[];
  startTime: number;
  duration: number;
  tags?: Tag[];
  logs?: { timestamp: number; fields?: Tag[] }[];
  processID: string;
  warnings?: string[] | null;
}

export interface JaegerTrace {
  traceID: string;
  spans: JaegerSpan[];
  processes: Record<string, { serviceName: string; tags?: Tag[] }>;
}

interface Answer<T> {
  data: T | null;
}

export async function services(cancel: AbortSignal): Promise<string[]> {
  return ((await get<Answer<string[]>>("/jaeger/api/services", {}, cancel)).data ?? []).sort();
}

export async function operations(service: string, cancel: AbortSignal): Promise<string[]> {
  const path = `/jaeger/api/services/${encodeURIComponent(service)}/operations`;
  const data = (await get<Answer<(string | { name: string })[]>>(path, {}, cancel)).data ?? [];
  return [...new Set(data.map((item) => (typeof item === "string" ? item : item.name)))].sort();
}

export interface Search {
  service: string;
  operation: string;
  tags: Record<string, string>;
  minDuration: string;
  maxDuration: string;
  limit: number;
}

/** `start` and `end` in milliseconds. */
export async function searchTraces(
  search: Search,
  start: number,
  end: number,
  cancel: AbortSignal,
): Promise<Trace[]> {
  const params = {
    service: search.service || undefined,
    operation: search.operation || undefined,
    tags: Object.keys(search.tags).length === 0 ? undefined : JSON.stringify(search.tags),
    minDuration: search.minDuration || undefined,
    maxDuration: search.maxDuration || undefined,
    start: Math.floor(start) * 1000,
    end: Math.ceil(end) * 1000,
    limit: search.limit,
  };
  const found = (await get<Answer<JaegerTrace[]>>("/jaeger/api/traces", params, cancel)).data ?? [];
  return found.filter((t) => t.spans.length > 0).map(arrange);
}

export async function trace(id: string, cancel: AbortSignal): Promise<Trace | undefined> {
  const data = (await get<Answer<JaegerTrace[]>>(`/jaeger/api/traces/${encodeURIComponent(id)}`, {}, cancel)).data ?? [];
  const found = data[0];
  return found && found.spans.length > 0 ? arrange(found) : undefined;
}

/** `error=true http.route="/a b"` to an object; `undefined` when it can't be read. */
export function parseTags(text: string): Record<string, string> | undefined {
  const tags: Record<string, string> = {};
  const part = /\s*([^\s=]+)=("(?:[^"\\]|\\.)*"|[^\s"]*)(?=\s|$)/y;
  const rest = text.trim();
  while (part.lastIndex < rest.length) {
    const match = part.exec(rest);
    if (!match) return undefined;
    const [, key = "", value = ""] = match;
    try {
      tags[key] = value.startsWith('"') ? (JSON.parse(value) as string) : value;
    } catch {
      return undefined;
    }
  }
  return tags;
}

// ---- A trace arranged ----

export interface Span {
  id: string;
  name: string;
  service: string;
  /** Microseconds since the epoch. */
  start: number;
  /** Microseconds. */
  duration: number;
  depth: number;
  /** How many spans hang below this one, at any depth; they follow it in the list. */
  below: number;
  kind: string;
  error: boolean;
  /** Has a parent that is not part of this trace as it is stored. */
  orphan: boolean;
  tags: Tag[];
  resource: Tag[];
  events: { at: number; name: string; fields: Tag[] }[];
  links: { traceID: string; spanID: string }[];
  warnings: string[];
}

export interface Trace {
  id: string;
  /** Depth first, children by start. */
  spans: Span[];
  root: Span;
  /** Microseconds since the epoch. */
  start: number;
  /** Microseconds. */
  duration: number;
  services: string[];
  errors: number;
  depth: number;
}

function isError(tags: Tag[]): boolean {
  return tags.some(
    ({ key, value }) =>
      (key === "error" && value !== false && value !== "false" && value !== "") ||
      (key === "otel.status_code" && String(value).toUpperCase() === "ERROR"),
  );
}

function text(tags: Tag[], key: string): string {
  return String(tags.find((t) => t.key === key)?.value ?? "");
}

export function arrange(raw: JaegerTrace): Trace {
  // Spans are the same when id, side and service are: client and server may share an id.
  const ids = new Set(raw.spans.map((s) => s.spanID));
  const children = new Map<string, JaegerSpan[]>();
  const tops: JaegerSpan[] = [];
  const parentOf = (span: JaegerSpan) =>
    span.references?.find((r) => r.refType === "CHILD_OF" && r.traceID === span.traceID)?.spanID ??
    span.references?.find((r) => r.traceID === span.traceID)?.spanID;
  for (const span of raw.spans) {
    const parent = parentOf(span);
    if (parent === undefined || parent === span.spanID || !ids.has(parent)) tops.push(span);
    else children.set(parent, [...(children.get(parent) ?? []), span]);
  }
  const byStart = (a: JaegerSpan, b: JaegerSpan) => a.startTime - b.startTime || b.duration - a.duration;
  const spans: Span[] = [];
  const seen = new Set<JaegerSpan>();
  const visit = (top: JaegerSpan) => {
    // By hand instead of by recursion: a trace can be deeper than the stack.
    const stack: { span: JaegerSpan; depth: number }[] = [{ span: top, depth: 0 }];
    for (let next = stack.pop(); next; next = stack.pop()) {
      if (seen.has(next.span)) continue;
      seen.add(next.span);
      const parent = parentOf(next.span);
      spans.push(readSpan(raw, next.span, next.depth, parent !== undefined && !ids.has(parent)));
      const below = [...(children.get(next.span.spanID) ?? [])].sort(byStart).reverse();
      for (const span of below) stack.push({ span, depth: next.depth + 1 });
    }
  };
  tops.sort(byStart).forEach(visit);
  // A ring of parents has no top; its spans are shown all the same.
  raw.spans.forEach((span) => {
    if (!seen.has(span)) visit(span);
  });
  countBelow(spans);
  const start = spans.reduce((least, s) => Math.min(least, s.start), Infinity);
  const end = spans.reduce((most, s) => Math.max(most, s.start + s.duration), -Infinity);
  const root = spans.find((s) => s.depth === 0 && !s.orphan) ?? (spans[0] as Span);
  return {
    id: raw.traceID,
    spans,
    root,
    start,
    duration: end - start,
    services: [...new Set(spans.map((s) => s.service))],
    errors: spans.filter((s) => s.error).length,
    depth: spans.reduce((most, s) => Math.max(most, s.depth + 1), 0),
  };
}

function countBelow(spans: Span[]): void {
  const open: { span: Span; at: number }[] = [];
  const close = (depth: number, at: number) => {
    while (open.length > depth) {
      const done = open.pop();
      if (done) done.span.below = at - done.at - 1;
    }
  };
  spans.forEach((span, at) => {
    close(span.depth, at);
    open.push({ span, at });
  });
  close(0, spans.length);
}

function readSpan(raw: JaegerTrace, span: JaegerSpan, depth: number, orphan: boolean): Span {
  const tags = span.tags ?? [];
  const process = raw.processes[span.processID];
  const parent = span.references?.find((r) => r.refType === "CHILD_OF");
  return {
    id: span.spanID,
    name: span.operationName,
    service: process?.serviceName ?? "unknown",
    start: span.startTime,
    duration: span.duration,
    depth,
    below: 0,
    kind: text(tags, "span.kind"),
    error: isError(tags),
    orphan,
    tags,
    resource: process?.tags ?? [],
    events: (span.logs ?? []).map(({ timestamp, fields = [] }) => {
      const name = text(fields, "event") || text(fields, "message") || "event";
      return { at: timestamp, name, fields: fields.filter((f) => f.key !== "event") };
    }),
    links: (span.references ?? []).filter((r) => r !== parent && r.refType !== "CHILD_OF"),
    warnings: span.warnings ?? [],
  };
}

export function tagText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** The place of a service in the palette: by name, so that it has one colour on every page. */
export function colorOf(service: string): string {
  let hash = 0;
  for (const char of service) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return `var(--c${(hash % 8) + 1})`;
}
