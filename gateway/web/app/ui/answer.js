// What came of a call. The three kinds of failure look and read differently: the
// bus was not reached, no node answered, the service said no.
import {html, view, signal} from "./view.js";
import {Choice, Copy} from "./bits.js";
import {JSONTree} from "./detail.js";
import {pretty, hex} from "../core/json.js";
import {ms, bytes, shortID} from "../core/format.js";
import {nodeURL, queryURL} from "../core/routes.js";

const KINDS = {
  bus: ["mbus did not reach the bus", "Nothing was sent. It is not known whether the service is well."],
  nobody: ["No node answered", ""],
  service: ["The service said no", ""],
  request: ["This is no request", "Nothing was sent."],
  dashboard: ["The dashboard did not answer", "mbus itself is gone or refused the request; the bus was not asked."],
};
const ENDS = {nobody: "Nobody listens on this subject.", timeout: "The time was over before an answer came.", refused: "It was refused: too much load, or no right.", cancelled: "The call was cancelled."};

export const Answer = view(({answer: a, small}, self) => {
  const s = self.local(() => ({as: signal("raw")}));
  if (!a.ok) return html`<${Failure} a=${a}/>`;
  const text = a.text ?? (a.base64 != null ? hex(a.base64) : pretty(a.body));
  const big = text !== undefined && text.length > 200000;
  return html`<div class="answer"><div class="lab"><span class="lab-t">Response</span><span class="quiet mono">${a.status} · ${ms(a.elapsed_ms)} ms${a.instance ? html` · <a href=${nodeURL(a.instance)} title=${a.instance}>${shortID(a.instance, a.service)}</a>` : ""}${a.bytes != null ? ` · ${bytes(a.bytes)}` : ""}</span></div>
    ${!small && html`<div class="row tight"><${Choice} label="Show response as" value=${s.as.value} options=${[["raw", "Raw"], ["tree", "Tree"], ["headers", "Headers"]]} on=${v => { s.as.value = v; }}/><${Copy} text=${text ?? ""} what="Response copied."/></div>`}
    ${s.as.value === "headers" ? html`<pre tabindex="0">${[["Content-Type", a.content_type], ...Object.entries(a.headers ?? {})].filter(([, v]) => v).map(([k, v]) => `${k}: ${[].concat(v).join(", ")}`).join("\n") || "none"}</pre>`
    : s.as.value === "tree" && a.body !== undefined ? html`<div class="treebox" tabindex="0" role="region" aria-label="Response tree"><${JSONTree} value=${a.body}/></div>`
    : html`<pre class="res" tabindex="0" data-test="response">${text === undefined ? "(empty)" : big ? text.slice(0, 200000) + "\n…" : text}</pre>`}
    ${big && html`<p class="quiet">Cut at 200,000 characters; Copy takes all.</p>`}</div>`;
});

const Failure = ({a}) => {
  const [title, text] = KINDS[a.failure] ?? KINDS.service;
  return html`<div class=${"answer fail " + (a.failure ?? "service")} data-failure=${a.failure}><div class="lab"><span class="lab-t"><${FailGlyph} kind=${a.failure}/> ${title}</span><span class="quiet mono">${a.status ? a.status + " · " : ""}${a.elapsed_ms != null ? ms(a.elapsed_ms) + " ms" : ""}</span></div>
    <p>${a.failure === "nobody" && ENDS[a.end] ? ENDS[a.end] + " " : ""}${text}</p>
    ${a.detail && html`<pre class="res" tabindex="0">${a.detail}</pre>`}
    <dl class="pairs">${a.code && html`<div><dt>code</dt><dd>${a.code}</dd></div>`}${a.end && html`<div><dt>end</dt><dd>${a.end}</dd></div>`}${a.instance && html`<div><dt>node</dt><dd><a href=${nodeURL(a.instance)}>${a.instance}</a></dd></div>`}
      ${a.tried?.length ? html`<div><dt>tried</dt><dd>${a.tried.join(", ")}</dd></div>` : ""}${a.retry && html`<div><dt>again</dt><dd>${a.retry === "safe" ? "safe to send again" : a.retry === "never" ? "do not send again" : a.retry}</dd></div>`}</dl>
    ${a.data != null && html`<div class="lab"><span class="lab-t">Detail of the service</span></div><pre tabindex="0">${pretty(a.data)}</pre>`}
    ${a.near?.length ? html`<p>Close by: ${a.near.map((n, i) => html`${i ? ", " : ""}<a key=${n} href=${queryURL(...n.split(" "))}>${n}</a>`)}</p>` : ""}</div>`;
};
const FailGlyph = ({kind}) => html`<svg class="glyph" viewBox="0 0 12 12" aria-hidden="true">${kind === "bus" || kind === "dashboard" ? html`<path d="M1 6h3M8 6h3M5 3l2 6" stroke="currentColor" stroke-width="1.6" fill="none"/>` : kind === "nobody" ? html`<circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2.5 2"/>` : html`<path d="M1 1h10v10H1Z" fill="currentColor"/>`}</svg>`;
