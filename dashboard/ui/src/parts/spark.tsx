// A line without axes, for a table's cell.

/** `top` is the value at the upper edge; the largest value when there is none. */
export function Spark({ values, top, label }: { values: (number | null)[]; top?: number | undefined; label: string }) {
  const most = Math.max(top ?? 0, ...values.map((v) => v ?? 0)) || 1;
  const last = Math.max(values.length - 1, 1);
  let path = "";
  let area = "";
  let begin = -1;
  const at = (i: number) => ((i / last) * 100).toFixed(1);
  values.forEach((value, i) => {
    const next = values[i + 1];
    if (value === null) return;
    const point = `${at(i)} ${(20 - (value / most) * 19).toFixed(1)}`;
    if (begin < 0) {
      begin = i;
      path += `M${point}`;
      area += `M${at(i)} 20L${point}`;
    } else {
      path += `L${point}`;
      area += `L${point}`;
    }
    if (next === null || next === undefined) {
      // A lone point would be invisible.
      if (begin === i) path += "h0.6";
      area += `L${at(i)} 20Z`;
      begin = -1;
    }
  });
  return (
    <svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="spark-area" d={area} />
      <path class="spark-line" d={path} />
    </svg>
  );
}

/** How much of a whole is used; the colour says when that is a lot. */
export function Meter({ share, label }: { share: number; label: string }) {
  const percent = Math.max(0, Math.min(1, share)) * 100;
  const level = share >= 0.9 ? "bad" : share >= 0.75 ? "warm" : "";
  return (
    <div class={`meter ${level}`} role="img" aria-label={label}>
      <i style={{ width: `${percent}%` }} />
    </div>
  );
}
