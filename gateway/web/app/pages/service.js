// One service: its endpoints, nodes, stats, and what the registry holds.
import {html, view, signal} from "../ui/view.js";
import {here, param} from "../ui/state.js";
import {stale, bus} from "../ui/live.js";
import {Health, Tabs, Figure, Age, Clock, Copy} from "../ui/bits.js";
import {Commands, Pairs} from "../ui/detail.js";
import {rows, tick as everyone} from "../ui/services.js";
import {Endpoints} from "../ui/endpoints.js";
import {NodeGrid} from "../ui/nodegrid.js";
import {Chart, Ranges, absolute, reachBack} from "../ui/chart.js";
import {Compare, compareURL} from "../ui/compare.js";
import {push, cut} from "../core/live.js";
import {rate, ms, percent, count} from "../core/format.js";
import {asJSON} from "../core/copy.js";
import {serviceURL, queryURL} from "../core/routes.js";

const data = signal(null), tick = signal(0);

function load(d) {
  data.value = d;
  if (d?.bus) bus.value = d.bus;
  tick.value++;
  if (d?.tab === "stats") reachBack(d.series?.t ?? []);
}

function on(kind, d) {
  const now = data.value;
  if (kind === "versions" && now?.row) { data.value = {...now, by_version: d.by_version}; return; }
  if (kind !== "service" || !now?.row) return;
  now.row = {...now.row, ...d.row};
  if (d.nodes?.length < d.row?.instances) { // of very many an update has the first ones
    const fresh = new Map(d.nodes.map(n => [n.id, n]));
    now.nodes = now.nodes?.map(n => ({...n, ...fresh.get(n.id)}));
  } else if (d.nodes) { const old = new Map((now.nodes ?? []).map(n => [n.id, n])); now.nodes = d.nodes.map(n => ({...old.get(n.id), ...n})); }
  const by = new Map((d.endpoints ?? []).map(e => [e.name, e]));
  now.endpoints = (now.endpoints ?? []).map(e => by.has(e.name) ? {...e, ...by.get(e.name)} : e);
  now.gone = now.nodes?.length === 0;
  if (now.series?.t && !param("to")) {
    const step = now.series.t.length > 1 ? now.series.t.at(-1) - now.series.t.at(-2) : 1;
    const t = Math.floor(d.at / 1000 / step) * step;
    const most = now.series.t.length + (step > 1 ? 0 : 1);
    push(now.series, t, d.row, most);
    for (const e of d.endpoints ?? []) if (now.endpoint_series?.[e.name]) push(now.endpoint_series[e.name], t, e, most);
  }
  data.value = {...now};
  tick.value++;
}

const TABS = [["endpoints", "Endpoints"], ["nodes", "Nodes"], ["stats", "Stats"], ["raw", "Raw"]];

const Service = view(() => {
  const d = data.value, r = here.value;
  tick.value; everyone.value;
  const name = r?.name ?? "", tab = r?.tab ?? "endpoints";
  const row = d?.row ?? [...rows.values()].find(r => r.name === name);
  if (tab === "raw") return html`<div class="page"><${Head} name=${name} row=${row}/><${Tabs} label="Of the service" tabs=${tabs(name, tab, d, row)}/><${Raw} d=${d}/></div>`;
  if (!d?.row) return html`<div class="page"><p class="quiet">Loading</p></div>`;
  return html`<div class=${"page" + (tab === "nodes" ? " fill" : "") + (stale.value ? " old" : "")}><${Head} name=${name} row=${row}/>
    <${Tabs} label="Of the service" tabs=${tabs(name, tab, d, row)}/>
    ${d.gone && html`<div class="banner warn"><span>No node is left. Last seen <${Age} at=${row.last_seen}/>${d.nodes?.length ? `, ${d.nodes[0].id}` : ""}. It stays here for ten minutes.</span></div>`}
    ${tab === "endpoints" && html`<div class="cols"><div><${Endpoints} service=${name} endpoints=${d.endpoints ?? []} filter=${param("q")}/></div><${Side} d=${d} name=${name}/></div>`}
    ${tab === "nodes" && html`<${NodeGrid} nodes=${d.nodes ?? []} tick=${tick.value} service=${name} empty=${html`<div class="empty"><b>No node is left.</b><p>Last seen <${Age} at=${row.last_seen}/>.</p></div>`}/>`}
    ${tab === "stats" && html`<${Compare} name=${name} versions=${d.by_version ?? []}/><${Stats} d=${d}/>`}</div>`;
});

const tabs = (name, tab, d, row) => TABS.map(([key, text]) => ({href: serviceURL(name, key), text, on: tab === key, count: key === "endpoints" ? d?.endpoints?.filter(e => !e.debug).length : key === "nodes" ? d?.nodes?.length ?? row?.instances : null}));

const Head = view(({name, row}) => html`<header class="head"><div class="head-l">${row && html`<${Health} h=${row.health}/>`}<h2 class="mono">${name}</h2>${row?.versions?.map(v => html`<span key=${v.version} class="tag">${v.version || "no version"} ×${v.instances}</span>`)}${row?.kind && row.kind !== "mbus" ? html`<span class="tag">${row.kind === "app" ? "app by HTTP" : "plain NATS service"}</span>` : ""}</div>
  <div class="row"><a class="btn pri" href=${queryURL(name)}>Call</a><a class="btn" href=${"/topology?focus=" + encodeURIComponent(name)}>Topology</a></div>
  ${row?.why && html`<p class="why">${row.why}</p>`}
  ${row && html`<dl class="figs small"><${Figure} name="Req/s" value=${rate(row.rps)}/><${Figure} name="p50" value=${ms(row.p50_ms)} unit=" ms"/><${Figure} name="p99" value=${ms(row.p99_ms)} unit=" ms"/><${Figure} name="Errors" value=${percent(row.error_percent)} unit=" %" kind=${row.error_percent >= 5 ? row.health : ""}/><${Figure} name="In flight" value=${count(row.in_flight)}/></dl>`}
  ${row?.versions?.length > 1 && html`<${Split} versions=${row.versions}/>${!param("a") && html`<p class="row"><a href=${compareURL(name, row.versions)}>Compare the versions</a></p>`}`}</header>`);

