// Runs before the first paint, so that a chosen theme does not flash in from the other one.
try {
  var chosen = localStorage.getItem("binnacle.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch (e) {
  // Storage may be forbidden; the system's theme is used then.
}
