// Dark and light: the system's choice unless the reader made one.
import { computed, effect, signal } from "@preact/signals";
import { remembered } from "./remember";

/** "system", "dark" or "light". */
export const chosenTheme = remembered("theme", "system");

const darkSystem = matchMedia("(prefers-color-scheme: dark)");
const systemIsDark = signal(darkSystem.matches);
darkSystem.addEventListener("change", (event) => {
  systemIsDark.value = event.matches;
});

export const theme = computed<"dark" | "light">(() => {
  const chosen = chosenTheme.value;
  if (chosen === "dark" || chosen === "light") return chosen;
  return systemIsDark.value ? "dark" : "light";
});

export function applyTheme(): void {
  effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
  });
}

export function switchTheme(): void {
  const other = theme.value === "dark" ? "light" : "dark";
  // Choosing what the system has means following the system again.
  chosenTheme.value = (other === "dark") === systemIsDark.value ? "system" : other;
}
