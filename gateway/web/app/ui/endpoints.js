// The endpoints of a service or a node: numbers, typed request and response.
import {html, view, signal} from "./view.js";
import {Copy} from "./bits.js";
import {Schema, Commands} from "./detail.js";
import {rate, ms, percent, count, kindOf, kindText} from "../core/format.js";
import {queryURL} from "../core/routes.js";
import {example} from "../core/schema.js";
import {pretty} from "../core/json.js";

const PAGE = 50;

export const Endpoints = view(({service, endpoints, node = "", filter = ""}, self) => {
  const s = self.local(() => ({open: signal(new Set()), all: signal(false)}));
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = endpoints.filter(e => words.every(w => e.name.toLowerCase().includes(w)));
  const own = hits.filter(e => !e.debug), debug = hits.filter(e => e.debug);
  const list = [...own, ...debug], shown = s.all.value ? list : list.slice(0, PAGE);
  if (!endpoints.length) return html`<div class="empty"><b>This service registered no endpoints.</b><p>It is on the bus and answers pings, and offers nothing to call. A service registers an endpoint with <code>rpc.Handle</code> or <code>rpc.Register</code> before it starts.</p></div>`;
  if (!list.length) return html`<div class="empty"><b>No endpoint matches “${filter}”.</b></div>`;
  const one = own.length === 1;
  return html`<ul class="eps">${shown.map((e, i) => html`<${EndpointRow} key=${e.name} e=${e} service=${service} node=${node} first=${i === own.length && debug.length > 0} open=${s.open.value.has(e.name) || (one && e === own[0] && !s.open.value.has("!" + e.name))}
      onToggle=${on => { const next = new Set(s.open.value); next[on ? "add" : "delete"](e.name); next[on ? "delete" : "add"]("!" + e.name); s.open.value = next; }}/>`)}</ul>
    ${shown.length < list.length && html`<p><button type="button" class="btn" onClick=${() => { s.all.value = true; }}>Show all ${count(list.length)}</button></p>`}`;
});

const EndpointRow = view(({e, service, node, first, open, onToggle}) => html`<li class=${"ep" + (e.debug ? " debug" : "") + (first ? " first-debug" : "")}>
  <div class="ep-head"><button type="button" class="ep-name" aria-expanded=${String(open)} onClick=${() => onToggle(!open)}><i aria-hidden="true">${open ? "▾" : "▸"}</i><b class="mono">${e.name}</b>${kindOf(e) !== "unary" ? html`<span class="tag">⇄ ${kindText(e)}</span>` : ""}${e.idempotent ? html`<span class="tag">idempotent</span>` : ""}</button>
    <dl class="ep-n"><div><dt>Req/s</dt><dd>${rate(e.rps)}</dd></div><div><dt>p50 ms</dt><dd>${ms(e.p50_ms)}</dd></div><div><dt>p99 ms</dt><dd>${ms(e.p99_ms)}</dd></div><div><dt>Errors %</dt><dd class=${e.error_percent >= 5 ? "badn" : ""}>${percent(e.error_percent)}</dd></div></dl>
    <a class="btn small" href=${queryURL(service, e.name) + (node ? "?node=" + encodeURIComponent(node) : "")}>Call<span class="vh"> ${e.name}</span></a></div>
  ${open && html`<div class="ep-body">${e.description && html`<p class="doc">${e.description}</p>`}
    <div class="two"><section><div class="lab"><span class="lab-t">Request</span>${e.request && html`<${Copy} text=${pretty(e.example ?? example(e.request))} label="Copy as example" what="Example copied."/>`}</div><${Schema} schema=${e.request}/></section>
    <section><div class="lab"><span class="lab-t">Response</span>${e.response && html`<${Copy} text=${pretty(example(e.response))} label="Copy as example" what="Example copied."/>`}</div><${Schema} schema=${e.response}/></section></div>
    <p class="quiet">${e.subject ? html`subject <code>${e.subject}</code>` : ""}${e.timeout_ms ? ` · time limit ${e.timeout_ms} ms` : ""}${e.requests != null ? ` · ${count(e.requests)} requests, ${count(e.errors)} errors${e.refused ? `, ${count(e.refused)} refused` : ""} since the nodes started` : ""}</p>
    ${e.last_error && html`<p class="note bad">last error: ${e.last_error}</p>`}<${Commands} commands=${e.commands} title="From a shell" label=${`From a shell: ${e.name}`}/></div>`}</li>`);
