// Lines or stacked bars over time, drawn by uPlot, with a legend that follows the pointer.
import { useSignal, type Signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { format, type Unit } from "../lib/format";
import { theme } from "../lib/theme";
import { clock, dateTime, setRange, shortTime, zone } from "../lib/time";

export interface Line {
  label: string;
  values: (number | null)[];
  /** A CSS colour, `var(--…)` included; the palette's next one otherwise. */
  color?: string;
  fill?: boolean;
  dashed?: boolean;
}

interface Props {
  /** Seconds. */
  times: number[];
  lines: Line[];
  unit: Unit;
  height: number;
  /** Seconds; the time axis shows this range even where there is no data. */
  from: number;
  to: number;
  /** The value axis reaches at least up to here. */
  atLeast?: number | undefined;
  stackedBars?: boolean;
  /** Stands at the head, with the legend beside it; without a title the legend is below. */
  title?: string;
  /** After the title, faint, while the pointer is elsewhere. */
  note?: ComponentChildren;
  /** Charts with the same key share their pointer. */
  sync?: string;
  label: string;
}

export const PALETTE_SIZE = 8;

export function paletteColor(index: number): string {
  return `var(--c${(index % PALETTE_SIZE) + 1})`;
}

export function Chart(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const latest = useRef(props);
  latest.current = props;
  const pointed = useSignal<number | null>(null);
  const structure = JSON.stringify([
    props.lines.map((l) => [l.label, l.color, l.fill, l.dashed]),
    props.unit, props.height, props.stackedBars, props.sync, theme.value, zone.value,
  ]);

  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const chart = new uPlot(options(element, latest, pointed), dataOf(latest.current), element);
    plot.current = chart;
    const resize = new ResizeObserver(() => {
      const width = element.clientWidth;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height: latest.current.height });
    });
    resize.observe(element);
    return () => {
      resize.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [structure]);

  useEffect(() => {
    plot.current?.setData(dataOf(latest.current));
  }, [props.times, props.lines, props.from, props.to]);

  return (
    <figure class="chart" aria-label={props.label}>
      {props.title !== undefined && <Legend props={props} pointed={pointed} />}
      <div ref={host} class="chart-canvas" style={{ height: `${props.height}px` }} />
      {props.title === undefined && <Legend props={props} pointed={pointed} />}
    </figure>
  );
}

function Legend({ props, pointed }: { props: Props; pointed: Signal<number | null> }) {
  const at = pointed.value;
  const time = at === null ? undefined : props.times[at];
  // With no pointer: the newest value of a line, the sum of all bars.
  const resting = (values: (number | null)[]) =>
    props.stackedBars ? values.reduce<number>((sum, v) => sum + (v ?? 0), 0) : lastOf(values);
  return (
    <figcaption class={`legend ${props.title === undefined ? "" : "at-head"}`}>
      {props.title !== undefined && (
        <h2>
          {props.title} <small class="faint">{time === undefined ? props.note : shortTime(time * 1000)}</small>
        </h2>
      )}
      {props.lines.map((line, i) => (
        <span class="legend-item" key={line.label}>
          <i style={{ background: line.color ?? paletteColor(i) }} class={line.dashed ? "dashed" : ""} />
          <span class="legend-label">{line.label}</span>
          <b>{format(at === null ? resting(line.values) : line.values[at], props.unit)}</b>
        </span>
      ))}
      {props.title === undefined && time !== undefined && <span class="legend-time">{dateTime(time * 1000)}</span>}
    </figcaption>
  );
}

function lastOf(values: (number | null)[]): number | null {
  return values.findLast((v) => v !== null) ?? null;
}

function dataOf({ times, lines, stackedBars }: Props): uPlot.AlignedData {
  if (!stackedBars) return [times, ...lines.map((l) => l.values)];
  // Each line is drawn on top of the sum of those before it; the tallest is drawn first, so the order is turned.
  const sums: number[] = times.map(() => 0);
  const stacked = lines.map((line) =>
    times.map((_, i) => {
      sums[i] = (sums[i] ?? 0) + (line.values[i] ?? 0);
      return sums[i] === 0 ? null : (sums[i] ?? null);
    }),
  );
  return [times, ...stacked.reverse()];
}

