// Choices that outlive the page: signals kept in the browser's storage, or in memory where that is forbidden.
import { effect, signal, type Signal } from "@preact/signals";

export function remembered(name: string, initial: string): Signal<string> {
  const key = `binnacle.${name}`;
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(key);
  } catch {
    // Forbidden storage only means that nothing is remembered.
  }
  const choice = signal(stored ?? initial);
  effect(() => {
    const value = choice.value;
    try {
      if (value === initial) localStorage.removeItem(key);
      else localStorage.setItem(key, value);
    } catch {
      // As above.
    }
  });
  return choice;
}
