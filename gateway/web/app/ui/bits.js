// The small parts that every page is made of.
import {html, view, signal} from "./view.js";
import {copy, now} from "./state.js";
import {nameParts, span, clock, none} from "../core/format.js";
import {sparkPath} from "../core/window.js";
import {tree} from "../core/schema.js";

const shape = {
  ok: html`<circle cx="5" cy="5" r="4" fill="currentColor"/>`,
  degraded: html`<path d="M5 .5 9.6 9.5H.4Z" fill="currentColor"/>`,
  down: html`<path d="M1 1h8v8H1Z" fill="currentColor"/>`,
  starting: html`<circle cx="5" cy="5" r="3.6" fill="none" stroke="currentColor" stroke-width="1.6"/>`,
  stale: html`<circle cx="5" cy="5" r="3.6" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.2 1.6"/>`,
};
const as = {suspect: "down", draining: "stale"};
/** Health is a shape, a word and a colour. */
export const Glyph = ({h}) => html`<svg class="glyph" viewBox="0 0 10 10" aria-hidden="true">${shape[as[h] ?? h] ?? shape.stale}</svg>`;
export const Health = view(({h}) => html`<span class=${"st " + (as[h] ?? h)}><${Glyph} h=${h}/>${h}</span>`);

/** A dotted name whose common part is faint; only that part is ever cut. */
export const Name = ({n}) => { const [a, b] = nameParts(n); return html`<span class="n" title=${n}><em>${a}</em><b>${b}</b></span>`; };

export const Spark = ({values, w = 92, h = 20}) => html`<svg class="spark" viewBox=${`0 0 ${w} ${h}`} preserveAspectRatio="none" aria-hidden="true"><path d=${sparkPath(values ?? [], w, h)}/></svg>`;

export const Copy = ({text, label = "Copy", what}) => html`<button type="button" class="btn small" onClick=${() => copy(text, what)}>${label}</button>`;

/** The same from a shell: one command at a time, with a copy button. */
export const Commands = view(({commands, title = "Same call from a shell", label}, self) => {
  const s = self.local(() => ({at: signal("mbus")}));
  const all = Object.entries(commands ?? {}).filter(([, v]) => v);
  if (!all.length) return null;
  const [at, text] = all.find(([k]) => k === s.at.value) ?? all[0];
  return html`<section class="commands" aria-label=${label ?? title}><div class="lab"><span class="lab-t">${title}</span><span class="seg" role="group" aria-label="Form">${all.map(([k]) => html`<button key=${k} type="button" aria-pressed=${String(k === at)} onClick=${() => { s.at.value = k; }}>${k === "go" ? "Go" : k}</button>`)}</span></div>
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

/** An empty place says why, and one thing to do. */
export const Empty = ({title, children}) => html`<div class="empty"><b>${title}</b>${children}</div>`;

/** What failed, with what the server said, and a way to try again. */
export const Failed = ({error, retry, what = "This page could not be loaded."}) => html`<div class="failed" role="alert"><p><b>${what}</b> ${error.message}</p>
  <p class="quiet">${error.code ? html`code <code>${error.code}</code>` : ""}${error.id ? html` · request <code>${error.id}</code>` : ""}</p>
  ${retry && html`<button type="button" class="btn" onClick=${retry}>Try again</button>`}</div>`;

/** Tabs that are addresses. */
export const Tabs = ({tabs, label}) => html`<nav class="tabs" aria-label=${label}>${tabs.map(t => html`<a key=${t.href} href=${t.href} aria-current=${t.on ? "page" : null}>${t.text}${t.count != null && html`<span>${t.count}</span>`}</a>`)}</nav>`;

/** A figure with its name. */
export const Figure = ({name, value, unit, kind, title, children}) => html`<div class=${"fig " + (kind ?? "")} title=${title}><dt>${name}</dt><dd>${value}${unit && html`<small>${unit}</small>`}${children}</dd></div>`;

export const Age = view(({at, suffix = " ago"}) => html`<time title=${at ? new Date(at).toLocaleString() : ""}>${at ? span(now.value - at) + suffix : none}</time>`);
export const Clock = ({at, fine}) => html`<time title=${at ? new Date(at).toISOString() : ""}>${clock(at, fine)}</time>`;

/** Key and value pairs of metadata. */
export const Pairs = ({of, empty = "none"}) => {
  const all = Object.entries(of ?? {});
  return all.length ? html`<dl class="pairs">${all.map(([k, v]) => html`<div key=${k}><dt>${k}</dt><dd>${typeof v === "string" ? v : JSON.stringify(v)}</dd></div>`)}</dl>` : html`<p class="quiet">${empty}</p>`;
};

/** A segmented choice. */
export const Choice = ({label, value, options, on}) => html`<span class="seg" role="group" aria-label=${label}>${options.map(([v, text]) => html`<button key=${v} type="button" aria-pressed=${String(v === value)} onClick=${() => on(v)}>${text}</button>`)}</span>`;
