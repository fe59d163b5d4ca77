// Rules and alerts of the mock.
import { NODE, lives } from "./metrics.js";

const pick = (name, life = 0) => lives.filter((l) => l.labels.container === name).at(life).labels;

export function groups(nowMs) {
  const ago = (seconds) => new Date(nowMs - seconds * 1000).toISOString();
  const rule = (name, severity, query, duration, summary, alerts = []) => ({
    type: "alerting", name, query, duration, labels: { severity }, annotations: { summary }, health: "ok", lastError: "",
    lastEvaluation: ago(7), evaluationTime: 0.0012,
    state: alerts.some((a) => a.state === "firing") ? "firing" : alerts.length > 0 ? "pending" : "inactive",
    alerts: alerts.map((a) => ({ ...a, labels: { alertname: name, severity, ...a.labels } })),
  });
  const who = ({ namespace, pod, container, container_id, node }) => ({ namespace, pod, container, container_id, node });
  const payments = who(pick("payments", 2));
  const catalog = who(pick("catalog"));
  const cart = who(pick("cart"));
  return [
    {
      name: "containers", file: "built-in/containers.yml", interval: 15,
      rules: [
        rule("ContainerOomKilled", "critical", "increase(container_oom_events_total[10m]) > 0", 0, "A container was killed for memory", [
          { state: "firing", activeAt: ago(480), value: "1e+00", labels: payments, annotations: { summary: `${payments.pod}/payments was killed for memory`, description: "The kernel killed it at its limit of 256 MiB. Raise the limit, or find what grows.", runbook_url: "https://runbooks.example/oom" } },
        ]),
        rule("ContainerCpuThrottled", "warning", "rate(container_cpu_cfs_throttled_periods_total[5m]) / rate(container_cpu_cfs_periods_total[5m]) > 0.25", 600, "A container is throttled", [
          { state: "firing", activeAt: ago(5400), value: "0.46", labels: catalog, annotations: { summary: `${catalog.pod}/catalog is throttled in 46 % of its periods` } },
        ]),
        rule("ContainerMemoryNearLimit", "warning", "container_memory_working_set_bytes / (container_spec_memory_limit_bytes > 0) > 0.9", 300, "A container's memory is near its limit", [
          { state: "pending", activeAt: ago(95), value: "0.92", labels: cart, annotations: { summary: `${cart.pod}/cart uses 92 % of its memory limit` } },
        ]),
      ],
    },
    {
      name: "node", file: "built-in/node.yml", interval: 15,
      rules: [
        rule("DiskFillingUp", "warning", "predict_linear(node_filesystem_avail_bytes[6h], 24 * 3600) < 0", 1800, "A file system will be full within a day", [
          { state: "firing", activeAt: ago(13000), value: "-4.1e+09", labels: { node: NODE, mountpoint: "/var/lib/data", device: "/dev/vdb" }, annotations: { summary: "/var/lib/data on edge-7 will be full within a day" } },
        ]),
        rule("AgentSilent", "critical", "time() - max by (node) (timestamp(node_load1)) > 120", 60, "A node's agent sends nothing"),
        rule("TargetDown", "warning", "up == 0", 300, "A scrape target is down"),
      ],
    },
    {
      name: "binnacle", file: "built-in/binnacle.yml", interval: 15,
      rules: [
        rule("BinnacleWritesFail", "critical", "rate(binnacle_write_failures_total[5m]) > 0", 60, "Binnacle refuses writes"),
        { ...rule("BinnacleQueriesSlow", "warning", "histogram_quantile(0.99, rate(binnacle_query_seconds_bucket[5m])) > 10", 600, "Queries are slow"), health: "err", lastError: "the bucket label le is missing on 3 series" },
        { type: "recording", name: "node:cpu_busy:ratio", query: '1 - avg by (node) (rate(node_cpu_seconds_total{mode="idle"}[2m]))', health: "ok", lastEvaluation: ago(7) },
        rule("Watchdog", "none", "vector(1)", 0, "Always fires, to show that alerting works", [{ state: "firing", activeAt: ago(86400 * 3), value: "1e+00", labels: {}, annotations: { summary: "Always fires" } }]),
      ],
    },
  ];
}
