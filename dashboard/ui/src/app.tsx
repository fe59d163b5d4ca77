// Which page belongs to which path.
import { useEffect } from "preact/hooks";
import { Frame } from "./parts/frame";
import { Empty } from "./parts/state";
import { link, place } from "./lib/place";
import { Alerts } from "./pages/alerts";
import { Container } from "./pages/container";
import { Explore } from "./pages/explore";
import { Logs } from "./pages/logs";
import { Overview } from "./pages/overview";
import { TracePage } from "./pages/trace";
import { Traces } from "./pages/traces";

function page(path: string) {
  const traceId = /^\/traces?\/([0-9a-fA-F]{1,32})$/.exec(path)?.[1];
  if (traceId !== undefined) return { title: `Trace ${traceId.slice(0, 8)}`, body: <TracePage id={traceId.toLowerCase()} /> };
  switch (path) {
    case "/":
      return { title: "Overview", body: <Overview /> };
    case "/container":
      return { title: "Container", body: <Container /> };
    case "/logs":
      return { title: "Logs", body: <Logs /> };
    case "/traces":
      return { title: "Traces", body: <Traces /> };
    case "/alerts":
      return { title: "Alerts", body: <Alerts /> };
    // The links that Prometheus' alerts carry lead here too.
    case "/explore":
    case "/graph":
      return { title: "Explore", body: <Explore /> };
    default:
      return {
        title: "No such page",
        body: (
          <Empty title="There is no such page.">
            <a href={link("/")}>To the overview</a>
          </Empty>
        ),
      };
  }
}

export function App() {
  const { title, body } = page(place.value.path);
  useEffect(() => {
    document.title = `${title} · Binnacle`;
  }, [title]);
  return <Frame>{body}</Frame>;
}
