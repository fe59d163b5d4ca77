// What surrounds every page: navigation, time range, theme, and what concerns all of it.
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { tokenWanted, unreachable, useToken } from "../lib/api";
import { firing } from "../lib/alerting";
import { link, place, setParams } from "../lib/place";
import { switchTheme, theme } from "../lib/theme";
import { QUICK_RANGES, REFRESH_CHOICES, describe, fromInput, parseDuration, range, rangeIsBad, refresh, refreshNow, setRange, timeWindow, toInput, zone, zoneName } from "../lib/time";

const PAGES = [
  ["/", "Overview"],
  ["/logs", "Logs"],
  ["/traces", "Traces"],
  ["/alerts", "Alerts"],
  ["/explore", "Explore"],
] as const;

function isHere(page: string): boolean {
  const { path } = place.value;
  if (page === "/") return path === "/" || path === "/container";
  return path === page || path.startsWith(`${page}/`);
}

export function Frame({ children }: { children: ComponentChildren }) {
  return (
    <>
      <a class="skip" href="#main" onClick={skipToMain}>
        Skip to content
      </a>
      <header class="top">
        <a class="brand" href={link("/")}>
          <img src="/favicon.svg" alt="" width="22" height="22" />
          <span>Binnacle</span>
        </a>
        <nav aria-label="Pages">
          {PAGES.map(([path, name]) => (
            <a key={path} href={link(path)} aria-current={isHere(path) ? "page" : undefined}>
              {name}
              {path === "/alerts" && <FiringBadge />}
            </a>
          ))}
        </nav>
        <div class="top-right">
          <RangePicker />
          <RefreshPicker />
          <button
            type="button"
            class="quiet"
            onClick={switchTheme}
            title={`Switch to ${theme.value === "dark" ? "light" : "dark"}`}
            aria-label={`Switch to ${theme.value === "dark" ? "light" : "dark"} theme`}
            id="theme"
          >
            {theme.value === "dark" ? "☀" : "☾"}
          </button>
        </div>
      </header>
      {unreachable.value && (
        <p class="notice bad" role="alert">
          Binnacle does not answer. What you see may be old; it is asked again with every refresh.
          <button type="button" onClick={refreshNow}>
            Ask now
          </button>
        </p>
      )}
      {rangeIsBad.value && (
        <p class="notice warm" role="alert">
          The time range in the address can't be read, so this is the last hour.
        </p>
      )}
      {tokenWanted.value === "" ? (
        <main id="main" tabIndex={-1}>
          {children}
        </main>
      ) : (
        <TokenForm refused={tokenWanted.value === "refused"} />
      )}
    </>
  );
}

