// The services, as every page knows them: the Line, the counts of the rail and
// the page Services read this one store.
import {signal, computed, batch} from "./view.js";
import {page, boot, getJSON} from "./state.js";
import {listen, bus, resync} from "./live.js";
import {applyServices, push} from "../core/live.js";
import {sorted, rank} from "../core/filter.js";

export const rows = new Map();
const state = {seq: 0, full: false};
export const tick = signal(0);        // numbers changed
export const shape = signal(0);       // names or health changed
export const totals = signal(null);
export const complete = signal(false); // whether all rows are here
export const series = {t: [], rps: [], p99_ms: []};

/** All rows, worst first, for the Line; those that are not here have no name. */
export const worst = computed(() => { shape.value; return sorted([...rows.values(), ...unseen()], "health", 1); });
function unseen() {
  const t = complete.value ? null : totals.peek(), n = {};
  for (const r of rows.values()) n[r.health] = (n[r.health] ?? 0) + 1;
  return !t ? [] : ["down", "degraded", "starting", "stale", "ok"].flatMap(health => Array.from({length: Math.max(0, (t[health] ?? 0) - (n[health] ?? 0))}, () => ({name: "", health})));
}
export const unhealthy = () => worst.value.filter(r => rank(r.health) < 2);

/** Takes the data of the page Services. */
export function take(d) {
  const all = d.rows.length >= (d.totals?.services ?? 0);
  batch(() => {
    if (all) rows.clear();
    for (const r of d.rows) { const old = rows.get(r.id); rows.set(r.id, {...r, spark: r.spark ?? old?.spark ?? []}); }
    state.seq = d.seq;
    state.full = all;
    complete.value = all;
    totals.value = d.totals;
    if (d.bus) bus.value = d.bus;
    if (d.series?.t) for (const k of Object.keys(series)) series[k] = [...(d.series[k] ?? [])];
    shape.value++; tick.value++;
  });
  if (!all && page.value.name === "services" && (used || location.search)) setTimeout(rest);
}

// The first page of data leaves out rows that are out of sight. They are fetched
// once somebody uses the page Services.
let used = false;
for (const kind of ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "input", "focusin"]) {
  addEventListener(kind, () => {
    if (page.value.name !== "services") return;
    used = true;
    if (!complete.value && state.seq) rest();
  }, {capture: true, passive: true});
}

let fetching = false;
/** Fetches the rows that the first page of data leaves out. */
async function rest() {
  if (fetching) return;
  fetching = true;
  try {
    const d = await getJSON("/services?limit=0&spark=0");
    batch(() => {
      const had = new Map([...rows].map(([id, r]) => [id, r.spark]));
      rows.clear();
      for (const r of d.rows) rows.set(r.id, {...r, spark: r.spark?.length ? r.spark : had.get(r.id) ?? []});
      state.seq = d.seq;
      state.full = true;
      complete.value = true;
      totals.value = d.totals;
      if (!series.t.length && d.series?.t) for (const k of Object.keys(series)) series[k] = [...(d.series[k] ?? [])];
      shape.value++; tick.value++;
    });
  } catch { /* the next resync tries again */ } finally { fetching = false; }
}

export function start() {
  if (boot.page === "services" && boot.data?.rows) { take(boot.data); follow(); } else setTimeout(() => some().then(follow), 50);
}

/** Fetches what the Line of other pages shows. */
async function some() {
  try { take(await getJSON("/services?spark=0")); } catch { /* the next resync tries again */ }
}

function follow() {
  listen("services", (kind, d) => {
    if (kind === "resync") { if (page.value.name === "services") resync(); else some(); return; }
    const what = applyServices(rows, state, d);
    if (what === "old") return;
    if (what === "stale") { if (page.value.name === "services") resync(); else some(); return; }
    totals.value = d.totals ?? totals.value;
    push(series, Math.round(d.at / 1000), {rps: d.totals?.rps, p99_ms: d.totals?.p99_ms}, 180);
    if (what.names || what.health) shape.value++;
    tick.value++;
  }, state.seq);
}
