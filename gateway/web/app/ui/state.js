// What the whole app knows: the first data, the address, the theme, preferences.
import {signal, computed, batch} from "./view.js";
import {route, search} from "../core/routes.js";

export const boot = JSON.parse(document.getElementById("boot").textContent);
export const asset = path => new URL("../" + path, import.meta.url).href;

let styled = null;
/** Fetches the styles that the first look at Services does not need. */
export function styles() {
  return styled ??= new Promise(done => {
    const link = Object.assign(document.createElement("link"), {rel: "stylesheet", href: asset("pages.css"), onload: done, onerror: done});
    document.head.append(link);
  });
}
/** Fetches a module together with the styles. */
export const dressed = coming => Promise.all([coming, styles()]).then(([m]) => m);

// ---- preferences, kept in this browser
function stored(key, fallback) {
  let v = fallback;
  try { v = JSON.parse(localStorage.getItem("mbus." + key)) ?? fallback; } catch { /* a private window */ }
  const s = signal(v);
  return {
    get value() { return s.value; },
    set value(next) {
      s.value = next;
      try { localStorage.setItem("mbus." + key, JSON.stringify(next)); } catch { /* the same */ }
    },
  };
}
export const prefs = {
  keys: stored("keys", true), density: stored("density", 32), history: stored("history", true),
  calls: stored("calls", []), views: stored("views", []), words: stored("words", []),
};

// ---- theme: a cookie, so that the server draws it and nothing flashes
export const theme = signal(boot.theme || "auto");
export function nextTheme() {
  const order = ["auto", "light", "dark"];
  theme.value = order[(order.indexOf(theme.value) + 1) % 3];
  document.documentElement.dataset.theme = theme.value;
  document.cookie = `mbus_theme=${theme.value};path=/;max-age=31536000;samesite=strict`;
  say(theme.value === "auto" ? "Theme follows the system." : `Theme is ${theme.value}.`);
}
export const dark = matchMedia("(prefers-color-scheme: dark)");
/** Changes when colours do, for what draws on a canvas. */
export const palette = signal(0);
dark.addEventListener("change", () => palette.value++);

// ---- the address is the state
export const path = signal(location.pathname);
export const params = signal(new URLSearchParams(location.search));
export const param = key => params.value.get(key) ?? "";
export const here = computed(() => route(path.value));

/** Puts values into the address; "" takes one away. */
export function setParams(values, push = false) {
  const p = new URLSearchParams(location.search);
  let differs = false;
  for (const [k, v] of Object.entries(values)) {
    if ((p.get(k) ?? "") === String(v)) continue;
    differs = true;
    if (v === "") p.delete(k); else p.set(k, v);
  }
  if (!differs) return;
  history[push ? "pushState" : "replaceState"](history.state, "", location.pathname + search(p));
  params.value = p;
}

// ---- pages
export const page = signal({name: boot.page, status: boot.status ?? 200, data: boot.data, at: Date.now(), path: location.pathname});
export const loading = signal(false);
export const failure = signal(null); // why the last fetch of this page's data failed

/** The JSON of a URL. read reads the text in place of JSON.parse. Throws with code, status, body and id. */
export async function getJSON(url, options = {}) {
  const headers = {Accept: "application/json", ...options.headers};
  let answer;
  try {
    answer = await fetch(url, {cache: "no-store", ...options, headers});
  } catch (e) {
    throw Object.assign(new Error("mbus did not answer: it is gone, or the network is"), {code: "unreachable", cause: e});
  }
  const id = answer.headers.get("X-Request-Id") ?? answer.headers.get("Mbus-Request-Id") ?? "";
  const type = answer.headers.get("Content-Type") ?? "";
  const body = type.includes("json") ? options.read ? options.read(await answer.text()) : await answer.json() : {detail: (await answer.text()).slice(0, 300)};
  if (!answer.ok) {
    throw Object.assign(new Error(body.detail || body.Detail || answer.statusText || `status ${answer.status}`), {status: answer.status, code: body.code ?? String(answer.status), body, id: body.id || id});
  }
  return body;
}
export const postJSON = (url, body, {signal, read} = {}) => getJSON(url, {method: "POST", signal, read, headers: {"Content-Type": "application/json"}, body: typeof body === "string" ? body : JSON.stringify(body)});

let turn = 0;
/**
 * Fetches the data of the address, and then makes the address that of the page.
 * quiet keeps what is shown in place. Of several at a time the last one counts.
 */
export async function load(quiet = false) {
  const mine = ++turn, at = location.pathname, r = route(at);
  const slow = quiet ? 0 : setTimeout(() => { if (mine === turn) loading.value = true; }, 150);
  let next, lost = null;
  try {
    next = {name: r?.page ?? "missing", status: 200, data: await getJSON(at + location.search)};
  } catch (e) {
    if (e.status === 404) next = {name: "missing", status: 404, data: e.body};
    else lost = {error: e, at: Date.now()};
  } finally { clearTimeout(slow); }
  if (mine !== turn) return;
  const moved = at !== path.value;
  batch(() => {
    loading.value = false;
    if (next) page.value = {...next, at: Date.now(), path: at};
    failure.value = lost;
    path.value = at;
    params.value = new URLSearchParams(location.search);
  });
  if (moved) arrived();
}

/** Goes to a page of the app; to anything else the browser goes. */
export async function go(href, {replace = false} = {}) {
  const url = new URL(href, location.href);
  if (url.origin !== location.origin || !route(url.pathname)) { location.href = url.href; return; }
  if (url.href === location.href) return load();
  history[replace ? "replaceState" : "pushState"](null, "", url.pathname + url.search + url.hash);
  const same = url.pathname === path.value;
  if (same) params.value = new URLSearchParams(url.search);
  await load(same);
  if (!same) document.getElementById("main")?.scrollTo(0, 0);
}

let arrived = () => {};
/** f runs after each change of page. */
export const onArrive = f => { arrived = f; };

addEventListener("popstate", () => {
  const same = location.pathname === path.value;
  if (same) params.value = new URLSearchParams(location.search);
  load(same);
});

document.addEventListener("click", e => {
  const a = e.target.closest?.("a[href]");
  if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.target || a.hasAttribute("download")) return;
  const url = new URL(a.href);
  if (url.origin !== location.origin || !route(url.pathname) || (url.hash && url.pathname === location.pathname)) return;
  if (/[?&]format=/.test(url.search)) return;
  e.preventDefault();
  go(url.href);
});

// ---- what is said to people who do not see it, and shown for a moment
export const said = signal("");
export const toast = signal(null);
export function say(text) { said.value = text; }
let fading = 0;
export function tell(text) {
  toast.value = text; say(text);
  clearTimeout(fading);
  fading = setTimeout(() => { toast.value = null; }, 4000);
}
export async function copy(text, what = "Copied.") {
  try {
    await navigator.clipboard.writeText(text);
    tell(what);
  } catch {
    tell("The browser did not allow copying: select the text instead.");
  }
}

// ---- time, for ages; once a second while somebody looks
export const now = signal(Date.now());
setInterval(() => { if (!document.hidden) now.value = Date.now(); }, 1000);
