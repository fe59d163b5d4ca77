// A titled box.
import type { ComponentChildren } from "preact";

interface Props {
  /** Left out when the contents carry their own. */
  title: ComponentChildren;
  /** Beside the title, at the right. */
  aside?: ComponentChildren;
  busy?: boolean;
  class?: string;
  children?: ComponentChildren;
  /** For tests and for links into the page. */
  id?: string;
}

export function Panel({ title, aside, busy = false, children, id, ...rest }: Props) {
  return (
    <section class={`panel ${rest.class ?? ""}`} aria-busy={busy} id={id}>
      {title !== undefined && (
        <header class="panel-head">
          <h2>{title}</h2>
          {aside !== undefined && <div class="panel-aside">{aside}</div>}
        </header>
      )}
      {children}
    </section>
  );
}
