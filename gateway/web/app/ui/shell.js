// What stands around every page: the rail, the top bar, the Line, and dialogs.
import {html, view, signal, later} from "./view.js";
import {boot, asset, path, param, setParams, page, here, loading, dressed, said, toast, theme, nextTheme, now, go, failure} from "./state.js";
import {pill, paused, waiting, pause, newer, bus, stale} from "./live.js";
import {totals, worst} from "./services.js";
import {strip} from "../core/window.js";
import {rank} from "../core/filter.js";
import {serviceURL} from "../core/routes.js";
import {count, clock, span, plural} from "../core/format.js";

export const dialog = signal(""); // help, palette, menu, node, or none
/** The module of the page that is shown. Its bar() says what the filter field filters. */
export const shown = signal(null);

const RAIL = [["", [["Services", "/services"], ["Nodes", "/nodes"], ["Topology", "/topology"], ["Query", "/query"]]],
  ["Observe", [["Stats", "/stats"], ["Events", "/events"], ["Terminal", "/terminal"]]],
  ["Manage", [["Web apps", "/webapps"], ["Gateway", "/gateway"], ["Bus", "/bus"]]]];

export const Rail = view(() => {
  const p = path.value === "/cli" ? "/terminal" : path.value, t = totals.value;
  const counts = {"/services": t?.services, "/nodes": t?.instances};
  return html`<nav class="rail" aria-label="Main">${RAIL.map(([head, links]) => html`${head && html`<h2>${head}</h2>`}<ul>${links.map(([text, href]) => html`<li key=${href}><a href=${href} aria-current=${p === href ? "page" : p.startsWith(href + "/") ? "true" : null}>${text}${counts[href] != null && html`<span>${count(counts[href])}</span>`}</a></li>`)}</ul>`)}</nav>`;
});

const Pill = view(() => {
  const p = pill.value;
  const text = {
    live: () => "live", connecting: () => "connecting", sleeping: () => "sleeping",
    gone: () => `reconnecting ${span(now.value - p.since)}`,
    bus: () => "bus disconnected",
    paused: () => `paused at ${clock(paused.value)}${waiting.value ? ` (+${count(waiting.value)} waiting)` : ""}`,
  }[p.kind]();
  return html`<button type="button" class=${"pill " + p.kind} aria-pressed=${String(Boolean(paused.value))} title=${paused.value ? "Resume live data (p)" : "Pause live data (p)"} onClick=${pause}><i aria-hidden="true"></i><span>${text}</span></button>`;
});

const Crumb = view(() => {
  const r = here.value, p = page.value;
  const top = [...RAIL.flatMap(([, l]) => l)].find(([, href]) => href === "/" + (r?.page === "service" ? "services" : r?.page === "node" ? "nodes" : r?.page));
  if (!r || p.name === "missing") return html`<div class="crumb"><h1>Not found</h1></div>`;
  if (r.page === "service" || r.page === "node") return html`<div class="crumb"><a href=${top[1]}>${top[0]}</a><span aria-hidden="true">/</span><h1 class="mono">${r.name}</h1></div>`;
  return html`<div class="crumb"><h1>${top?.[0] ?? ""}</h1></div>`;
});

const Filter = view((_, self) => {
  const s = self.local(() => ({open: signal(false)})), bar = shown.value?.bar?.();
  if (!bar) return html`<div class="find-none"></div>`;
  const q = param("q"), options = s.open.value ? bar.complete?.(q) ?? [] : [];
  return html`<div class="find"><label class="vh" for="find">${bar.label}</label>
    <input id="find" type="search" autocomplete="off" spellcheck="false" placeholder=${bar.placeholder} value=${q} list="find-list" aria-describedby=${bar.problems?.length ? "find-bad" : null}
      onFocus=${() => { s.open.value = true; }} onBlur=${() => { s.open.value = false; }} onInput=${e => setParams({q: e.target.value})}/>
    <datalist id="find-list">${options.slice(0, 12).map(o => html`<option key=${o} value=${q.replace(/\S*$/, "") + o}></option>`)}</datalist>
    ${bar.problems?.length ? html`<span id="find-bad" class="find-bad" role="status">${bar.problems[0]}</span>` : html`<kbd aria-hidden="true">/</kbd>`}</div>`;
});

/**
 * The Line: one tick for each service, worst first; many share a tick. Wide ticks
 * are links. Where they are too narrow to be hit, the Line is one list whose
 * arrow keys go from tick to tick.
 */