function skipToMain(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

function FiringBadge() {
  const count = firing.value;
  return count === undefined || count === 0 ? null : (
    <span class="badge bad" aria-label={`${count} firing`}>
      {count}
    </span>
  );
}

function RangePicker() {
  const open = useSignal(false);
  const from = useSignal("");
  const to = useSignal("");
  const custom = useSignal("");
  const wrong = useSignal("");
  const box = useRef<HTMLDivElement>(null);
  const close = (focus: boolean) => {
    open.value = false;
    if (focus) box.current?.querySelector<HTMLElement>("button")?.focus();
  };
  useEffect(() => {
    const outside = (event: Event) => {
      if (event.target instanceof Node && !box.current?.contains(event.target)) close(false);
    };
    document.addEventListener("pointerdown", outside);
    return () => document.removeEventListener("pointerdown", outside);
  }, []);
  const toggle = () => {
    from.value = toInput(timeWindow.value.start);
    to.value = toInput(timeWindow.value.end);
    custom.value = "";
    wrong.value = "";
    open.value = !open.value;
  };
  const choose = (text: string) => {
    setRange(text);
    close(true);
  };
  const applyAbsolute = (event: Event) => {
    event.preventDefault();
    const [start, end] = [fromInput(from.value), fromInput(to.value)];
    if (start === undefined || end === undefined) wrong.value = "Both times are needed.";
    else if (start >= end) wrong.value = "The start has to be before the end.";
    else {
      setRange({ from: start, to: end });
      close(true);
    }
  };
  const applyCustom = (event: Event) => {
    event.preventDefault();
    if (parseDuration(custom.value) === undefined) wrong.value = "Write it like 90m, 36h or 10d.";
    else choose(custom.value.trim());
  };
  const current = range.value;
  return (
    <div class="picker" ref={box} onKeyDown={(e) => e.key === "Escape" && close(true)}>
      <button type="button" aria-expanded={open.value} aria-haspopup="dialog" onClick={toggle} id="range" title="Time range">
        {describe(current)}
        <span class="faint"> {zoneName()} ▾</span>
      </button>
      {open.value && (
        <div class="popup" role="dialog" aria-label="Time range">
          <div class="quick">
            {QUICK_RANGES.map((text) => (
              <button
                key={text}
                type="button"
                class={current.kind === "relative" && current.text === text ? "chosen" : ""}
                onClick={() => choose(text)}
              >
                {text}
              </button>
            ))}
          </div>
          <form onSubmit={applyCustom} class="row">
            <label class="grow">
              Last
              <input value={custom} onInput={(e) => (custom.value = e.currentTarget.value)} placeholder="90m" size={6} />
            </label>
            <button type="submit">Set</button>
          </form>
          <form onSubmit={applyAbsolute} class="stack">
            <label>
              From
              <input type="datetime-local" step={1} value={from} onInput={(e) => (from.value = e.currentTarget.value)} />
            </label>
            <label>
              To
              <input type="datetime-local" step={1} value={to} onInput={(e) => (to.value = e.currentTarget.value)} />
            </label>
            <button type="submit">Apply</button>
          </form>
          {wrong.value !== "" && (
            <p class="bad-text" role="alert">
              {wrong}
            </p>
          )}
          <label class="row">
            <input
              type="checkbox"
              checked={zone.value === "utc"}
              onChange={(e) => {
                zone.value = e.currentTarget.checked ? "utc" : "local";
                from.value = toInput(timeWindow.value.start);
                to.value = toInput(timeWindow.value.end);
              }}
            />
            Show times in UTC
          </label>
        </div>
      )}
    </div>
  );
}

function RefreshPicker() {
  const still = range.value.kind === "absolute";
  return (
    <div class="joined">
      <button type="button" onClick={refreshNow} title="Refresh now (r)" aria-label="Refresh now" id="refresh">
        ↻
      </button>
      <select
        aria-label="Refresh interval"
        title={still ? "A fixed range does not move" : "Refresh interval"}
        disabled={still}
        value={still ? "off" : refresh.value}
        onChange={(e) => setParams({ refresh: e.currentTarget.value }, true)}
      >
        {REFRESH_CHOICES.map((choice) => (
          <option key={choice} value={choice}>
            {choice}
          </option>
        ))}
      </select>
    </div>
  );
}

function TokenForm({ refused }: { refused: boolean }) {
  const value = useSignal("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    if (value.value.trim() !== "") useToken(value.value);
  };
  return (
    <main class="token" id="main">
      <form onSubmit={submit} class="panel">
        <h1>This Binnacle asks for a token</h1>
        <p>
          A token with the right to read is enough. It stays in this browser tab and goes nowhere but to{" "}
          <span class="mono">{location.host}</span>.
        </p>
        {refused && (
          <p class="bad-text" role="alert">
            That token was refused.
          </p>
        )}
        <label class="stack">
          Token
          <input
            ref={field}
            type="password"
            name="token"
            autoComplete="off"
            value={value}
            onInput={(e) => (value.value = e.currentTarget.value)}
          />
        </label>
        <button type="submit" class="main">
          Continue
        </button>
      </form>
    </main>
  );
}
