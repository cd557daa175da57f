// The page Services: totals, the chart, the grid and the inspector.
import {html, view, signal, computed, later} from "../ui/view.js";
import {param, params, setParams, go, prefs, copy, dressed} from "../ui/state.js";
import {stale, bus} from "../ui/live.js";
import {rows, tick, shape, totals, series, take, complete} from "../ui/services.js";
import {Grid} from "../ui/grid.js";
import {Sketch} from "../ui/sketch.js";
import {Health, Name, Spark, Figure, Choice} from "../ui/bits.js";
import {compile, complete as completions, serviceFields, serviceWords, sorted, rank} from "../core/filter.js";
import {count, rate, ms, percent, versionsText, plural} from "../core/format.js";
import {serviceURL} from "../core/routes.js";

const Inspector = later(() => dressed(import("../ui/inspector.js")).then(m => m.Inspector), () => html`<aside class="inspect" aria-label="Inspector"></aside>`);
const FirstRun = later(() => dressed(import("../ui/firstrun.js")).then(m => m.FirstRun));

const columns = [
  {key: "health", title: "Health", width: "98px", cell: r => html`<${Health} h=${r.health}/>`},
  {key: "name", title: "Service", width: "minmax(116px,1fr)", cell: r => html`<a href=${serviceURL(r.name)} tabindex="-1"><${Name} n=${r.name}/></a>`},
  {key: "version", title: "Version", width: "84px", min: 640, class: "mono", cell: r => versionsText(r.versions)},
  {key: "instances", title: "Nodes", width: "66px", min: 520, num: true, first: -1, cell: r => count(r.instances)},
  {key: "rps", title: "Req/s", width: "74px", num: true, first: -1, cell: r => rate(r.rps)},
  {key: "p99_ms", title: "p99 ms", width: "74px", min: 400, num: true, first: -1, cell: r => ms(r.p99_ms)},
  {key: "error_percent", title: "Errors %", width: "84px", min: 560, num: true, first: -1, cell: r => percent(r.error_percent)},
  {key: "spark", title: "Last 40 s", width: "116px", min: 820, fixed: true, cell: r => html`<${Spark} values=${r.spark}/>`},
];

/** A row where there is no room for columns. */
const card = r => [html`<a href=${serviceURL(r.name)} tabindex="-1"><${Name} n=${r.name}/></a><${Health} h=${r.health}/>`, html`<span>${numbers(r)}</span>`];
const numbers = r => [plural(r.instances ?? 0, "node"), r.rps == null ? "" : `${rate(r.rps)} req/s`, r.p99_ms == null ? "" : `p99 ${ms(r.p99_ms)} ms`, r.error_percent ? `${percent(r.error_percent)} % errors` : ""].filter(Boolean).join(" · ");

const list = computed(() => {
  shape.value;
  const numeric = /[<>=]|(rps|p50|p99|err|errors|inflight):/.test(param("q"));
  const key = param("sort") || "health", moving = ["rps", "p99_ms", "error_percent"].includes(key);
  if (numeric || moving) tick.value;
  const f = compile(param("q"), serviceFields, serviceWords);
  const dir = param("dir") === "desc" ? -1 : 1;
  return sorted([...rows.values()].filter(f.test), key, dir);
});

