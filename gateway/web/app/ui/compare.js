// Two versions of a service beside each other, each method in a table of its own.
import {html, view, signal} from "./view.js";
import {param, setParams} from "./state.js";
import {Choice} from "./bits.js";
import {Commands} from "./detail.js";
import {quote} from "../core/copy.js";
import {compare, difference, measures, signed, versionKey, ENOUGH} from "../core/compare.js";
import {rate, ms, percent, count, plural} from "../core/format.js";
import {serviceURL} from "../core/routes.js";

const SHOWN = 60;
const write = key => key === "rps" ? rate : key === "error_percent" ? percent : ms;

/** The address that compares the two versions with most nodes. */
export const compareURL = (name, versions) => serviceURL(name, "stats") + "?" + new URLSearchParams({a: versionKey(versions[0].version), b: versionKey(versions[1].version)});

const serviceAddress = name => location.origin + serviceURL(name, "stats");

export const Compare = view(({name, versions}, self) => {
  const s = self.local(() => ({all: signal(false)}));
  const a = param("a"), b = param("b"), over = param("over") === "life" ? "life" : "minute";
  if (!a && !b) return versions.length > 1 ? html`<p class="row"><a class="btn small" href=${compareURL(name, versions)}>Compare two versions</a></p>` : null;
  const c = compare(versions, a, b, over), shown = s.all.value ? c.endpoints : c.endpoints.slice(0, SHOWN);
  const keys = [...new Set([...versions.map(v => versionKey(v.version)), a, b].filter(Boolean))];
  const nodes = key => { const v = versions.find(x => versionKey(x.version) === key); return v ? plural(v.instances, "node") : "not running"; };
  // The same version on both sides would say nothing: the other side takes the old one.
  const pick = (side, other) => e => setParams(e.target.value === param(other) ? {[side]: e.target.value, [other]: param(side)} : {[side]: e.target.value}, true);
  return html`<section class="cmp" aria-label="Comparison of versions"><div class="bar"><h3>Versions compared</h3>
      <label class="inl"><span class="quiet">A</span><select aria-label="Version A" value=${a} onChange=${pick("a", "b")}>${keys.map(k => html`<option key=${k} value=${k}>${k} (${nodes(k)})</option>`)}</select></label>
      <label class="inl"><span class="quiet">B</span><select aria-label="Version B" value=${b} onChange=${pick("b", "a")}>${keys.map(k => html`<option key=${k} value=${k}>${k} (${nodes(k)})</option>`)}</select></label>
      <${Choice} label="Over" value=${over} options=${[["minute", "Last minute"], ["life", "Since they started"]]} on=${v => setParams({over: v === "minute" ? "" : v}, true)}/>
      <button type="button" class="btn small" onClick=${() => setParams({a: "", b: "", over: ""}, true)}>Stop comparing</button></div>
    ${c.note ? html`<p class="note">${c.note}</p>` : html`<p class="quiet">From ${ENOUGH} calls of each version on, a tenth is called slower or faster, and one call in a hundred more or fewer that fail.</p>
    <div class="cmps">${shown.map(e => html`<${Method} key=${e.name} e=${e} a=${a} b=${b}/>`)}</div>
    ${shown.length < c.endpoints.length && html`<p><button type="button" class="btn" onClick=${() => { s.all.value = true; }}>Show all ${count(c.endpoints.length)}</button></p>`}
    ${!c.endpoints.length && html`<p class="quiet">Neither of them offers a method.</p>`}
    <${Commands} commands=${{curl: "curl " + quote(serviceAddress(name) + "?" + new URLSearchParams({a, b, ...over === "life" && {over}}))}} title="This comparison from a shell"/>`}</section>`;
});

const Method = ({e, a, b}) => html`<table><caption class="mono">${e.name}</caption>
  <thead><tr><td></td><th scope="col" class="num">A <span class="mono">${a}</span></th><th scope="col" class="num">B <span class="mono">${b}</span></th><th scope="col" class="num" title="Difference">B − A</th></tr></thead>
  <tbody>${e.a && e.b ? measures.map(([key, name, unit]) => html`<${Measure} key=${key} e=${e} id=${key} name=${name} unit=${unit}/>`) : html`<tr><td colspan="4" class="quiet">only in ${e.a ? "A" : "B"}</td></tr>`}
  <tr class="quiet"><th scope="row">Calls</th><td class="num">${count(e.a?.calls)}</td><td class="num">${count(e.b?.calls)}</td><td></td></tr></tbody></table>`;

const Measure = ({e, id, name, unit}) => {
  const d = difference(id, e.a, e.b), w = write(id);
  return html`<tr><th scope="row">${name}</th><td class="num">${w(e.a[id])}${e.a[id] == null ? "" : unit}</td><td class="num">${w(e.b[id])}${e.b[id] == null ? "" : unit}</td>
    <td class=${"num " + (d.word ? d.worse ? "badn" : "okn" : "")}>${signed(d.by, w)}${d.by == null ? "" : id === "error_percent" ? " points" : unit}${d.word && html`<span class="word">${d.percent === null ? "" : `${Math.round(Math.abs(d.percent))} % `}${d.word}</span>`}</td></tr>`;
};
