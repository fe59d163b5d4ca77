// Asking the collector: one origin, one token, one kind of error.
import { signal } from "@preact/signals";
import { learnServerTime, refreshNow } from "./time";

const TOKEN_KEY = "binnacle.token";

/** Whether the server asked for a token: "missing" at first, "refused" when the one we have is wrong. */
export const tokenWanted = signal<"" | "missing" | "refused">("");

/** Whether the last request got no answer at all. */
export const unreachable = signal(false);

let token = readToken();

function readToken(): string {
  try {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  } catch {
    return "";
  }
}

export function useToken(value: string): void {
  token = value.trim();
  try {
    sessionStorage.setItem(TOKEN_KEY, token);
  } catch {
    // Kept in memory then, until the page is loaded again.
  }
  tokenWanted.value = "";
  refreshNow();
}

export type Trouble = "unreachable" | "unauthorized" | "rejected" | "failed";

export class ApiError extends Error {
  readonly trouble: Trouble;
  constructor(trouble: Trouble, message: string) {
    super(message);
    this.trouble = trouble;
  }
}

/** What stands in an answer that is not a success: Prometheus', Loki's and Jaeger's shapes, or plain text. */
function explain(status: number, body: string): string {
  try {
    const json: unknown = JSON.parse(body);
    if (typeof json === "object" && json !== null) {
      const { error, message, errors } = json as { error?: unknown; message?: unknown; errors?: { msg?: unknown }[] };
      for (const text of [error, message, errors?.[0]?.msg]) {
        if (typeof text === "string" && text !== "") return text;
      }
    }
  } catch {
    // Not JSON, so it is shown as it is.
  }
  const text = body.trim();
  return text === "" || text.startsWith("<") ? `The server answered with status ${status}.` : text.slice(0, 500);
}

const PATIENCE_MS = 60_000;

export async function get<T>(
  path: string,
  params: Record<string, string | number | undefined>,
  cancel: AbortSignal,
  headers: Record<string, string> = {},
): Promise<T> {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined) query.set(name, String(value));
  }
  const sent = token;
  let response: Response;
  let body: string;
  try {
    response = await fetch(`${path}?${query}`, {
      headers: { Accept: "application/json", ...headers, ...(sent === "" ? {} : { Authorization: `Bearer ${sent}` }) },
      signal: AbortSignal.any([cancel, AbortSignal.timeout(PATIENCE_MS)]),
    });
    body = await response.text();
  } catch (error) {
    if (cancel.aborted) throw error;
    if (error instanceof DOMException && error.name === "TimeoutError") {
      throw new ApiError("failed", "No answer within a minute. A shorter time range may help.");
    }
    unreachable.value = true;
    throw new ApiError("unreachable", "No answer from Binnacle.");
  }
  unreachable.value = false;
  learnServerTime(response.headers.get("Date"));
  if (response.status === 401) {
    // Another request may have brought a new token meanwhile; then this answer is old news.
    if (sent === token) tokenWanted.value = sent === "" ? "missing" : "refused";
    throw new ApiError("unauthorized", "A token is needed.");
  }
  if (!response.ok) {
    throw new ApiError(response.status < 500 ? "rejected" : "failed", explain(response.status, body));
  }
  try {
    return JSON.parse(body) as T;
  } catch {
    throw new ApiError("failed", `${path} answered with something that is not JSON.`);
  }
}
