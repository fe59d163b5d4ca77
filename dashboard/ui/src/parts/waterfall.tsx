// A trace as a waterfall: spans nested at the left, their times as bars at the right.
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { containerLink, containerOf, logSelector } from "../lib/containers";
import { duration, plural } from "../lib/format";
import { colorOf, tagText, type Span, type Tag, type Trace } from "../lib/jaeger";
import { writeSelector } from "../lib/loki";
import { link } from "../lib/place";

interface Props {
  trace: Trace;
  /** Id of the span that is open, or "". */
  selected: string;
  onSelect: (id: string | undefined) => void;
}

/** Beyond this many, deep spans start folded: thousands of rows help nobody. */
const FOLD_ABOVE = 1500;

export function Waterfall({ trace, selected, onSelect }: Props) {
  const folded = useSignal<ReadonlySet<number>>(new Set());
  const list = useRef<HTMLOListElement>(null);
  useEffect(() => {
    const deep = trace.spans.length <= FOLD_ABOVE ? [] : trace.spans.flatMap((s, i) => (s.depth >= 2 && s.below > 0 ? [i] : []));
    folded.value = new Set(deep);
  }, [trace.id]);
  const visible: number[] = [];
  for (let i = 0; i < trace.spans.length; i++) {
    visible.push(i);
    if (folded.value.has(i)) i += trace.spans[i]?.below ?? 0;
  }
  const fold = (index: number, closed: boolean) => {
    const next = new Set(folded.value);
    if (closed) next.add(index);
    else next.delete(index);
    folded.value = next;
  };
  const toggle = (span: Span) => onSelect(selected === span.id ? undefined : span.id);
  const onKey = (event: KeyboardEvent, index: number, span: Span) => {
    const rows = [...(list.current?.querySelectorAll<HTMLElement>(".span-row") ?? [])];
    const at = rows.indexOf(event.currentTarget as HTMLElement);
    const handled = () => event.preventDefault();
    if (event.key === "ArrowDown") (handled(), rows[at + 1]?.focus());
    else if (event.key === "ArrowUp") (handled(), rows[at - 1]?.focus());
    else if (event.key === "ArrowLeft" && span.below > 0) (handled(), fold(index, true));
    else if (event.key === "ArrowRight" && span.below > 0) (handled(), fold(index, false));
    else if (event.key === "Enter" || event.key === " ") (handled(), toggle(span));
  };
  const some = folded.value.size > 0;
  const foldAll = () => {
    folded.value = some ? new Set() : new Set(trace.spans.flatMap((s, i) => (s.below > 0 && s.depth >= 1 ? [i] : [])));
  };
  return (
    <section class="panel waterfall" aria-label="Waterfall" id="waterfall">
      <div class="waterfall-head">
        <div class="span-name">
          <h2>Spans</h2>
          {trace.depth > 2 && (
            <button type="button" class="quiet" onClick={foldAll}>
              {some ? "Unfold all" : "Fold"}
            </button>
          )}
        </div>
        <div class="ticks" aria-hidden="true">
          {[0, 0.25, 0.5, 0.75, 1].map((share) => (
            <span key={share} style={{ left: `${share * 100}%` }}>
              {duration((trace.duration * share) / 1e6)}
            </span>
          ))}
        </div>
      </div>
      <ol ref={list}>
        {visible.map((index) => {
          const span = trace.spans[index] as Span;
          const open = span.id === selected;
          return (
            <li key={`${span.id} ${index}`} class={`span ${open ? "open" : ""} ${span.error ? "failed" : ""}`}>
              <div
                class="span-row"
                role="button"
                tabIndex={0}
                aria-expanded={open}
                aria-label={`${span.service} ${span.name}, ${duration(span.duration / 1e6)}${span.error ? ", failed" : ""}`}
                onClick={() => toggle(span)}
                onKeyDown={(e) => onKey(e, index, span)}
              >
                <div class="span-name" style={{ paddingLeft: `${8 + Math.min(span.depth, 24) * 14}px` }}>
                  {span.below > 0 ? (
                    <button
                      type="button"
                      class="fold"
                      tabIndex={-1}
                      aria-label={folded.value.has(index) ? "Unfold" : "Fold"}
                      onClick={(e) => {
                        e.stopPropagation();
                        fold(index, !folded.value.has(index));
                      }}
                    >
                      {folded.value.has(index) ? "▸" : "▾"}
                    </button>
                  ) : (
                    <span class="fold" />
                  )}
                  <span class="span-title" style={{ borderColor: colorOf(span.service) }}>
                    {span.error && <span class="bang" title="This span failed">!</span>}
                    <b>{span.service}</b> {span.name}
                    {folded.value.has(index) && <span class="faint"> +{span.below}</span>}
                    {span.orphan && <span class="tag" title="Its parent is not stored, or not yet">parent missing</span>}
                  </span>
                </div>
                <Bar trace={trace} span={span} />
              </div>
              {open && <Details trace={trace} span={span} />}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function Bar({ trace, span }: { trace: Trace; span: Span }) {
  const whole = Math.max(trace.duration, 1);
  const left = ((span.start - trace.start) / whole) * 100;
  const width = (span.duration / whole) * 100;
  const right = left + width;
  // The number stands where there is room for it: after the bar, before it, or else inside.
  const place = right < 88 ? { left: `${right}%` } : left > 12 ? { right: `${100 - left}%` } : { right: `${100 - right}%` };
  return (
    <div class="span-time">
      <div class="bar" style={{ left: `${left}%`, width: `${width}%`, background: span.error ? "var(--bad)" : colorOf(span.service) }}>
        {span.events.map((event, i) => (
          <i key={i} title={event.name} style={{ left: `${span.duration > 0 ? Math.min(100, Math.max(0, ((event.at - span.start) / span.duration) * 100)) : 0}%` }} />
        ))}
      </div>
      <span class={`bar-label ${right >= 88 && left <= 12 ? "inside" : ""}`} style={place}>
        {duration(span.duration / 1e6)}
      </span>
    </div>
  );
}

function resourceValue(span: Span, key: string): string {
  const value = span.resource.find((t) => t.key === key)?.value;
  return value === undefined ? "" : tagText(value);
}

/** The container that a span's resource names, with the labels of metrics and logs. */
function containerOfSpan(span: Span) {
  return containerOf({
    container_id: resourceValue(span, "container.id"),
    container: resourceValue(span, "k8s.container.name") || resourceValue(span, "container.name"),
    pod: resourceValue(span, "k8s.pod.name"),
    namespace: resourceValue(span, "k8s.namespace.name"),
    node: resourceValue(span, "k8s.node.name") || resourceValue(span, "host.name"),
  });
}

function Details({ trace, span }: { trace: Trace; span: Span }) {
  const who = containerOfSpan(span);
  const known = who.containerId !== "" || (who.pod !== "" && who.container !== "");
  const iso = (us: number) => new Date(us / 1000).toISOString();
  const then = { from: iso(span.start - 5e6), to: iso(span.start + span.duration + 5e6) };
  const selector = known ? logSelector(who) : writeSelector([{ name: "service_name", op: "=", value: span.service }], "");
  return (
    <div class="span-details">
      <p class="actions">
        <a class="button" href={link("/logs", { q: selector, ...then })}>Logs of {known ? "its container" : span.service} then</a>
        {known && <a class="button" href={containerLink(who)}>Container</a>}
      </p>
      <dl class="facts">
        <div><dt>Starts after</dt><dd>{duration((span.start - trace.start) / 1e6)}</dd></div>
        <div><dt>Takes</dt><dd>{duration(span.duration / 1e6)}</dd></div>
        {span.kind !== "" && <div><dt>Kind</dt><dd>{span.kind}</dd></div>}
        <div><dt>Span id</dt><dd class="mono">{span.id}</dd></div>
      </dl>
      {span.warnings.map((warning) => <p class="notice warm" key={warning}>{warning}</p>)}
      {span.events.length > 0 && (
        <div class="events">
          <h3>{plural(span.events.length, "event")}</h3>
          {span.events.map((event, i) => (
            <div key={i} class="event">
              <p><span class="mono faint">+{duration((event.at - span.start) / 1e6)}</span> <b>{event.name}</b></p>
              <Tags tags={event.fields} />
            </div>
          ))}
        </div>
      )}
      <div class="columns">
        <Tags tags={span.tags} title="Attributes" />
        <Tags tags={span.resource} title="Resource" />
      </div>
      {span.links.length > 0 && (
        <p>
          Linked to{" "}
          {span.links.map((other) => (
            <a key={other.traceID + other.spanID} class="mono" href={link(`/traces/${other.traceID}`, { span: other.spanID })}>
              {other.traceID.slice(0, 8)}/{other.spanID.slice(0, 8)}
            </a>
          ))}
        </p>
      )}
    </div>
  );
}

function Tags({ tags, title }: { tags: Tag[]; title?: string }) {
  if (tags.length === 0) return null;
  return (
    <table class="labels">
      {title !== undefined && <caption>{title}</caption>}
      <tbody>
        {tags.map((tag, i) => (
          <tr key={i}>
            <th scope="row">{tag.key}</th>
            <td class="breakable">{tagText(tag.value)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
