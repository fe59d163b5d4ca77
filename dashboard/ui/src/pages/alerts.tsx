// Alerts: what fires, what may soon, what was refused and dropped, and all rules with what they wait for.
import { useSignal } from "@preact/signals";
import { severityRank } from "../lib/alerting";
import { containerLink, containerOf, isContainer, logsLink } from "../lib/containers";
import { duration, format, plural, shortId } from "../lib/format";
import { useLoad } from "../lib/load";
import { link, param, setParams } from "../lib/place";
import { isWatchdog, rules, type Alert, type AlertState, type Rule, type RuleGroup } from "../lib/prom";
import { dateTime, now, timeWindow } from "../lib/time";
import { Losses } from "../parts/losses";
import { Panel } from "../parts/panel";
import { Empty, StateOf } from "../parts/state";

interface Active {
  rule: Rule;
  alert: Alert;
}

const STATE_RANK: Record<AlertState, number> = { firing: 0, pending: 1, inactive: 2 };

export function Alerts() {
  const load = useLoad("rules", timeWindow.value, rules);
  const groups = load.data ?? [];
  const all = groups.flatMap((g) => g.rules);
  const watchdog = all.find((r) => isWatchdog(r.name));
  const name = param("name");
  const active = all
    .filter((r) => !isWatchdog(r.name) && (name === "" || r.name === name))
    .flatMap((rule) => (rule.alerts ?? []).map((alert) => ({ rule, alert })))
    .filter(({ alert }) => alert.state !== "inactive")
    .sort(worstFirst);
  const firing = active.filter((a) => a.alert.state === "firing");
  const pending = active.filter((a) => a.alert.state === "pending");
  if (load.data === undefined) {
    return (
      <>
        <Panel title="Alerts">
          <StateOf of={load} what="The rules could not be loaded." />
        </Panel>
        <Losses key="losses" />
      </>
    );
  }
  return (
    <>
      {load.error && <p class="notice warm">Not up to date: {load.error.message}</p>}
      <Watchdog rule={watchdog} />
      {name !== "" && (
        <p class="notice">
          Only <b>{name}</b>. <a href={link("/alerts")}>Show all</a>
        </p>
      )}
      <Panel id="firing" title={<>Firing <small class="faint">{firing.length}</small></>} busy={load.loading}>
        {firing.length === 0 ? <Empty title="Nothing fires." /> : <ActiveList all={firing} />}
      </Panel>
      {pending.length > 0 && (
        <Panel id="pending" title={<>Pending <small class="faint">{pending.length}</small></>}>
          <ActiveList all={pending} />
        </Panel>
      )}
      <Losses key="losses" />
      <Rules groups={groups} name={name} />
    </>
  );
}

function worstFirst(a: Active, b: Active): number {
  const severity = (x: Active) => severityRank(x.alert.labels["severity"] ?? x.rule.labels?.["severity"]);
  return severity(a) - severity(b) || (a.alert.activeAt ?? "").localeCompare(b.alert.activeAt ?? "");
}

function since(iso: string | undefined): string {
  const ms = Date.parse(iso ?? "");
  return Number.isFinite(ms) && ms > 0 ? duration(Math.max(0, Math.round((now() - ms) / 1000))) : "";
}

/** Fires always, on purpose; only its silence is news. */
function Watchdog({ rule }: { rule: Rule | undefined }) {
  if (rule === undefined) {
    return (
      <p class="attention warm" id="watchdog">
        <span>
          <b>No watchdog.</b> No rule named Watchdog is loaded, so nothing shows that alerting works from end to end.
        </span>
      </p>
    );
  }
  const alert = rule.alerts?.find((a) => a.state === "firing");
  return (
    <p class={`attention ${alert ? "good" : "bad"}`} id="watchdog">
      {alert ? (
        <span>
          <b>Alerting works.</b> The watchdog fires, as it always should
          {since(alert.activeAt) !== "" && <>, since {since(alert.activeAt)}</>}.
        </span>
      ) : (
        <span>
          <b>The watchdog is silent.</b> It should always fire: rules are not evaluated, or this one fails
          {rule.lastError ? `: ${rule.lastError}` : ""}.
        </span>
      )}
    </p>
  );
}

function ActiveList({ all }: { all: Active[] }) {
  return (
    <ul class="alerts">
      {all.map(({ rule, alert }) => (
        <ActiveAlert key={JSON.stringify(alert.labels)} rule={rule} alert={alert} />
      ))}
    </ul>
  );
}

