// All nodes.
import {html, view, signal, computed} from "../ui/view.js";
import {param, setParams, getJSON} from "../ui/state.js";
import {resync, bus} from "../ui/live.js";
import {NodeGrid} from "../ui/nodegrid.js";
import {FirstRun} from "../ui/firstrun.js";
import {applyNodes} from "../core/live.js";
import {compile, complete, nodeFields, nodeWords} from "../core/filter.js";

const rows = new Map(), state = {seq: 0}, tick = signal(0), total = signal(null);
let full = false;

function load(d) {
  full = d.nodes.length >= (d.matched ?? 0) && !param("q");
  rows.clear();
  for (const n of d.nodes) rows.set(n.id, n);
  state.seq = d.seq;
  total.value = d.totals;
  if (d.bus) bus.value = d.bus;
  tick.value++;
  if (!full) rest();
}

async function rest() {
  const service = param("service");
  try {
    const d = await getJSON("/nodes?limit=0" + (service ? "&service=" + encodeURIComponent(service) : ""));
    rows.clear();
    for (const n of d.nodes) rows.set(n.id, n);
    state.seq = d.seq;
    full = true;
    tick.value++;
  } catch { /* the next resync tries again */ }
}

function on(kind, d) {
  if (kind !== "nodes") return;
  const what = applyNodes(rows, state, d);
  if (what === "stale") return resync();
  if (what === "old") return;
  total.value = d.totals ?? total.value;
  tick.value++;
}

const all = computed(() => { tick.value; const service = param("service"); return [...rows.values()].filter(n => !service || n.service === service); });
const problems = computed(() => compile(param("q"), nodeFields, nodeWords).problems);

const Nodes = view(() => {
  const t = total.value, service = param("service");
  if (!rows.size && t && !t.instances) return html`<${FirstRun}/>`;
  return html`<div class="fill">${service && html`<div class="bar"><span>Nodes of <b class="mono">${service}</b></span><button type="button" class="btn small" onClick=${() => setParams({service: ""})}>All services</button></div>`}
    <${NodeGrid} nodes=${all.value} tick=${tick.value} empty=${html`<div class="empty"><b>No nodes.</b></div>`}/></div>`;
});

export default {
  title: () => "Nodes", view: Nodes, load, on, topics: () => ["nodes"], seq: () => state.seq,
  toggle: () => setParams({view: param("view") === "tiles" ? "" : "tiles"}),
  bar: () => ({label: "Filter nodes", placeholder: "Filter, e.g. greeter is:suspect", problems: problems.value, complete: q => complete(q, nodeFields)}),
};
