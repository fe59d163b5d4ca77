// Loading data into a component: cancelled when no longer wanted, kept on screen while it is asked again.
import { useEffect, useRef, useState } from "preact/hooks";

export interface Loaded<T> {
  data: T | undefined;
  /** Set while the last attempt failed; `data` is then from an earlier one, if from any. */
  error: Error | undefined;
  loading: boolean;
}

/**
 * Loads whenever `subject` or `version` changes. A new version asks for fresher data of the same thing, and the old
 * data stays visible; a new subject is another thing, and the old data goes away at once.
 */
export function useLoad<T>(
  subject: string,
  version: unknown,
  load: (cancel: AbortSignal) => Promise<T>,
): Loaded<T> {
  const [state, setState] = useState<Loaded<T> & { subject: string }>({
    data: undefined,
    error: undefined,
    loading: true,
    subject,
  });
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const cancel = new AbortController();
    setState((old) =>
      old.subject === subject
        ? { ...old, loading: true }
        : { data: undefined, error: undefined, loading: true, subject },
    );
    latest.current(cancel.signal).then(
      (data) => {
        if (!cancel.signal.aborted) setState({ data, error: undefined, loading: false, subject });
      },
      (error: unknown) => {
        if (cancel.signal.aborted) return;
        setState((old) => ({
          data: old.subject === subject ? old.data : undefined,
          error: error instanceof Error ? error : new Error(String(error)),
          loading: false,
          subject,
        }));
      },
    );
    return () => cancel.abort();
  }, [subject, version]);
  return state.subject === subject ? state : { data: undefined, error: undefined, loading: true };
}
