// The inspector: one service beside the list, with a call at hand.
import {html, view, signal, untracked} from "./view.js";
import {getJSON} from "./state.js";
import {Health, Failed, Age} from "./bits.js";
import {Commands, Schema} from "./detail.js";
import {CallBox} from "./callbox.js";
import {rate, ms, percent, count, shortID, kindOf, kindText} from "../core/format.js";
import {asJSON} from "../core/copy.js";
import {serviceURL, nodeURL, queryURL} from "../core/routes.js";

export const Inspector = view(({name, row, onClose}, self) => {
  const s = self.local(() => ({name: "", data: signal(null), error: signal(null), method: signal("")}));
  const fetchIt = () => {
    if (!name) return;
    getJSON(serviceURL(name)).then(d => { if (s.name === name) { s.data.value = d; s.error.value = null; } }, e => { if (s.name === name) s.error.value = e; });
  };
  self.after(() => {
    s.name = name;
    s.data.value = null; s.error.value = null; s.method.value = "";
    fetchIt();
  }, [name]);
  self.after(() => { if (untracked(() => s.data.value)) fetchIt(); }, [row?.health, row?.instances]);
  const d = s.data.value, own = d?.endpoints?.filter(e => !e.debug) ?? [], all = d?.endpoints ?? [];
  const e = all.find(x => x.name === s.method.value) ?? own[0] ?? all[0];
  return html`<aside class="inspect" aria-label="Inspector">
    <header><h2><a href=${serviceURL(name)}>${name}</a></h2>${onClose && html`<button type="button" class="btn small" onClick=${onClose}>Close<span class="vh"> inspector</span></button>`}</header>
    ${row && html`<p class="meta"><${Health} h=${row.health}/>${row.why ? html`<span class="why">${row.why}</span>` : ""}</p>
    <dl class="mini"><div><dt>Nodes</dt><dd>${count(row.instances)}</dd></div><div><dt>Req/s</dt><dd>${rate(row.rps)}</dd></div><div><dt>p50 ms</dt><dd>${ms(row.p50_ms)}</dd></div><div><dt>p99 ms</dt><dd>${ms(row.p99_ms)}</dd></div><div><dt>Errors %</dt><dd>${percent(row.error_percent)}</dd></div></dl>`}
    ${s.error.value && html`<${Failed} error=${s.error.value} what="The service could not be read." retry=${fetchIt}/>`}
    ${!d && !s.error.value && html`<div class="skeleton" aria-hidden="true"><i></i><i></i><i></i></div>`}
    ${d && html`
      ${all.length === 0 ? html`<p class="quiet">This service registered no endpoints.</p>` : html`
        <label class="lab" for="ins-ep"><span class="lab-t">Endpoint</span><a href=${queryURL(name, e.name)}>Open in Query</a></label>
        <select id="ins-ep" value=${e.name} onChange=${ev => { s.method.value = ev.target.value; }}>${all.map(x => html`<option key=${x.name} value=${x.name}>${x.name}${kindOf(x) !== "unary" ? " ⇄ " + kindText(x) : ""}</option>`)}</select>
        <div class="lab"><span class="lab-t">Request</span></div><${Schema} schema=${e.request}/>
        ${kindOf(e) === "unary" ? html`<${CallBox} key=${name + e.name} service=${name} endpoint=${e}/>` : html`<p class="quiet">A stream: <a href=${queryURL(name, e.name)}>open it in Query</a>.</p>`}`}
      <div class="lab"><span class="lab-t">Nodes</span><a href=${serviceURL(name, "nodes")}>All</a></div>
      <ul class="plain-list">${(d.nodes ?? []).slice(0, 6).map(n => html`<li key=${n.id}><${Health} h=${n.state}/><a class="mono" href=${nodeURL(n.id)} title=${n.id}>${shortID(n.id, n.service)}</a><span class="quiet">${n.version}</span></li>`)}${(d.nodes ?? []).length > 6 && html`<li class="quiet">${d.nodes.length - 6} more</li>`}${!(d.nodes ?? []).length && html`<li class="quiet">no node is left; last seen <${Age} at=${row?.last_seen}/></li>`}</ul>
      <${Commands} commands=${{...d.commands, curl: asJSON(location.origin, serviceURL(name))}} title="From a shell"/>`}
  </aside>`;
});
