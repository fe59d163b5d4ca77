// Log lines, one row each; a row opens to show where the line comes from and where it leads.
import { useSignal } from "@preact/signals";
import { containerLink, containerOf, isContainer } from "../lib/containers";
import { escapeRegex, traceOf, type LogLine } from "../lib/loki";
import { link } from "../lib/place";
import type { Labels } from "../lib/prom";
import { remembered } from "../lib/remember";
import { exactTime, now, zone } from "../lib/time";

export const wrap = remembered("wrap", "off");

/** `beside` tells what came beside the line from the stream's labels. */
export type Filter = (name: string, value: string, keep: boolean, beside: boolean) => void;

interface Props {
  entries: LogLine[];
  /** Marked in the lines. */
  search?: string;
  exactCase?: boolean;
  onFilter?: Filter;
  /** Without the column that says whose line it is. */
  compact?: boolean;
}

export function LogList({ entries, search = "", exactCase = false, onFilter, compact = false }: Props) {
  const today = exactTime(now()).slice(0, 10);
  const oneDay = entries.every((e) => exactTime(e.ms).startsWith(today));
  const pattern = search === "" ? undefined : new RegExp(`(${escapeRegex(search)})`, exactCase ? "g" : "gi");
  return (
    <ol class={`log ${wrap.value === "on" ? "wrapped" : ""} ${compact ? "compact" : ""}`}>
      {entries.map((entry) => (
        <Entry
          key={entry.key}
          entry={entry}
          pattern={pattern?.source}
          flags={pattern?.flags}
          onFilter={onFilter}
          compact={compact}
          oneDay={oneDay}
          zone={zone.value}
        />
      ))}
    </ol>
  );
}

interface EntryProps {
  entry: LogLine;
  pattern: string | undefined;
  flags: string | undefined;
  onFilter: Filter | undefined;
  compact: boolean;
  oneDay: boolean;
  zone: string;
}

function Entry({ entry, pattern, flags, onFilter, compact, oneDay }: EntryProps) {
  const open = useSignal(false);
  const toggle = () => (open.value = !open.value);
  const onRow = (event: MouseEvent) => {
    if (event.target instanceof Element && event.target.closest("a, button")) return;
    if (String(getSelection()) === "") toggle();
  };
  const time = exactTime(entry.ms);
  const whose = ownerOf(entry.stream);
  const text = entry.line === "" ? " " : entry.line;
  return (
    <li class={`entry level-${entry.level || "none"} ${open.value ? "open" : ""}`}>
      <div class="entry-row" onClick={onRow}>
        <button type="button" class="entry-toggle" aria-expanded={open.value} onClick={toggle} aria-label="Details">
          {open.value ? "▾" : "▸"}
        </button>
        <time dateTime={new Date(entry.ms).toISOString()} title={time}>
          {oneDay ? time.slice(11) : time.slice(5)}
        </time>
        <span class="entry-level">{entry.level}</span>
        {!compact && (
          <span class="entry-owner" title={whose}>
            {whose}
          </span>
        )}
        <span class="entry-line">{pattern === undefined ? text : marked(text, new RegExp(pattern, flags))}</span>
      </div>
      {open.value && <Details entry={entry} onFilter={onFilter} />}
    </li>
  );
}

function marked(text: string, pattern: RegExp) {
  return text.split(pattern).map((part, i) => (i % 2 === 1 ? <mark key={i}>{part}</mark> : part));
}

function ownerOf(stream: Labels): string {
  const name = stream["container"] || stream["service_name"] || stream["job"] || stream["filename"] || "";
  return /^[0-9a-f]{32,}$/.test(name) ? name.slice(0, 12) : name;
}

function Details({ entry, onFilter }: { entry: LogLine; onFilter: Filter | undefined }) {
  const traceId = traceOf(entry);
  const who = containerOf(entry.stream);
  const pretty = prettyJson(entry.line);
  const copied = useSignal(false);
  const copy = () => {
    void navigator.clipboard.writeText(entry.line).then(() => (copied.value = true));
  };
  const around = { from: new Date(entry.ms - 60e3).toISOString(), to: new Date(entry.ms + 60e3).toISOString() };
  return (
    <div class="entry-details">
      <p class="actions">
        {traceId !== undefined && (
          <a class="button" href={link(`/traces/${traceId}`)}>
            Trace {traceId.slice(0, 8)}
          </a>
        )}
        {isContainer(who) && (
          <a class="button" href={containerLink(who)}>
            Container
          </a>
        )}
        <a class="button" href={link("/logs", { q: selectorOf(entry.stream), ...around })}>
          Lines around it
        </a>
        <button type="button" onClick={copy}>
          {copied.value ? "Copied" : "Copy line"}
        </button>
      </p>
      <pre>{pretty ?? entry.line}</pre>
      <LabelTable title="Stream" labels={entry.stream} onFilter={onFilter} />
      <LabelTable title="Beside the line" labels={entry.metadata} onFilter={onFilter} beside />
    </div>
  );
}

function selectorOf(stream: Labels): string {
  const own = ["namespace", "pod", "container", "container_id", "service_name", "filename"];
  return `{${own.flatMap((n) => (stream[n] ? [`${n}=${JSON.stringify(stream[n])}`] : [])).join(", ")}}`;
}

interface LabelTableProps {
  title: string;
  labels: Labels;
  onFilter: Filter | undefined;
  beside?: boolean;
}

function LabelTable({ title, labels, onFilter, beside = false }: LabelTableProps) {
  const rows = Object.entries(labels).sort(([a], [b]) => a.localeCompare(b));
  if (rows.length === 0) return null;
  return (
    <table class="labels">
      <caption>{title}</caption>
      <tbody>
        {rows.map(([name, value]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td class="breakable">{value}</td>
            {onFilter && (
              <td class="label-actions">
                <button type="button" title={`Only ${name}=${value}`} aria-label={`Only ${name}=${value}`} onClick={() => onFilter(name, value, true, beside)}>
                  +
                </button>
                <button type="button" title={`Without ${name}=${value}`} aria-label={`Without ${name}=${value}`} onClick={() => onFilter(name, value, false, beside)}>
                  −
                </button>
              </td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function prettyJson(line: string): string | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.stringify(JSON.parse(line), null, 2);
  } catch {
    return undefined;
  }
}