const Line = view((_, self) => {
  const s = self.local(() => ({width: signal(1000), at: signal(0), el: null}));
  self.after(() => {
    const r = new ResizeObserver(() => { s.width.value = s.el.clientWidth; });
    r.observe(s.el);
    return () => r.disconnect();
  }, []);
  const list = worst.value, room = s.width.value, cap = Math.max(24, Math.min(240, Math.floor(room / 4)));
  const ticks = strip(list, cap, rank), r = here.value, links = ticks.length * 26 <= room;
  const subject = r?.page === "service" ? r.name : r?.page === "node" ? page.value.data?.node?.service : param("focus") || (r?.page === "query" ? r.name || param("service") : "") || param("service");
  const n = {};
  for (const x of list) n[x.health] = (n[x.health] ?? 0) + 1;
  const words = "The Line. " + (list.length ? `${plural(list.length, "service")}: ${["down", "degraded", "starting", "stale", "ok"].map(h => `${n[h] ?? 0} ${h}`).join(", ")}` : "No services yet");
  const of = k => `${k.name || "others"}: ${k.health}${k.of > 1 ? `, worst of ${k.of}` : ""}`, kind = k => "tick " + k.health + (k.of === 1 && k.name === subject ? " on" : "");
  const at = Math.min(s.at.value, ticks.length - 1);
  return html`<div class=${"lines" + (stale.value ? " old" : "")} ref=${el => { s.el = el; }}>${links
    ? html`<ol key="links" class=${"line" + (subject ? " subject" : "")} aria-label=${words}>${ticks.map((k, i) => html`<li key=${i}><a tabindex=${i === 0 ? 0 : -1} class=${kind(k)} href=${tickURL(k)} aria-label=${of(k)} title=${of(k)} onKeyDown=${lineKeys}><i></i></a></li>`)}</ol>`
    : html`<div key="list" class=${"line dense" + (subject ? " subject" : "")} role="listbox" tabindex="0" aria-label=${words} aria-activedescendant=${"tick-" + at}
        onKeyDown=${e => { const to = {ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: ticks.length - 1}[e.key]; if (to !== undefined) { e.preventDefault(); e.stopPropagation(); s.at.value = Math.max(0, Math.min(ticks.length - 1, to)); } if (e.key === "Enter" && ticks[at]) go(tickURL(ticks[at])); }}
        onClick=${e => { const i = Number(e.target.closest("[data-t]")?.dataset.t ?? -1); if (ticks[i]) go(tickURL(ticks[i])); }}>${ticks.map((k, i) => html`<span key=${i} id=${"tick-" + i} data-t=${i} role="option" aria-selected=${String(i === at)} aria-label=${of(k)} title=${of(k)} class=${kind(k)}><i></i></span>`)}</div>`}</div>`;
});
const tickURL = k => k.of === 1 && k.name ? serviceURL(k.name) : "/services?q=" + encodeURIComponent(`is:${k.health}`);

function lineKeys(e) {
  const by = {ArrowRight: 1, ArrowLeft: -1}[e.key], all = [...e.currentTarget.closest("ol").querySelectorAll("a")];
  const to = by ? all[all.indexOf(e.currentTarget) + by] : e.key === "Home" ? all[0] : e.key === "End" ? all.at(-1) : null;
  if (!to) return;
  e.preventDefault(); e.stopPropagation();
  to.focus();
}

const Help = later(() => dressed(import("./dialogs.js")).then(m => m.Help));
const Menu = later(() => dressed(import("./dialogs.js")).then(m => m.Menu));
const Palette = later(() => dressed(import("./palette.js")).then(m => m.Palette));
const Node = later(() => dressed(import("./nodeactions.js")).then(m => m.Confirm));

const icons = {auto: "◐", light: "○", dark: "●"};
export const Shell = view(({children}) => {
  const d = dialog.value;
  return html`<a class="skip" href="#main">Skip to content</a>
  <div class="shell">
    <nav class="brand" aria-label="Home"><img src=${asset("icon.svg")} alt="" width="20" height="20"/><a href="/services">mbus</a><small>${boot.version}</small></nav>
    <header class="top"><button type="button" class="icon burger" aria-label="Pages" onClick=${() => { dialog.value = "menu"; }}>☰</button><${Crumb}/><${Filter}/><${Pill}/>
      <button type="button" class="icon wide-only" aria-label=${`Theme: ${theme.value}. Change it`} title="Theme (t)" onClick=${nextTheme}>${icons[theme.value]}</button>
      <button type="button" class="icon wide-only" aria-label="Keyboard shortcuts" title="Keyboard (?)" onClick=${() => { dialog.value = "help"; }}>?</button>
      ${loading.value && html`<div class="loading" role="progressbar" aria-label="Loading"></div>`}</header>
    <${Rail}/>
    <main id="main" tabindex="-1">${newer.value && html`<div class="banner" role="status"><span>mbus was updated. This page still runs the old dashboard.</span><button type="button" class="btn small" onClick=${() => location.reload()}>Reload</button></div>`}<${Lost}/><${Line}/>${children}</main>
  </div>
  <div class="vh" role="status" aria-live="polite">${said.value}</div>
  ${toast.value && html`<div class="toast" role="status" aria-live="off">${toast.value}</div>`}
  ${d === "help" && html`<${Help}/>`}${d === "menu" && html`<${Menu}/>`}${d === "palette" && html`<${Palette}/>`}${d === "node" && html`<${Node}/>`}`;
});

/** Says what connection is lost, since when, and how old the data is. */
const Lost = view(() => {
  const p = pill.value, f = failure.value;
  if (p.kind === "gone" && now.value - p.since > 1500) return html`<div class="banner bad" role="alert"><span><b>mbus is gone.</b> The dashboard tries again by itself. What is shown is <span class="mono">${span(now.value - p.since)}</span> old.</span></div>`;
  if (p.kind === "bus") return html`<div class="banner bad" role="alert"><span><b>The bus is disconnected.</b> mbus runs but reaches no NATS at <code>${bus.value.url}</code>, and tries again by itself. What is shown is <span class="mono">${span(now.value - bus.value.since)}</span> old.</span></div>`;
  if (f && page.value.path === path.value) return html`<div class="banner bad" role="alert"><span><b>The last update failed.</b> ${f.error.message}. What is shown is <span class="mono">${span(now.value - page.value.at)}</span> old.</span><button type="button" class="btn small" onClick=${() => go(location.href)}>Try again</button></div>`;
  return null;
});
