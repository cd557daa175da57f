// Applying what the live stream says to the rows that a page holds.

const SPARK = 40;

/**
 * Applies a delta of "services" to rows (a Map by id). Returns "stale" when
 * something was missed, "old" when it was known, else {names, health}: whether
 * the set of names or some health changed.
 */
export function applyServices(rows, state, d) {
  if (d.seq <= state.seq) return "old";
  if (d.prev > state.seq) return "stale";
  state.seq = d.seq;
  let names = false, health = false;
  for (const id of d.gone ?? []) if (rows.delete(id)) names = true;
  for (const r of d.rows ?? []) {
    const old = rows.get(r.id);
    if (!old) { names = true; rows.set(r.id, {...r, spark: [r.rps]}); continue; }
    if (old.health !== r.health) health = true;
    Object.assign(old, r, {spark: old.spark, lower: undefined});
  }
  for (const [id, rps, p50, p99, errors, percent, flight] of d.n ?? []) {
    const r = rows.get(id);
    if (!r) continue;
    r.rps = rps; r.p50_ms = p50; r.p99_ms = p99; r.errors_per_s = errors; r.error_percent = percent; r.in_flight = flight;
  }
  const second = Math.floor(d.at / 1000), next = second !== state.second; // when much changes there are several in one
  state.second = second;
  for (const r of rows.values()) {
    const s = r.spark ??= [];
    if (!next) s.pop();
    s.push(r.rps);
    if (s.length > SPARK) s.shift();
  }
  return {names, health};
}

/** The same for "nodes"; rows is a Map by id. */
export function applyNodes(rows, state, d) {
  if (d.seq <= state.seq) return "old";
  if (d.prev > state.seq) return "stale";
  state.seq = d.seq;
  let names = false;
  for (const id of d.gone ?? []) if (rows.delete(id)) names = true;
  for (const n of d.nodes ?? []) {
    if (!rows.has(n.id)) names = true;
    rows.set(n.id, {...rows.get(n.id), ...n, lower: undefined});
  }
  for (const [id, load, flight, seen, rps, p99, errors, memory, threads, gc] of d.n ?? []) {
    const n = rows.get(id);
    if (n) Object.assign(n, {load, in_flight: flight, last_seen: seen, rps, p99_ms: p99, errors_per_s: errors, memory, threads, gc_ms: gc});
  }
  return {names, health: names};
}

/** Adds one second to columns {t, …}, dropping the first beyond max. */
export function push(series, t, values, max) {
  if (!series.t || t <= (series.t.at(-1) ?? 0)) return;
  series.t.push(t);
  for (const k of Object.keys(series)) if (k !== "t") series[k].push(values[k] ?? null);
  while (series.t.length > max) for (const k of Object.keys(series)) series[k].shift();
}

/** The part of columns {t, …} from one second to another; to 0: all. */
export function cut(series, from, to) {
  if (!to || !series.t) return series;
  const a = series.t.findIndex(x => x >= from), b = series.t.findLastIndex(x => x <= to) + 1;
  return Object.fromEntries(Object.entries(series).map(([k, v]) => [k, a < 0 ? [] : v.slice(a, b)]));
}

/** The shortest of the ranges kept that reaches back to a second. */
export const reach = (from, now) => ["5m", "15m"].find(r => now - from < parseInt(r) * 60 - 10) ?? "60m";

/** A bounded queue for what comes while the page is paused. Old ones are dropped. */
export class Held {
  constructor(max) { this.max = max; this.items = []; this.count = 0; }
  add(item) { this.items.push(item); this.count++; if (this.items.length > this.max) this.items.shift(); }
  /** How many of the first ones are gone. */
  get lost() { return this.count - this.items.length; }
  take() { const all = this.items; this.items = []; this.count = 0; return all; }
}