/** How the nodes divide over versions. */
const Split = ({versions}) => { const all = versions.reduce((n, v) => n + v.instances, 0); return html`<div class="vsplit" role="img" aria-label=${"Versions: " + versions.map(v => `${v.version} on ${v.instances}`).join(", ")}>${versions.map((v, i) => html`<i key=${v.version} class=${"v" + i % 4} style=${{flexGrow: v.instances}}><span>${v.version} · ${Math.round(v.instances / all * 100)} %</span></i>`)}</div>`; };

const Side = view(({d, name}) => html`<aside class="side" aria-label="About the service">
  <h3>Callers and callees</h3><${Neighbours} d=${d}/>
  <h3>Last errors</h3>${d.errors?.length ? html`<ul class="errs">${d.errors.map((e, i) => html`<li key=${i}><span class="quiet"><${Clock} at=${e.at}/> · ${e.method}</span><p>${e.text}</p></li>`)}</ul>` : html`<p class="quiet">none seen</p>`}
  <h3>Metadata</h3><${Pairs} of=${d.metadata}/>
  <${Commands} commands=${{...d.commands, curl: asJSON(location.origin, serviceURL(name))}} title="From a shell"/></aside>`);

const Neighbours = ({d}) => {
  const of = (edges, key) => edges?.length ? html`<ul class="plain-list">${edges.slice(0, 8).map(e => html`<li key=${e[key]}>${e[key] === "?" ? html`<span class="quiet">unknown callers</span>` : html`<a class="mono cut" href=${serviceURL(e[key])}>${e[key]}</a>`}<span class="quiet">${e.rps == null ? "" : rate(e.rps) + "/s"}</span></li>`)}</ul>` : html`<p class="quiet">none seen</p>`;
  return html`<div><section><h4>Called by</h4>${of(d.callers, "from")}</section><section><h4>Calls</h4>${of(d.callees, "to")}</section></div>`;
};

const Stats = view(({d}) => {
  const [from, to] = absolute(), s = cut(d.series ?? {t: []}, from, to), of = {tick: tick.value, group: "svc", span: to ? to - from : 60};
  const all = Object.entries(d.endpoint_series ?? {}).map(([m, x]) => [m, cut({t: d.series.t, ...x}, from, to)]);
  const called = all.filter(([, x]) => x.rps?.some(v => v > 0)), quiet = all.filter(x => !called.includes(x)).map(([m]) => m);
  const lines = x => [{name: "req/s", values: x.rps ?? [], unit: "", color: "--c1", format: rate}, {name: "errors/s", values: x.errors_per_s ?? [], unit: "", color: "--bad", format: rate}];
  const times = x => [{name: "p50", values: x.p50_ms ?? [], unit: " ms", color: "--c1", format: ms}, {name: "p99", values: x.p99_ms ?? [], unit: " ms", color: "--c2", dash: true, format: ms}];
  return html`<div class="bar"><${Ranges}/></div>
    <div class="charts three"><${Chart} label="Requests" t=${s.t} lines=${lines(s)} height=${140} ...${of}/><${Chart} label="Latency" t=${s.t} lines=${times(s)} height=${140} ...${of}/>
    <${Chart} label="In flight" t=${s.t} lines=${[{name: "in flight", values: s.in_flight ?? [], unit: "", color: "--c1", format: count}]} height=${140} ...${of}/></div>
    ${called.map(([m, x]) => html`<section key=${m}><h3 class="mono">${m}</h3><div class="charts two-up"><${Chart} label=${m + " requests"} t=${x.t} lines=${lines(x)} height=${110} ...${of}/><${Chart} label=${m + " latency"} t=${x.t} lines=${times(x)} height=${110} ...${of}/></div></section>`)}
    ${quiet.length > 0 && html`<p class="quiet">Not called in this time: ${quiet.map((m, i) => html`${i ? ", " : ""}<span key=${m} class="mono">${m}</span>`)}.</p>`}`;
});

const Raw = view(({d}) => { const text = JSON.stringify(d, null, 2) ?? ""; return html`<div class="bar"><span class="quiet">As the registry answers, in Micro's shape.</span><${Copy} text=${text} label="Copy JSON" what="JSON copied."/></div><pre class="tall" tabindex="0">${text}</pre>`; });

export default {
  title: r => r?.name ?? "Service", view: Service, load, on,
  topics: () => !here.value?.name ? [] : here.value.tab === "stats" ? ["svc:" + here.value.name, "versions:" + here.value.name] : ["svc:" + here.value.name],
  bar: () => (here.value?.tab ?? "endpoints") === "endpoints" ? {label: "Filter endpoints", placeholder: "Filter endpoints"} : here.value?.tab === "nodes" ? {label: "Filter nodes", placeholder: "Filter nodes, e.g. is:suspect"} : null,
};
