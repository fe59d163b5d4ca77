// Numbers for people: three significant digits, a unit, no surprises.

export type Unit = "bytes" | "bytes/s" | "percent" | "cores" | "seconds" | "count" | "number";

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const DECIMAL = ["", "k", "M", "G", "T", "P"];

function digits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return trimmed(value.toFixed(1));
  if (size >= 1) return trimmed(value.toFixed(2));
  return String(Number(value.toPrecision(2)));
}

function trimmed(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

function scaled(value: number, base: number, names: string[]): [number, string] {
  let step = 0;
  while (Math.abs(value) >= base * 0.9995 && step < names.length - 1) {
    value /= base;
    step++;
  }
  return [value, names[step] ?? ""];
}

export function bytes(value: number): string {
  const [scaledValue, unit] = scaled(value, 1024, BINARY);
  return `${unit === "B" ? Math.round(scaledValue) : digits(scaledValue)} ${unit}`;
}

export function count(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 10000) return String(value);
  const [scaledValue, unit] = scaled(value, 1000, DECIMAL);
  return `${digits(scaledValue)}${unit}`;
}

export function grouped(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Seconds to "3d 4h", "12m 5s", "350 ms", "12 µs". */
export function duration(seconds: number): string {
  const size = Math.abs(seconds);
  if (size === 0) return "0 s";
  if (size < 1e-3) return `${digits(seconds * 1e6)} µs`;
  if (size < 1) return `${digits(seconds * 1e3)} ms`;
  if (size < 60) return `${digits(seconds)} s`;
  const whole = Math.round(size);
  const parts: [number, string][] = [
    [Math.floor(whole / 86400), "d"],
    [Math.floor(whole / 3600) % 24, "h"],
    [Math.floor(whole / 60) % 60, "m"],
    [whole % 60, "s"],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  const text = parts.slice(first, first + 2).filter(([n]) => n > 0).map(([n, unit]) => `${n}${unit}`);
  return (seconds < 0 ? "−" : "") + text.join(" ");
}

export function format(value: number | null | undefined, unit: Unit): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  switch (unit) {
    case "bytes":
      return bytes(value);
    case "bytes/s":
      return `${bytes(value)}/s`;
    case "percent":
      return `${digits(value)} %`;
    case "seconds":
      return duration(value);
    case "cores":
      return value > 0 && value < 0.001 ? "<0.001" : digits(value);
    case "count":
      return count(value);
    case "number":
      return Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? count(value) : digits(value);
  }
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${grouped(n)} ${n === 1 ? one : many}`;
}

export function shortId(id: string): string {
  return /^[0-9a-f]{16,}$/.test(id) ? id.slice(0, 12) : id;
}
