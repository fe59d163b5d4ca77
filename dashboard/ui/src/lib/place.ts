// Where the reader is: path and query of the address bar as a signal, and ways to move.
//
// The address is the only state that matters: back, forward, reload and a pasted link all show the same thing.
import { signal } from "@preact/signals";

export interface Place {
  path: string;
  params: URLSearchParams;
}

export type Params = Record<string, string | number | undefined>;

/** Parameters of the time range, which every link keeps. */
const TIME_PARAMS = ["range", "from", "to", "refresh"];

export const place = signal<Place>(read());

function read(): Place {
  return { path: location.pathname.replace(/\/+$/, "") || "/", params: new URLSearchParams(location.search) };
}

/** The address of a page with these parameters and the current time range; `undefined` and "" are left out. */
export function link(path: string, params: Params = {}): string {
  const all = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== "") all.set(name, String(value));
  }
  // An absolute range in the parameters replaces a relative one of the address, and the other way round.
  const ownTime = TIME_PARAMS.some((name) => name !== "refresh" && all.has(name));
  for (const name of TIME_PARAMS) {
    const value = place.value.params.get(name);
    if (value !== null && !all.has(name) && (name === "refresh" || !ownTime)) all.set(name, value);
  }
  const query = all.toString();
  return query === "" ? path : `${path}?${query}`;
}

export function go(address: string, replace = false): void {
  const target = new URL(address, location.href);
  if (target.href === location.href) replace = true;
  history[replace ? "replaceState" : "pushState"](null, "", target);
  const moved = target.pathname.replace(/\/+$/, "") !== place.value.path.replace(/\/+$/, "");
  place.value = read();
  if (moved) window.scrollTo(0, 0);
}

/** Changes parameters of the current page; `undefined` and "" remove one. */
export function setParams(changes: Params, replace = false): void {
  const params = new URLSearchParams(place.value.params);
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined || value === "") params.delete(name);
    else params.set(name, String(value));
  }
  const query = params.toString();
  go(query === "" ? place.value.path : `${place.value.path}?${query}`, replace);
}

export function param(name: string): string {
  return place.value.params.get(name) ?? "";
}

/** Turns clicks on links to our own pages into moves without loading; everything else is left to the browser. */
export function followLinks(): void {
  window.addEventListener("popstate", () => {
    place.value = read();
  });
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const anchor = event.target instanceof Element ? event.target.closest("a") : null;
    if (!anchor || anchor.target !== "" || anchor.origin !== location.origin || anchor.hasAttribute("download")) return;
    event.preventDefault();
    go(anchor.href);
  });
}
