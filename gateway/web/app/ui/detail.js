// Parts that show data in full: commands, schemas, JSON, metadata.
import {html, view, signal} from "./view.js";
import {Copy} from "./bits.js";
import {tree} from "../core/schema.js";

/** The same from a shell: one command at a time, with a copy button. */
export const Commands = view(({commands, title = "Same call from a shell", label}, self) => {
  const s = self.local(() => ({at: signal("mbus")}));
  const all = Object.entries(commands ?? {}).filter(([, v]) => v);
  if (!all.length) return null;
  const [at, text] = all.find(([k]) => k === s.at.value) ?? all[0];
  return html`<section class="commands" aria-label=${label ?? title}><div class="lab"><span class="lab-t">${title}</span>${all.length > 1 && html`<span class="seg" role="group" aria-label="Form">${all.map(([k]) => html`<button key=${k} type="button" aria-pressed=${String(k === at)} onClick=${() => { s.at.value = k; }}>${k === "go" ? "Go" : k}</button>`)}</span>`}</div>
    <div class="code"><pre tabindex="0">${text}</pre><${Copy} text=${text} what="Command copied."/></div></section>`;
});

/** A JSON Schema as a tree of typed fields. */
export const Schema = ({schema, empty = "no fields"}) => {
  if (!schema) return html`<p class="quiet">not described</p>`;
  const fields = tree(schema);
  return fields.length ? html`<${Fields} fields=${fields} depth=${0}/>` : html`<p class="quiet">${schema.type && schema.type !== "object" ? schema.type : empty}</p>`;
};
const Fields = ({fields, depth}) => html`<ul class="tree">${fields.map(f => html`<li key=${f.name}>${f.fields.length
  ? html`<details open=${depth < 2}><summary><${Field} f=${f}/></summary><${Fields} fields=${f.fields} depth=${depth + 1}/></details>`
  : html`<${Field} f=${f}/>`}</li>`)}</ul>`;
const Field = ({f}) => html`<code class="k">${f.name}</code>${f.required ? html`<abbr class="req" title="required">*</abbr>` : " "} <span class="ty">${f.type}${f.again ? " (as above)" : ""}</span>${f.rules ? html` <span class="quiet">${f.rules}</span>` : ""}${f.text ? html` <span class="doc">${f.text}</span>` : ""}`;

/** A JSON value as a tree that folds. Big arrays show their first hundred. */
export const JSONTree = ({value, name, depth = 0}) => {
  const raw = JSON.isRawJSON?.(value);
  if (value !== null && typeof value === "object" && !raw) {
    const entries = Array.isArray(value) ? value.map((v, i) => [i, v]) : Object.entries(value);
    const head = html`${name !== undefined && html`<code class="k">${name}</code> `}<span class="ty">${Array.isArray(value) ? `[${entries.length}]` : `{${entries.length}}`}</span>`;
    if (!entries.length) return html`<div class="jl">${head}</div>`;
    return html`<details class="jt" open=${depth < 3 && entries.length <= 50}><summary>${head}</summary>${entries.slice(0, 100).map(([k, v]) => html`<${JSONTree} key=${k} name=${k} value=${v} depth=${depth + 1}/>`)}${entries.length > 100 && html`<p class="quiet">${entries.length - 100} more: see Raw</p>`}</details>`;
  }
  return html`<div class="jl">${name !== undefined && html`<code class="k">${name}</code> `}<span class=${"v " + (value === null ? "null" : typeof value)}>${raw ? value.rawJSON : JSON.stringify(value)}</span></div>`;
};

/** Key and value pairs of metadata. */
export const Pairs = ({of, empty = "none"}) => {
  const all = Object.entries(of ?? {});
  return all.length ? html`<dl class="pairs">${all.map(([k, v]) => html`<div key=${k}><dt>${k}</dt><dd>${typeof v === "string" ? v : JSON.stringify(v)}</dd></div>`)}</dl>` : html`<p class="quiet">${empty}</p>`;
};