function ActiveAlert({ rule, alert }: Active) {
  const severity = alert.labels["severity"] ?? rule.labels?.["severity"] ?? "";
  const who = containerOf(alert.labels);
  const { summary, description, message, runbook_url: runbook, ...others } = alert.annotations;
  const text = description ?? message;
  const value = Number(alert.value);
  return (
    <li class={`alert ${alert.state} ${severityRank(severity) <= 2 ? "bad" : "warm"}`}>
      <p class="alert-head">
        <b>{rule.name}</b>
        {severity !== "" && <span class={`tag ${severityRank(severity) <= 2 ? "bad" : "warm"}`}>{severity}</span>}
        <span class="faint" title={alert.activeAt}>
          {alert.state === "pending"
            ? `pending for ${since(alert.activeAt)}${rule.duration ? `, fires after ${duration(rule.duration)}` : ""}`
            : `for ${since(alert.activeAt)}, since ${dateTime(Date.parse(alert.activeAt ?? ""))}`}
        </span>
      </p>
      {summary && <p class="summary">{summary}</p>}
      {text && text !== summary && <p class="faint">{text}</p>}
      <p class="alert-labels">
        {Object.entries(alert.labels)
          .filter(([n]) => n !== "alertname" && n !== "severity")
          .map(([n, v]) => (
            <span class="chip" key={n}>
              <span class="breakable" title={v}>
                <span class="faint">{n}</span> {shortId(v)}
              </span>
            </span>
          ))}
        {Object.entries(others).map(([n, v]) => (
          <span class="chip" key={n}>
            <span class="breakable">
              <span class="faint">{n}</span> {v}
            </span>
          </span>
        ))}
        {Number.isFinite(value) && (
          <span class="chip">
            <span>
              <span class="faint">value</span> {format(value, "number")}
            </span>
          </span>
        )}
      </p>
      <p class="actions">
        <a class="button" href={link("/explore", { expr: rule.query })}>Query</a>
        {isContainer(who) && <a class="button" href={containerLink(who)}>Container</a>}
        {isContainer(who) && <a class="button" href={logsLink(who)}>Logs</a>}
        {runbook && (
          <a class="button" href={runbook} target="_blank" rel="noreferrer noopener">
            Runbook
          </a>
        )}
      </p>
    </li>
  );
}

// ---- All rules ----

function Rules({ groups, name }: { groups: RuleGroup[]; name: string }) {
  const filter = useSignal("");
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const state = param("state");
  const matching = groups
    .map((group) => ({
      ...group,
      rules: group.rules.filter((rule) => {
        if (name !== "" && rule.name !== name) return false;
        if (state !== "" && (state === "broken" ? rule.health !== "err" : stateOf(rule) !== state)) return false;
        const text = `${rule.name} ${rule.query} ${group.name}`.toLowerCase();
        return words.every((w) => text.includes(w));
      }),
    }))
    .filter((group) => group.rules.length > 0);
  const total = groups.reduce((sum, g) => sum + g.rules.length, 0);
  const broken = groups.reduce((sum, g) => sum + g.rules.filter((r) => r.health === "err").length, 0);
  return (
    <Panel
      id="rules"
      title={<>Rules <small class="faint">{plural(total, "rule")} in {plural(groups.length, "group")}</small></>}
      aside={
        <>
          {broken > 0 && <span class="tag bad">{broken} failing to evaluate</span>}
          <select aria-label="State" value={state} onChange={(e) => setParams({ state: e.currentTarget.value }, true)}>
            <option value="">all states</option>
            <option value="firing">firing</option>
            <option value="pending">pending</option>
            <option value="inactive">inactive</option>
            <option value="broken">failing to evaluate</option>
          </select>
          <input
            type="search"
            aria-label="Filter rules"
            placeholder="Filter rules…"
            data-main-field
            value={filter}
            onInput={(e) => (filter.value = e.currentTarget.value)}
          />
        </>
      }
    >
      {total === 0 ? (
        <Empty title="No rules are loaded." />
      ) : matching.length === 0 ? (
        <Empty title="No rule matches." />
      ) : (
        matching.map((group) => (
          <section key={`${group.file} ${group.name}`} class="rule-group">
            <h3>
              {group.name} <small class="faint mono">{group.file}</small>
              {group.interval ? <small class="faint"> every {duration(group.interval)}</small> : null}
            </h3>
            {group.rules.toSorted((a, b) => STATE_RANK[stateOf(a)] - STATE_RANK[stateOf(b)]).map((rule) => (
              <RuleRow key={rule.name + rule.query} rule={rule} />
            ))}
          </section>
        ))
      )}
    </Panel>
  );
}

function stateOf(rule: Rule): AlertState {
  return rule.state ?? "inactive";
}

/** A rule's own text has holes that only an alert fills. */
function withoutTemplates(text: string | undefined): string | undefined {
  return text?.replace(/(\{\{.*?\}\})+/g, "…");
}

function RuleRow({ rule }: { rule: Rule }) {
  const state = rule.type === "recording" ? "recording" : stateOf(rule);
  const shown = isWatchdog(rule.name) && state === "firing" ? "always" : state;
  const summary = withoutTemplates(rule.annotations?.["summary"] ?? rule.annotations?.["description"]);
  return (
    <details class="rule">
      <summary>
        <span class={`tag state-${shown}`}>{shown}</span>
        <b>{rule.name}</b>
        {rule.labels?.["severity"] && <span class="faint nowrap">{rule.labels["severity"]}</span>}
        {rule.duration ? <span class="faint nowrap">for {duration(rule.duration)}</span> : null}
        {rule.health === "err" && <span class="tag bad">fails</span>}
        {summary && <span class="faint rule-summary">{summary}</span>}
      </summary>
      <pre>{rule.query}</pre>
      {rule.lastError && <p class="bad-text breakable">{rule.lastError}</p>}
      <p class="actions">
        <a class="button" href={link("/explore", { expr: rule.query })}>Query</a>
        {rule.lastEvaluation && Date.parse(rule.lastEvaluation) > 0 && (
          <span class="faint">evaluated {since(rule.lastEvaluation)} ago</span>
        )}
      </p>
    </details>
  );
}
