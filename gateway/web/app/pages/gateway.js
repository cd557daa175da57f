// The gateway: its routes, which route a request would take, and the sidecar.
import {html, view, signal} from "../ui/view.js";
import {param, setParams, getJSON, copy, load as reload} from "../ui/state.js";
import {paused, stale} from "../ui/live.js";
import {Grid} from "../ui/grid.js";
import {Commands, Pairs} from "../ui/detail.js";
import {rate, ms, count, plural} from "../core/format.js";
import {queryURL} from "../core/routes.js";

const data = signal(null), method = signal("POST"), path = signal(""), host = signal(""), match = signal(null), bad = signal("");
let seen = "";
function load(d) {
  data.value = d;
  if (seen === location.search) return; // what is being written stays
  seen = location.search;
  const p = new URLSearchParams(location.search);
  if (p.get("path")) { path.value = p.get("path"); method.value = p.get("method") || "POST"; host.value = p.get("host") ?? ""; match.value = d.match ?? null; }
}

async function test() {
  const p = path.value.trim();
  if (!p) return;
  setParams({path: p, method: method.value, host: host.value});
  try { const r = await getJSON("/-/route?" + new URLSearchParams({method: method.value, path: p, host: host.value})); match.value = r.match !== undefined ? r.match : r; bad.value = ""; } catch (e) { bad.value = e.message; match.value = null; }
}

const columns = [
  {key: "methods", title: "Method", width: "92px", class: "mono", cell: r => (r.methods ?? []).join(" ") || "any"},
  {key: "path", title: "Path", width: "minmax(120px,1.2fr)", class: "mono", cell: r => html`<${Path} r=${r}/>`},
  {key: "service", title: "Service and endpoint", width: "minmax(120px,1.4fr)", min: 560, class: "mono", cell: r => html`<a tabindex="-1" href=${queryURL(r.service, r.method)}><span class="n" title=${`${r.service} ${r.method}`}><em>${r.service}</em><b>\xa0${r.method}</b></span></a>`},
  {key: "source", title: "From", width: "72px", min: 820, cell: r => r.source},
  {key: "rps", title: "Req/s", width: "72px", min: 480, num: true, cell: r => rate(r.rps)},
  {key: "p99_ms", title: "p99 ms", width: "72px", min: 700, num: true, cell: r => ms(r.p99_ms)},
  {key: "errors_per_s", title: "Errors/s", width: "80px", min: 700, num: true, cell: r => rate(r.errors_per_s)},
  {key: "curl", title: "Copy", width: "72px", fixed: true, cell: r => r.curl ? html`<button type="button" tabindex="-1" class="linkish" onClick=${() => copy(r.curl, "curl copied.")}>curl<span class="vh"> for ${r.path}</span></button>` : ""},
];

/** A row where there is no room for columns. */
const card = r => [html`<span class="cut"><${Path} r=${r}/></span>${columns.at(-1).cell(r)}`, html`<span class="mono">${(r.methods ?? []).join(" ") || "any"} · <a tabindex="-1" href=${queryURL(r.service, r.method)}>${r.method}</a></span><span>${rate(r.rps)} req/s</span>`];

/** A path whose end is never cut. */
const Path = ({r}) => { const p = (r.hosts?.length ? r.hosts.join(",") : "") + r.path, i = p.lastIndexOf("/") + 1; return html`<span class="n" title=${p}><em>${p.slice(0, i)}</em><b>${p.slice(i)}</b></span>`; };

/** The numbers of the routes do not come by the stream: they are fetched. */
function refresh() { if (!document.hidden && !paused.value && !stale.value) reload(true); }