/** Rows folded by prefix or version, each group with its sums, and the p99 and errors of its worst. */
function grouped(all, by) {
  const groups = new Map();
  for (const r of all) {
    const key = by === "version" ? versionsText(r.versions) : r.name.includes(".") ? r.name.slice(0, r.name.lastIndexOf(".")) : r.name;
    let g = groups.get(key);
    if (!g) groups.set(key, g = {id: "g:" + key, group: key, name: key, count: 0, health: "ok", instances: 0, rps: null, p99_ms: null, error_percent: null, spark: [], rows: []});
    g.count++; g.rows.push(r); g.instances += r.instances ?? 0;
    if (rank(r.health) < rank(g.health)) g.health = r.health;
    if (r.rps != null) g.rps = (g.rps ?? 0) + r.rps;
    for (const k of ["p99_ms", "error_percent"]) if (r[k] != null) g[k] = Math.max(g[k] ?? 0, r[k]);
    r.spark?.forEach((v, i) => { const j = i + 40 - r.spark.length; if (v != null) g.spark[j] = (g.spark[j] ?? 0) + v; });
  }
  return [...groups.values()].sort((a, b) => rank(a.health) - rank(b.health) || (a.name < b.name ? -1 : 1));
}
const groupColumns = columns.map(c => c.key === "name"
  ? {...c, title: "Group", cell: r => html`<span class="n" title=${r.name}><b>${r.name}</b></span>`}
  : c.key === "version" ? {...c, title: "Services", num: true, cell: r => count(r.count)} : c);

const groupCard = r => [html`<span class="n cut" title=${r.name}>${r.name}</span><${Health} h=${r.health}/>`, html`<span>${plural(r.count, "service")} · ${numbers(r)}</span>`];

const Totals = view(() => {
  tick.value;
  const t = totals.value;
  return html`<div class=${"sum" + (stale.value ? " old" : "")}><dl class="figs"><${Figure} name="Requests" value=${rate(t?.rps)} unit="/s"/><${Figure} name="p99" value=${ms(t?.p99_ms)} unit=${t?.p99_ms == null ? "" : " ms"}/>
    <${Figure} name="Down" value=${count(t?.down)} kind=${t?.down ? "down" : ""}/><${Figure} name="Degraded" value=${count(t?.degraded)} kind=${t?.degraded ? "degraded" : ""}/></dl>
    <${Sketch} label="Traffic" t=${series.t} tick=${tick.value} span=${180} lines=${[{name: "req/s", values: series.rps, unit: "", color: "--c1", format: rate}, {name: "p99", values: series.p99_ms, unit: " ms", color: "--c2", dash: true, format: ms}]}/></div>`;
});

/** The parts of a node, which are there before anybody else is. */
const OWN = new Set(["mbus", "go.micro.api", "go.micro.sidecar", "go.micro.web"]);

const command = async r => (await import("../core/copy.js")).mbus(bus.value?.url) + "get service " + r.name; // the first look does without it

const closeInspector = () => setParams({sel: ""});

const Services = view(() => {
  const all = list.value, group = param("group"), sel = param("sel"), t = totals.value;
  tick.value;
  const first = t && complete.value && ![...rows.values()].some(r => !OWN.has(r.name));
  if (first && !rows.size) return html`<${FirstRun}/>`;
  const groupsShown = group ? grouped(all, group) : null;
  const only = rows.size === 1 ? [...rows.values()][0] : null;
  const chosen = [...rows.values()].find(r => r.name === sel) ?? only;
  const onSort = (key, first = 1) => setParams((param("sort") || "health") === key ? {sort: key === "health" ? "" : key, dir: param("dir") === "desc" ? "" : "desc"} : {sort: key === "health" ? "" : key, dir: first < 0 ? "desc" : ""});
  const sortBy = param("sort") || "health";
  return html`${first ? html`<${FirstRun}/>` : html`<${Totals}/>`}
  <div class=${"split" + (chosen ? " chosen" : "")}>
    <section class="left" aria-label="Services"><div class="bar"><span class="quiet">${first ? "The node itself: " : ""}${all.length === rows.size ? plural(rows.size, "service") : `${count(all.length)} of ${plural(rows.size, "service")}`}${complete.value ? "" : ` of ${count(t?.services)}, the others come as you use the page`}${groupsShown ? "; p99 and errors are those of the worst of a group" : ""}</span>
      <${Views}/><${Choice} label="Group" value=${group} options=${[["", "All"], ["prefix", "By prefix"], ["version", "By version"]]} on=${v => setParams({group: v})}/></div>
    ${groupsShown
    ? html`<${Grid} key="g" label="Groups of services" rows=${groupsShown} columns=${groupColumns} card=${groupCard} id=${r => r.id} sel="" tick=${tick.value} stale=${stale.value > 0} onSelect=${r => setParams({group: "", q: (group === "version" ? `ver:${r.rows[0].versions?.[0]?.version ?? ""}` : `name:${r.name}.`) + (param("q") ? " " + param("q") : "")}, true)} empty=${html`<${None}/>`}/>`
    : html`<${Grid} key="a" label="Services" rows=${all} columns=${columns} id=${r => r.name} sel=${sel} tick=${tick.value} stale=${stale.value > 0}
        sort=${sortBy} dir=${param("dir") === "desc" ? -1 : 1} onSort=${onSort}
        onSelect=${r => setParams({sel: r.name})} onOpen=${r => go(serviceURL(r.name))} card=${card} command=${command} empty=${html`<${None}/>`}/>`}
    </section>
    ${chosen ? html`<${Inspector} name=${chosen.name} row=${chosen} tick=${tick.value} onClose=${only && !sel ? null : closeInspector}/>`
    : null}</div>`;
});

