// Rates and latencies of the last hour, of all and of the busiest.
import {html, view, signal} from "../ui/view.js";
import {param, setParams} from "../ui/state.js";
import {stale} from "../ui/live.js";
import {Chart, Ranges, absolute, reachBack} from "../ui/chart.js";
import {Figure, Name} from "../ui/bits.js";
import {push, cut} from "../core/live.js";
import {rate, ms, count, bytes, span, clock} from "../core/format.js";
import {serviceURL} from "../core/routes.js";

const data = signal(null), tick = signal(0);

function load(d) { data.value = d; tick.value++; reachBack(d.t); }
function on(kind, d) {
  const now = data.value;
  if (kind !== "stats" || !now || param("to")) return;
  const step = now.step_s || 1, t = Math.floor(d.at / 1000 / step) * step;
  const series = {t: now.t, ...now.total};
  const n = now.t.length;
  push(series, t, d.total, Math.max(n, 60));
  if (series.t.at(-1) === t) { now.t = series.t; now.total = {...series, t: undefined}; delete now.total.t; }
  tick.value++;
}

const Lines = view(({label, t, lines, height}) => {
  tick.value;
  const [from, to] = absolute(), part = cut({t, ...lines.map(l => l.values ?? [])}, from, to), x = part.t;
  return html`<${Chart} label=${label} t=${x} tick=${tick.value} height=${height ?? 130} group="stats" span=${to ? to - from : Math.min(60, data.value.range_s)} marks=${data.value.marks} lines=${lines.map((l, i) => ({...l, values: part[i]}))}
    onZoom=${(from, to) => setParams({from: String(Math.floor(from)), to: String(Math.ceil(to))}, true)}/>`;
});

const line = (name, values, color, format, unit = "", dash = false) => ({name, values, color, format, unit, dash});

const Stats = view(() => {
  tick.value;
  const d = data.value;
  if (!d) return null;
  const x = d.total ?? {}, p = d.process ?? {};
  const top = d.services ?? [];
  return html`<div class=${"page" + (stale.value ? " old" : "")}><div class="bar"><${Ranges}/>
      <span class="grow"></span><span class="quiet wide-only">drag over a chart to zoom</span></div>
    <div class="charts four"><${Lines} label="Requests" t=${d.t} lines=${[line("req/s", x.rps, "--c1", rate)]}/>
      <${Lines} label="Latency" t=${d.t} lines=${[line("p50", x.p50_ms, "--c1", ms, " ms"), line("p99", x.p99_ms, "--c2", ms, " ms", true)]}/>
      <${Lines} label="Errors" t=${d.t} lines=${[line("errors/s", x.errors_per_s, "--bad", rate)]}/>
      <${Lines} label="In flight" t=${d.t} lines=${[line("in flight", x.in_flight, "--c1", count)]}/></div>
    <h2>Busiest services</h2>
    ${top.length ? html`<div class="charts small">${top.map(s => html`<section key=${s.name}><h3><a href=${serviceURL(s.name, "stats")}><${Name} n=${s.name}/></a></h3><${Lines} label=${s.name} t=${d.t} height=${92} lines=${[line("req/s", s.rps, "--c1", rate), {...line("p99", s.p99_ms, "--c2", ms, " ms", true), scale: "ms"}]}/></section>`)}
      ${d.rest && html`<section key="rest"><h3>all others</h3><${Lines} label="All other services" t=${d.t} height=${92} lines=${[line("req/s", d.rest.rps, "--c1", rate), {...line("p99", d.rest.p99_ms, "--c2", ms, " ms", true), scale: "ms"}]}/></section>`}</div>` : html`<p class="quiet">No requests in this time.</p>`}
    ${d.marks?.length > 0 && html`<h2>Changes</h2><ul class="plain-list">${d.marks.slice(-20).reverse().map((m, i) => html`<li key=${i}><span class="mono quiet">${clock(m.at)}</span><a class="mono" href=${serviceURL(m.service)}>${m.service}</a><span>${m.text}</span></li>`)}</ul>`}
    <h2>This process</h2><dl class="figs small"><${Figure} name="Up" value=${typeof p.uptime === "number" ? span(p.uptime * 1000) : p.uptime ?? "–"}/><${Figure} name="Memory" value=${typeof p.memory === "number" ? bytes(p.memory) : p.memory ?? "–"}/><${Figure} name="Goroutines" value=${p.threads ?? "–"}/><${Figure} name="GC pauses" value=${typeof p.gc === "number" ? ms(p.gc / 1e6) : p.gc ?? "–"} unit=${typeof p.gc === "number" ? " ms" : ""}/><${Figure} name="History" value=${bytes(d.bytes)}/></dl>
    <p class="quiet">${d.kept}</p></div>`;
});

export default {title: () => "Stats", view: Stats, load, on, topics: () => ["stats"]};
