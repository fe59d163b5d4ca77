// A stream selector put together from labels and values that exist.
import { useSignal } from "@preact/signals";
import { useLoad } from "../lib/load";
import { labelNames, labelValues, parseSelector, writeSelector, type Matcher } from "../lib/loki";
import { timeWindow } from "../lib/time";

const OPS: [Matcher["op"], string][] = [
  ["=", "is"],
  ["!=", "is not"],
  ["=~", "matches"],
  ["!~", "does not match"],
];

interface Props {
  query: string;
  onChange: (query: string) => void;
}

export function Selector({ query, onChange }: Props) {
  const parsed = query.trim() === "" ? { matchers: [], rest: "" } : parseSelector(query);
  const name = useSignal("");
  const op = useSignal<Matcher["op"]>("=");
  const value = useSignal("");
  const { start, end } = timeWindow.value;
  const names = useLoad("names", `${Math.round(start / 60e3)}`, (cancel) => labelNames(start, end, cancel));
  const values = useLoad(name.value, `${Math.round(start / 60e3)}`, (cancel) =>
    name.value === "" ? Promise.resolve([]) : labelValues(name.value, start, end, cancel),
  );
  if (parsed === undefined) {
    return <p class="faint small">This query has no plain selector, so it can be changed below only.</p>;
  }
  const { matchers, rest } = parsed;
  const write = (changed: Matcher[]) => onChange(changed.length === 0 && rest === "" ? "" : writeSelector(changed, rest));
  const add = (chosen: string) => {
    if (name.value === "" || chosen === "") return;
    write([...matchers, { name: name.value, op: op.value, value: chosen }]);
    name.value = "";
    value.value = "";
    op.value = "=";
  };
  const exact = op.value === "=" || op.value === "!=";
  return (
    <div class="row selector" role="group" aria-label="Stream filters">
      {matchers.map((m, i) => (
        <span class="chip" key={`${m.name}${m.op}${m.value}`}>
          <span>
            {m.name} <span class="faint">{OPS.find(([o]) => o === m.op)?.[1]}</span> <b title={m.value}>{m.value}</b>
          </span>
          <button type="button" aria-label={`Remove ${m.name}`} onClick={() => write(matchers.filter((_, j) => j !== i))}>
            ×
          </button>
        </span>
      ))}
      <select
        aria-label="Label to filter by"
        value={name}
        onChange={(e) => {
          name.value = e.currentTarget.value;
          value.value = "";
        }}
      >
        <option value="">{names.error ? "labels can't be loaded" : "+ filter by label…"}</option>
        {(names.data ?? []).map((n) => (
          <option key={n} value={n}>
            {n}
          </option>
        ))}
      </select>
      {name.value !== "" && (
        <>
          <select aria-label="How to compare" value={op} onChange={(e) => (op.value = e.currentTarget.value as Matcher["op"])}>
            {OPS.map(([o, words]) => (
              <option key={o} value={o}>
                {words}
              </option>
            ))}
          </select>
          {exact ? (
            <select aria-label="Value" value="" onChange={(e) => add(e.currentTarget.value)}>
              <option value="">{values.data === undefined ? "Loading…" : `${values.data.length} values…`}</option>
              {(values.data ?? []).map((v) => (
                <option key={v} value={v}>
                  {v}
                </option>
              ))}
            </select>
          ) : (
            <>
              <input
                aria-label="Regular expression"
                placeholder="regular expression"
                class="mono"
                value={value}
                onInput={(e) => (value.value = e.currentTarget.value)}
                onKeyDown={(e) => {
                  if (e.key !== "Enter") return;
                  e.preventDefault();
                  add(value.value);
                }}
              />
              <button type="button" onClick={() => add(value.value)}>
                Add
              </button>
            </>
          )}
          <button type="button" class="quiet" onClick={() => (name.value = "")}>
            Cancel
          </button>
        </>
      )}
    </div>
  );
}
