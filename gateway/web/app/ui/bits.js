// The small parts that every page is made of.
import {html, view} from "./view.js";
import {copy, now} from "./state.js";
import {nameParts, span, clock, none} from "../core/format.js";
import {sparkPath} from "../core/window.js";

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

/** An empty place says why, and one thing to do. */
export const Empty = ({title, children}) => html`<div class="empty"><b>${title}</b>${children}</div>`;

/** What failed, with what the server said, and a way to try again. */
export const Failed = ({error, retry, what = "This page could not be loaded."}) => html`<div class="failed" role="alert"><p><b>${what}</b> ${error.message}</p>
  <p class="quiet">${error.code ? html`code <code>${error.code}</code>` : ""}${error.id ? html` · request <code>${error.id}</code>` : ""}</p>
  ${retry && html`<button type="button" class="btn" onClick=${retry}>Try again</button>`}</div>`;

/** Tabs that are addresses. */
export const Tabs = ({tabs, label}) => html`<nav class="tabs" aria-label=${label}>${tabs.map(t => html`<a key=${t.href} href=${t.href} aria-current=${t.on ? "page" : null}>${t.text}${t.count != null && html`<span>${t.count}</span>`}</a>`)}</nav>`;

/** A figure with its name. */
export const Figure = ({name, value, unit, kind, title, children}) => html`<div class=${"fig " + (kind ?? "")} title=${title}><dt>${name}</dt><dd>${value}${unit && value !== none && html`<small>${unit}</small>`}${children}</dd></div>`;

export const Age = view(({at, suffix = " ago"}) => html`<time title=${at ? new Date(at).toLocaleString() : ""}>${at ? span(now.value - at) + suffix : none}</time>`);
export const Clock = ({at, fine}) => html`<time title=${at ? new Date(at).toISOString() : ""}>${clock(at, fine)}</time>`;

/** A segmented choice. */
export const Choice = ({label, value, options, on}) => html`<span class="seg" role="group" aria-label=${label}>${options.map(([v, text]) => html`<button key=${v} type="button" aria-pressed=${String(v === value)} onClick=${() => on(v)}>${text}</button>`)}</span>`;
