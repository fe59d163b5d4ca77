// Starts the page.
import { render } from "preact";
import { App } from "./app";
import { keepAlertsFresh } from "./lib/alerting";
import { followLinks } from "./lib/place";
import { applyTheme } from "./lib/theme";
import { keepRefreshing, refreshNow } from "./lib/time";
import "./style.css";

function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select") !== null;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  if (event.key === "r") refreshNow();
  if (event.key === "/") {
    const field = document.querySelector<HTMLElement>("[data-main-field]");
    if (field) {
      event.preventDefault();
      field.focus();
    }
  }
});

applyTheme();
followLinks();
keepRefreshing();
keepAlertsFresh();
const host = document.getElementById("app");
if (host) render(<App />, host);