const Gateway = view((_, self) => {
  const d = data.value;
  self.after(() => { const every = setInterval(refresh, 5000); return () => clearInterval(every); }, []);
  if (!d) return null;
  const words = param("q").toLowerCase().split(/\s+/).filter(Boolean);
  const all = (d.routes ?? []).filter(r => words.every(w => `${r.path} ${r.service} ${r.method}`.toLowerCase().includes(w)));
  const m = match.value;
  return html`<div class="gate"><section class="gate-top"><div><h2>API gateway</h2>${d.api ? html`<p><a class="mono" href=${d.api.url} target="_blank" rel="noopener">${d.api.url}</a> <span class="quiet">namespace</span> <code>${d.api.namespace}</code> · <a href=${d.api.url + "/openapi.json"} target="_blank" rel="noopener">OpenAPI</a></p>` : html`<p class="quiet">No gateway runs in this process. <code>mbus api</code> starts one; the table shows what it would serve.</p>`}
      <h2>Sidecar</h2>${d.sidecar ? html`<p><a class="mono" href=${d.sidecar.url} target="_blank" rel="noopener">${d.sidecar.url}</a></p>` : html`<p class="quiet">None runs in this process. <code>mbus sidecar</code> starts one.</p>`}
      ${d.commands && Object.keys(d.commands).length > 0 && html`<${Commands} commands=${d.commands} title="From a shell"/>`}</div>
    <form aria-label="Which route" onSubmit=${e => { e.preventDefault(); test(); }}><h2>Which route would match?</h2><div class="row"><select aria-label="Method" value=${method.value} onChange=${e => { method.value = e.target.value; }}>${["GET", "POST", "PUT", "PATCH", "DELETE"].map(x => html`<option key=${x}>${x}</option>`)}</select><input class="field mono" aria-label="Path" placeholder="/greeter/say/hello" value=${path.value} onInput=${e => { path.value = e.target.value; }}/><button class="btn pri">Try</button></div>
      <input class="field mono host" aria-label="Host, if it matters" placeholder="Host, if it matters" value=${host.value} onInput=${e => { host.value = e.target.value; }}/>
      <div role="status" aria-live="polite">${bad.value ? html`<p class="badn">${bad.value}</p>` : m ? html`<dl class="pairs">${m.service ? html`<div><dt>leads to</dt><dd><a class="mono" href=${queryURL(m.service, m.method)}>${m.service} ${m.method}</a></dd></div><div><dt>by</dt><dd>${m.source === "route" ? `the route ${m.path}` : m.source === "name" ? "its name" : m.source}</dd></div>` : html`<div><dt>leads to</dt><dd class="badn">nothing</dd></div>`}${m.why && html`<div><dt>why</dt><dd>${m.why}</dd></div>`}${m.near?.length ? html`<div><dt>close by</dt><dd>${m.near.join(", ")}</dd></div>` : ""}</dl>` : html`<p class="quiet">Says what the gateway would call, without calling it.</p>`}</div></form>
    ${d.limits && html`<details class="limits"><summary>Limits in force</summary><${Pairs} of=${d.limits}/></details>`}</section>
    <section class="left" aria-label="Routes"><div class="bar"><span class="quiet">${all.length === d.routes?.length ? plural(all.length, "route") : `${count(all.length)} of ${plural(d.routes?.length ?? 0, "route")}`}${d.more ? `, ${count(d.more)} more not shown` : ""}</span></div>
    <${Grid} label="Routes" rows=${all} columns=${columns} card=${card} id=${r => `${r.methods} ${r.hosts ?? ""} ${r.path} ${r.service} ${r.method}`} sel="" tick=${d} stale=${stale.value > 0} onSelect=${r => { path.value = r.path; method.value = r.methods?.[0] ?? "POST"; host.value = r.hosts?.[0] ?? ""; test(); }} command=${r => r.curl} empty=${html`<div class="empty"><b>${d.routes?.length ? `No route matches “${param("q")}”.` : "No routes."}</b>${!d.routes?.length && html`<p>Routes come with services: every endpoint has one by its name, and a service may declare its own.</p>`}</div>`}/></section></div>`;
});

export default {title: () => "Gateway", view: Gateway, load, bar: () => ({label: "Filter routes", placeholder: "Filter routes"})};
