// What stands in place of data: loading, nothing there, gone wrong.
import type { ComponentChildren } from "preact";
import { ApiError } from "../lib/api";
import { refreshNow } from "../lib/time";

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state" role="status">
      <p class="state-title">{title}</p>
      {children}
    </div>
  );
}

export function Failure({ error, what }: { error: Error; what: string }) {
  const known = error instanceof ApiError ? error.trouble : "failed";
  // The frame of the page already says so, once, for all parts of it.
  if (known === "unauthorized" || known === "unreachable") {
    return <p class="state faint">{known === "unreachable" ? "No answer." : "A token is needed."}</p>;
  }
  return (
    <div class="state failure" role="alert">
      <p class="state-title">{what}</p>
      <p class="mono breakable">{error.message}</p>
      {known === "failed" && (
        <button type="button" onClick={refreshNow}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading() {
  return (
    <p class="state faint loading" role="status">
      Loading…
    </p>
  );
}

/** One of the three, or nothing when there is data and no trouble. */
export function StateOf({
  of,
  what,
}: {
  of: { data: unknown; error: Error | undefined; loading: boolean };
  what: string;
}) {
  if (of.error) return <Failure error={of.error} what={what} />;
  return of.data === undefined ? <Loading /> : null;
}
