// Numbers that look alive and are the same in every run.

/** 0 to 1, the same for the same input. */
export function chance(...parts) {
  let hash = 2166136261;
  for (const char of parts.join("|")) hash = Math.imul(hash ^ char.codePointAt(0), 16777619);
  hash = Math.imul(hash ^ (hash >>> 15), 2246822507);
  hash = Math.imul(hash ^ (hash >>> 13), 3266489909);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

/** A slow wave with some unrest around 1. */
export function wave(name, seconds, unrest = 0.3) {
  const phase = chance(name) * 6.28;
  const slow = Math.sin(seconds / 900 + phase) * 0.35;
  const quick = Math.sin(seconds / 77 + phase * 3) * 0.15;
  const jump = (chance(name, Math.floor(seconds / 15)) - 0.5) * unrest;
  return Math.max(0, 1 + slow + quick + jump);
}

export function pick(list, ...parts) {
  return list[Math.floor(chance(...parts) * list.length)];
}

export function hex(length, ...parts) {
  let text = "";
  for (let i = 0; text.length < length; i++) {
    text += Math.floor(chance(i, ...parts) * 2 ** 32).toString(16).padStart(8, "0");
  }
  return text.slice(0, length);
}
