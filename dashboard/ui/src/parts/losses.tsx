// What was refused and dropped in the time range, by reason.
import { bytes, grouped } from "../lib/format";
import { useLoad } from "../lib/load";
import { losses } from "../lib/losses";
import { timeWindow } from "../lib/time";
import { Panel } from "./panel";
import { StateOf } from "./state";

export function Losses() {
  const { start, end } = timeWindow.value;
  const load = useLoad("losses", timeWindow.value, async (cancel) => ({ rows: await losses({ start, end }, cancel) }));
  const rows = load.data?.rows;
  return (
    <Panel id="losses" title="Refused and dropped" busy={load.loading}>
      {load.data === undefined ? (
        <StateOf of={load} what="The counters could not be loaded." />
      ) : (
        <>
          {load.error && <p class="notice warm">Not up to date: {load.error.message}</p>}
          {rows === undefined ? (
            <p class="state faint">Not known: none of Binnacle's own counters was stored in this time.</p>
          ) : rows.length === 0 ? (
            <p class="state faint">Nothing was refused or dropped in this time.</p>
          ) : (
            <div class="scroll">
              <table class="losses">
                <thead>
                  <tr>
                    <th>What</th>
                    <th>Where and why</th>
                    <th>Count</th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map((row) => (
                    <tr key={`${row.what} ${row.reason}`}>
                      <td>{row.what}</td>
                      <td class="faint">{row.reason}</td>
                      <td class="numbers">{row.isBytes ? bytes(row.count) : grouped(row.count)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </>
      )}
    </Panel>
  );
}