const None = view(() => html`<div class="empty"><b>No service matches “${param("q")}”.</b><p>${rows.size} are there. <code>is:down</code> shows what fails, <code>rps>10</code> what is busy.</p><button type="button" class="btn" onClick=${() => setParams({q: ""})}>Clear the filter</button></div>`);

/** Named addresses of this page, kept in this browser. */
const Views = view((_, self) => {
  const s = self.local(() => ({open: signal(false), name: signal("")}));
  const here = params.value.toString(), all = prefs.views.value;
  self.after(() => { // as any menu, it closes when one goes on elsewhere, and by Esc
    const away = e => { if (s.el.open && !s.el.contains(e.target)) s.el.open = false; };
    const esc = e => { if (s.el.open && e.key === "Escape") { e.stopImmediatePropagation(); s.el.open = false; s.el.firstElementChild.focus(); } };
    addEventListener("pointerdown", away); addEventListener("keydown", esc, true);
    return () => { removeEventListener("pointerdown", away); removeEventListener("keydown", esc, true); };
  }, []);
  return html`<details class="drop" ref=${el => { s.el = el; }} open=${s.open.value} onToggle=${e => { s.open.value = e.currentTarget.open; }}><summary class="btn small">Views${all.length ? ` ${all.length}` : ""}</summary><div class="dropbox">
    ${all.length === 0 && html`<p class="quiet">A view is this page with its filter, order and selection, under a name.</p>`}
    <ul>${all.map(v => html`<li key=${v.name}><a href=${"/services" + (v.at ? "?" + v.at : "")}>${v.name}</a><button type="button" class="linkish" onClick=${() => { prefs.views.value = all.filter(x => x !== v); }}>Remove<span class="vh"> ${v.name}</span></button></li>`)}</ul>
    <form class="row" onSubmit=${e => { e.preventDefault(); const name = s.name.value.trim(); if (name) prefs.views.value = [...all.filter(v => v.name !== name), {name, at: here}].slice(-30); s.name.value = ""; }}><input class="field" aria-label="Name of the view" placeholder="Name" value=${s.name.value} onInput=${e => { s.name.value = e.target.value; }}/><button class="btn small">Save</button></form>
    ${all.length > 0 && html`<button type="button" class="linkish" onClick=${() => copy(JSON.stringify(all, null, 2), "Views copied as JSON.")}>Copy all as JSON</button>`}</div></details>`;
});

const problems = computed(() => compile(param("q"), serviceFields, serviceWords).problems);

export default {
  title: () => "Services", view: Services, load: take,
  bar: () => ({label: "Filter services", placeholder: "Filter, e.g. order is:down", problems: problems.value, complete: q => completions(q, serviceFields)}),
};
