// Ctrl K: services, endpoints, pages and actions by a few letters.
import {html, view, signal} from "./view.js";
import {getJSON, go, nextTheme} from "./state.js";
import {pause, paused} from "./live.js";
import {dialog} from "./shell.js";
import {Dialog} from "./dialogs.js";
import {Glyph} from "./bits.js";
import {serviceURL, queryURL} from "../core/routes.js";
import {find} from "../core/fuzzy.js";

const PAGES = [["Services", "/services"], ["Nodes", "/nodes"], ["Topology", "/topology"], ["Query", "/query"], ["Stats", "/stats"], ["Events", "/events"], ["Terminal", "/terminal"], ["Web apps", "/webapps"], ["Gateway", "/gateway"], ["Bus", "/bus"]];

let kept = null;
/** Names of all services with their methods, at most ten seconds old. */
export async function index() {
  if (kept && Date.now() - kept.at < 10000) return kept.services;
  const d = await getJSON("/-/index");
  kept = {at: Date.now(), services: d.services ?? []};
  return kept.services;
}

export const Palette = view((_, self) => {
  const s = self.local(() => ({q: signal(""), at: signal(0), services: signal([]), error: signal("")}));
  self.after(() => { index().then(v => { s.services.value = v; }, e => { s.error.value = e.message; }); }, []);
  const things = [
    ...PAGES.map(([text, href]) => ({text, kind: "page", href})),
    {text: paused.value ? "Resume live data" : "Pause live data", kind: "action", run: pause}, {text: "Change the theme", kind: "action", run: nextTheme},
    ...s.services.value.map(x => ({text: x.name, kind: "service", health: x.health, href: serviceURL(x.name)})),
    ...(s.q.value ? s.services.value.flatMap(x => (x.methods ?? []).map(m => ({text: `${x.name} ${m}`, kind: "call", href: queryURL(x.name, m)}))) : []),
  ];
  const hits = find(s.q.value, things, x => x.text, 40), at = Math.min(s.at.value, hits.length - 1);
  const pick = x => { dialog.value = ""; if (x.run) x.run(); else go(x.href); };
  return html`<${Dialog} name="palette" label="Go to">
    <input class="field" type="text" role="combobox" aria-label="Service, endpoint, page or action" aria-expanded="true" aria-controls="pal" aria-activedescendant=${hits.length ? "pal-" + at : null} autocomplete="off" spellcheck="false" placeholder="Service, endpoint, page or action" value=${s.q.value}
      ref=${el => el?.focus()} onInput=${e => { s.q.value = e.target.value; s.at.value = 0; }}
      onKeyDown=${e => {
    if (e.key === "ArrowDown" || e.key === "ArrowUp") { e.preventDefault(); s.at.value = Math.max(0, Math.min(hits.length - 1, at + (e.key === "ArrowDown" ? 1 : -1))); document.getElementById("pal-" + s.at.value)?.scrollIntoView({block: "nearest"}); }
    if (e.key === "Enter" && hits[at]) { e.preventDefault(); pick(hits[at]); }
  }}/>
    <ul class="pal" id="pal" role="listbox" aria-label="Found">${hits.map((x, i) => html`<li key=${x.kind + x.text} id=${"pal-" + i} role="option" aria-selected=${String(i === at)} onClick=${() => pick(x)}>${x.health ? html`<span class=${"st " + x.health}><${Glyph} h=${x.health}/></span>` : html`<span class="glyph"></span>`}<span class="pal-t">${x.text}</span><span class="quiet">${x.kind}</span></li>`)}</ul>
    ${!hits.length && html`<p class="quiet">Nothing is called “${s.q.value}”.${s.error.value ? ` The list of services could not be read: ${s.error.value}.` : ""}</p>`}</${Dialog}>`;
});
