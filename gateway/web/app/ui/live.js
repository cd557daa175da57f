// The page's end of the live stream: state, pause, and who listens to what.
import {signal, computed, batch} from "./view.js";
import {boot, page, load, say, tell, now, asset} from "./state.js";
import {Held} from "../core/live.js";

export const link = signal({state: "connecting", since: Date.now()});
export const bus = signal(page.value.data?.bus ?? null);
export const paused = signal(0);      // since when; 0: not
export const waiting = signal(0);     // messages held while paused
export const newer = signal(false);   // the server has another build of the app
export const interval = signal(1000);

/** What the pill says: {kind, text}. */
export const pill = computed(() => {
  const l = link.value;
  if (paused.value) return {kind: "paused"};
  if (l.state === "sleeping") return {kind: "sleeping"};
  if (l.state !== "live") return {kind: l.state === "reconnecting" ? "gone" : "connecting", since: l.since};
  if (bus.value && bus.value.connected === false) return {kind: "bus", since: bus.value.since};
  return {kind: "live"};
});
/** Whether the numbers shown are old, and since when. */
export const stale = computed(() => {
  const p = pill.value;
  return p.kind === "gone" || p.kind === "bus" ? p.since : 0;
});

// one policy, for the three scripts that are not imported
const allowed = new Set([asset("worker.js"), asset("layout.js"), asset("vendor/uplot/uPlot.iife.min.js")]);
const policy = globalThis.trustedTypes?.createPolicy("mbus", {createScriptURL: u => { if (!allowed.has(u)) throw new TypeError(u); return u; }});
export const script = url => policy ? policy.createScriptURL(url) : url;

const listeners = new Map(); // topic → Set of functions (kind, data)
// Numbers that are too many are fetched anew; events cannot be, so that they have
// room of their own.
const held = new Held(600), heldEvents = new Held(600);
let port = null, recent = 0, missed = false;

let from = {}; // topic → the number of its last delta that the page has
function topics() { return [...listeners.keys()]; }
function wake() {
  if (!port) return;
  if (document.hidden) { link.value = {state: "sleeping", since: Date.now()}; port.postMessage({asleep: true}); } else {
    port.postMessage({topics: topics(), from});
    from = {};
  }
}

/**
 * Listens to a topic until the function that it returns is called. With seq the
 * deltas after that one come first, or resync.
 */
export function listen(topic, f, seq) {
  let set = listeners.get(topic);
  if (!set) listeners.set(topic, set = new Set());
  set.add(f);
  if (seq) from[topic] = seq;
  if (port && set.size === 1) wake();
  return () => {
    set.delete(f);
    if (!set.size) { listeners.delete(topic); if (!document.hidden) port?.postMessage({topics: topics()}); }
  };
}

function deliver({kind, topic, text}) {
  const data = JSON.parse(text);
  for (const f of listeners.get(topic) ?? []) f(kind, data);
}

/** Fetches the page's data again, at most every two seconds. */
export function resync() {
  if (paused.value) { missed = true; return; }
  const wait = Math.max(0, 2000 - (Date.now() - recent));
  if (recent > Date.now()) return;
  recent = Date.now() + wait;
  setTimeout(() => { recent = Date.now(); load(true); }, wait);
}

function onmessage({data}) {
  if (data.state) {
    const was = link.value.state;
    link.value = data.state;
    if (was === "reconnecting" && data.state.state === "live") { say("Live again."); resync(); }
    if (was === "live" && data.state.state === "reconnecting") say("The dashboard lost mbus and tries again.");
    return;
  }
  if (data.kind === "hello") {
    const hello = JSON.parse(data.text);
    interval.value = hello.interval_ms ?? 1000;
    if (hello.build && boot.build && hello.build !== boot.build) newer.value = true;
    return;
  }
  if (data.kind === "link") {
    const next = JSON.parse(data.text), was = bus.value?.connected;
    bus.value = next;
    if (was === true && next.connected === false) say("mbus has lost the bus. The numbers shown are old.");
    if (was === false && next.connected) { say("The bus is back."); resync(); }
    return;
  }
  if (paused.value) {
    (data.kind === "events" ? heldEvents : held).add(data);
    waiting.value = held.count + heldEvents.count;
    return;
  }
  batch(() => deliver(data));
}

export function pause() {
  if (!paused.value) { paused.value = Date.now(); say("Paused."); return; }
  const again = held.lost || missed, left = heldEvents.lost;
  const all = held.take(), events = heldEvents.take();
  missed = false;
  batch(() => {
    paused.value = 0; waiting.value = 0;
    if (!again) for (const m of all) deliver(m);
    for (const m of events) deliver(m);
  });
  if (again) resync();
  say("Live again.");
  if (left) tell("The pause was long: its first events did not fit and are left out.");
}

/** Fetches the page's data again once somebody looks, unless it is paused. */
function look() { if (paused.value) missed = true; else load(true); }

export async function connect() {
  const url = asset("worker.js");
  if (globalThis.SharedWorker) {
    const w = new SharedWorker(script(url), {type: "module", name: "mbus"});
    port = w.port;
    port.onmessage = onmessage;
    w.onerror = () => { port = null; inPage(url); };
  } else await inPage(url);
  wake();
  document.addEventListener("visibilitychange", () => {
    wake();
    if (!document.hidden && Date.now() - now.value > 3000) look();
  });
  addEventListener("pagehide", () => port?.postMessage({bye: true}));
  addEventListener("pageshow", e => { if (e.persisted) { wake(); look(); } });
  setInterval(() => { if (!document.hidden) port?.postMessage({topics: topics()}); }, 15000);
}

async function inPage(url) {
  const {Hub} = await import(url);
  const hub = new Hub("/-/live"), self = {postMessage: data => onmessage({data})};
  port = {postMessage: m => hub.hear(self, m)};
  wake();
}