/** The value of `var(--name)` in the current theme; a canvas can't look it up itself. */
function resolve(color: string, styles: CSSStyleDeclaration): string {
  const name = /^var\((--[\w-]+)\)$/.exec(color)?.[1];
  return name === undefined ? color : styles.getPropertyValue(name).trim();
}

const WHOLE_STEPS = Array.from({ length: 14 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();
const BINARY_STEPS = Array.from({ length: 52 }, (_, i) => 2 ** i);

function options(
  element: HTMLElement,
  latest: { current: Props },
  pointed: Signal<number | null>,
): uPlot.Options {
  const { lines, unit, height, stackedBars, sync } = latest.current;
  const styles = getComputedStyle(document.documentElement);
  const color = (name: string) => styles.getPropertyValue(name).trim();
  const grid = { stroke: color("--line-faint"), width: 1 };
  const axis = { stroke: color("--text-faint"), font: "11px system-ui, sans-serif", grid, ticks: { show: false } };
  const drawn = lines.map((line, i): uPlot.Series => {
    const stroke = resolve(line.color ?? paletteColor(i), styles);
    if (stackedBars) {
      const bars = uPlot.paths.bars?.({ size: [0.8, 40], align: 1 });
      return { label: line.label, stroke, fill: stroke, width: 0, points: { show: false }, ...(bars && { paths: bars }) };
    }
    return {
      label: line.label,
      stroke,
      width: 1.5,
      spanGaps: false,
      ...(line.fill ? { fill: `${stroke}22` } : {}),
      ...(line.dashed ? { dash: [5, 4] } : {}),
      points: { size: 4, fill: stroke },
    };
  });
  return {
    width: element.clientWidth || 300,
    height,
    padding: [8, 6, 0, 0],
    legend: { show: false },
    tzDate: (seconds) => (zone.value === "utc" ? uPlot.tzDate(new Date(seconds * 1e3), "Etc/UTC") : new Date(seconds * 1e3)),
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: true, y: false, setScale: false },
      ...(sync === undefined ? {} : { sync: { key: sync, setSeries: false, scales: ["x", null] } }),
    },
    scales: {
      x: { time: true, range: () => [latest.current.from, latest.current.to] },
      y: {
        range: (_u, least, most) => {
          const { atLeast } = latest.current;
          const low = Math.min(0, least ?? 0);
          const high = Math.max(most ?? 0, atLeast ?? 0);
          if (high === low) return [low, low + 1];
          return [low < 0 ? low * 1.05 : 0, high === atLeast ? high : high + (high - low) * 0.08];
        },
      },
    },
    axes: [
      { ...axis, size: 24, space: 70, values: (_u, splits, _axis, _space, step) => splits.map((s, i) => timeLabel(s, step, splits[i - 1])) },
      {
        ...axis,
        size: 58,
        space: 26,
        values: (_u, splits) => splits.map((v) => format(v, unit)),
        ...(unit === "bytes" || unit === "bytes/s" ? { incrs: BINARY_STEPS } : unit === "count" ? { incrs: WHOLE_STEPS } : {}),
      },
    ],
    series: [{}, ...(stackedBars ? drawn.reverse() : drawn)],
    hooks: {
      setCursor: [
        (u) => {
          pointed.value = u.cursor.idx ?? null;
        },
      ],
      setSelect: [
        (u) => {
          const { left, width } = u.select;
          if (width < 4) return;
          const from = u.posToVal(left, "x") * 1000;
          const to = u.posToVal(left + width, "x") * 1000;
          u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
          if (to - from >= 1000) setRange({ from, to });
        },
      ],
    },
  };
}

/** The clock, or the day where a new one begins or the steps are days. */
function timeLabel(seconds: number, step: number, before: number | undefined): string {
  const text = dateTime(seconds * 1000);
  const newDay = before !== undefined && dateTime(before * 1000).slice(0, 10) !== text.slice(0, 10);
  if (step >= 86400 || newDay) return text.slice(5, 10);
  return step < 60 ? clock(seconds * 1000) : text.slice(11, 16);
}
