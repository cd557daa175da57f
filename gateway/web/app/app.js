// The dashboard. The server sends the page's first data inside the page; from
// there this takes deltas of the live stream and goes from page to page without
// reloading. No build step: these files are served as they are.
//
//   core/   rules without a document: filters, formats, schemas, keys
//   ui/     what all pages share
//   pages/  one module a page: {title(), view, load(data), topics(), bar(), on(kind, data)}
//   vendor/ npm files, unchanged; VENDOR.json says which
import {html, render, view, signal, effect, untracked} from "./ui/view.js";
import {page, path, params, here, failure, onArrive, load, go, setParams, nextTheme, prefs, copy, tell, say, param, styles, dressed} from "./ui/state.js";
import {connect, listen, pause, resync} from "./ui/live.js";
import * as services from "./ui/services.js";
import {Shell, dialog, shown} from "./ui/shell.js";
import {Empty, Failed} from "./ui/bits.js";
import {current} from "./ui/grid.js";
import {Keys} from "./core/keys.js";

const modules = new Map();
const broken = signal(null), arranged = signal(0);
async function moduleOf(name) {
  if (!modules.has(name)) modules.set(name, (name === "services" ? await import("./pages/services.js") : await dressed(import(`./pages/${name}.js`))).default);
  return modules.get(name);
}

const Page = view(() => {
  if (broken.value) return html`<${Failed} error=${broken.value} what="This page's code could not be loaded." retry=${() => location.reload()}/>`;
  const m = shown.value, lost = failure.value;
  // what is shown belongs to another address
  if (lost && page.value.path !== path.value) return html`<${Failed} error=${lost.error} retry=${() => load()}/>`;
  return m ? html`<${m.view} key=${m.name}/>` : html`<${Empty} title="Loading"/>`;
});

/** Shows the page whose data is there. */
async function arrange() {
  const p = page.value;
  let m;
  try { m = await moduleOf(p.name); broken.value = null; } catch (e) { broken.value = e; return; }
  if (p !== page.value) return;
  m.name = p.name;
  m.load?.(p.data);
  shown.value = m;
  arranged.value++;
  title();
}
function title() {
  const r = here.value, m = shown.value;
  document.title = `${page.value.status === 404 ? "Not found" : m?.title(r) ?? "mbus"} · mbus`;
}

// ---- topics of the page, once its module has the data that they depend on
let undo = [];
effect(() => {
  const m = shown.value;
  path.value; params.value; arranged.value;
  const topics = untracked(() => m?.topics?.() ?? []), key = topics.join();
  if (key === undo.key) return;
  for (const f of undo) f();
  undo = topics.map(t => listen(t, (kind, data) => { if (kind === "resync") resync(); else shown.value?.on?.(kind, data); }, untracked(() => m.seq?.())));
  undo.key = key;
});

// ---- keys
const keys = new Keys(prefs.keys.value);
const acts = {
  palette: () => { dialog.value = dialog.value === "palette" ? "" : "palette"; },
  help: () => { dialog.value = "help"; },
  filter: () => document.getElementById("find")?.focus(),
  pause, theme: nextTheme,
  absolute: () => {
    const m = /^(\d+)(s|m|h)$/.exec(param("range") || "15m");
    if (!m || page.value.name !== "stats" && here.value?.tab !== "stats") { tell("This page has no time range."); return; }
    if (param("to")) { copy(location.href, "The range is absolute already; the address is copied."); return; }
    const now = Math.floor(Date.now() / 1000);
    setParams({from: String(now - Number(m[1]) * {s: 1, m: 60, h: 3600}[m[2]]), to: String(now)});
    copy(location.href, "The range is absolute, and the address copied.");
  },
  escape: () => escape(),
  down: () => step(i => i + 1), up: () => step(i => i - 1),
  page: () => current.grid?.page(),
  copy: async () => { const g = current.grid, r = g?.row(), text = r && await g.props().command?.(r); if (text) copy(text, `Copied: ${text}`); },
  actions: () => { current.grid?.open(); enter(".inspect a, .inspect button, .event button", performance.now() + 1500); },
  density: () => { const order = [32, 26, 40]; prefs.density.value = order[(order.indexOf(prefs.density.value) + 1) % 3]; say(`Rows are ${prefs.density.value} pixels high.`); },
  view: () => shown.value?.toggle?.(),
  earlier: () => shown.value?.turn?.("earlier"), later: () => shown.value?.turn?.("later"),
};
/** Puts the focus into what is about to be shown. */
function enter(where, until) {
  requestAnimationFrame(() => { const el = document.querySelector(where); if (el) el.focus(); else if (performance.now() < until) enter(where, until); });
}
function step(to) {
  if (!current.grid) return;
  current.grid.move(to);
}
function escape() {
  const el = document.activeElement;
  if (dialog.value) return;
  if (el?.id === "find") { if (el.value) setParams({q: ""}); else el.blur(); return; }
  if (el?.matches("input,textarea,select")) { el.blur(); return; }
  if (param("sel")) setParams({sel: ""});
}
addEventListener("keydown", e => {
  keys.on = prefs.keys.value;
  const field = e.target.matches?.("input,textarea,select,[contenteditable]") ?? false;
  const action = keys.feed({key: e.key, ctrl: e.ctrlKey || e.metaKey, alt: e.altKey, field, at: e.timeStamp});
  if (action === null || e.defaultPrevented) return;
  if (dialog.value && action !== "palette") return;
  if (action !== "escape") e.preventDefault();
  if (action.startsWith("/")) go(action); else acts[action]?.();
});

onArrive(() => {
  // not when somebody has begun to do something else meanwhile
  if (!document.activeElement?.matches("input,textarea,select,dialog *")) document.getElementById("main")?.focus({preventScroll: true});
  say(document.title);
});

services.start();
await arrange();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${Shell}><${Page}/></${Shell}>`, root);
effect(() => { page.value; untracked(arrange); });
performance.mark("mbus:shown");
document.documentElement.dataset.ready = "yes";
connect();
for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"]) addEventListener(kind, styles, {once: true, capture: true, passive: true});
