// Two versions of a service beside each other.

/** What stands in addresses for a version that is empty. */
export const noVersion = "-";
export const versionKey = v => v === "" ? noVersion : v;

/** How many calls a version must have had before a difference is called one. */
export const ENOUGH = 20;

const find = (all, key) => key ? all.find(v => v.version === key) ?? all.find(v => versionKey(v.version) === key) : undefined;

/**
 * The methods of two versions: {note, endpoints: [{name, a, b}]}, where a version
 * without the method is null. over is minute or life.
 */
export function compare(versions, a, b, over) {
  const x = find(versions, a), y = find(versions, b), none = note => ({note, endpoints: []});
  if (versions.length < 2) return none("Only one version runs at the moment.");
  if (!a || !b) return none("Choose two versions.");
  if (!x || !y) return none(`No node runs ${x ? b : a}.`);
  if (x === y) return none("Choose two different versions.");
  const by = new Map();
  for (const [side, v] of [["a", x], ["b", y]]) for (const e of v.endpoints) by.set(e.name, {...by.get(e.name) ?? {name: e.name, a: null, b: null}, [side]: e[over] ?? null});
  return {note: "", endpoints: [...by.values()].sort((p, q) => p.name < q.name ? -1 : 1)};
}

/** The rows of a comparison: [key, name, unit]. */
export const measures = [["rps", "Req/s", ""], ["error_percent", "Errors", " %"], ["p50_ms", "p50", " ms"], ["p95_ms", "p95", " ms"], ["p99_ms", "p99", " ms"]];

/**
 * The difference of two numbers: {by, percent, word, worse}. by is null where one
 * is not known. word is empty unless both have had enough calls and the
 * difference is one tenth, or one point of a hundred.
 */
export function difference(key, a, b) {
  const x = a?.[key], y = b?.[key];
  if (x == null || y == null) return {by: null, percent: null, word: "", worse: false};
  const by = y - x, percent = key !== "error_percent" && x > 0 ? by / x * 100 : null;
  const enough = Math.min(a.calls, b.calls) >= ENOUGH, much = key === "error_percent" ? Math.abs(by) >= 1 : percent !== null && Math.abs(percent) >= 10;
  const worse = by > 0;
  let word = "";
  if (enough && much && key === "error_percent") word = worse ? "more fail" : "fewer fail";
  else if (enough && much && key.endsWith("_ms")) word = worse ? "slower" : "faster";
  return {by, percent, word, worse};
}

/** A number with its sign, by a function that writes numbers without. */
export const signed = (v, write) => v == null ? write(v) : v === 0 ? "±0" : (v > 0 ? "+" : "−") + write(Math.abs(v));
