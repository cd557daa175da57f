// The part of the topology that is drawn.

/** Names within depth calls of focus, either way. */
export function around(focus, edges, depth) {
  let edge = new Set([focus]);
  const all = new Set(edge);
  for (let i = 0; i < depth; i++) {
    const next = new Set();
    for (const e of edges) {
      if (edge.has(e.from) && !all.has(e.to)) next.add(e.to);
      if (edge.has(e.to) && !all.has(e.from)) next.add(e.from);
    }
    for (const n of next) all.add(n);
    edge = next;
  }
  return all;
}

/**
 * The nodes and edges to draw. With a focus, its neighbourhood; else all when
 * they are at most limit; else the neighbourhoods of what is unhealthy, worst
 * first, as far as they fit. left says how many are not drawn. A group stands
 * for the services of one prefix when even that is too many.
 */
export function visible(nodes, edges, {focus = "", depth = 1, hide = [], limit = 120, rank}) {
  const gone = new Set(hide);
  const shown = nodes.filter(n => !gone.has(n.name));
  const known = new Set(shown.map(n => n.name));
  const live = edges.filter(e => known.has(e.from) && known.has(e.to));
  let keep = known, mode = "all";
  if (focus) {
    keep = around(focus, live, depth);
    mode = "focus";
  } else if (shown.length > limit) {
    mode = "unhealthy";
    keep = new Set();
    const bad = shown.filter(n => rank(n.health) < 2).sort((a, b) => rank(a.health) - rank(b.health) || (a.name < b.name ? -1 : 1));
    for (const n of bad) {
      const near = around(n.name, live, 1);
      if (keep.size + near.size > limit / 3) { if (keep.size) break; keep.add(n.name); continue; }
      for (const m of near) keep.add(m);
    }
  }
  let picked = shown.filter(n => keep.has(n.name));
  let lines = live.filter(e => keep.has(e.from) && keep.has(e.to));
  if (picked.length > limit) ({nodes: picked, edges: lines} = grouped(picked, lines, focus, rank, limit));
  return {nodes: picked, edges: merged(lines), left: nodes.length - picked.length, mode};
}

function prefixOf(name) { const i = name.lastIndexOf("."); return i > 0 ? name.slice(0, i) + ".*" : name; }

function grouped(nodes, edges, focus, rank, limit) {
  const of = new Map(), groups = new Map();
  for (const n of nodes) {
    const g = n.name === focus ? n.name : prefixOf(n.name);
    of.set(n.name, g);
    const have = groups.get(g);
    if (!have) groups.set(g, {...n, name: g, size: 1, group: g !== n.name});
    else { have.size++; have.rps = (have.rps ?? 0) + (n.rps ?? 0); have.instances += n.instances ?? 0; if (rank(n.health) < rank(have.health)) have.health = n.health; }
  }
  const out = [...groups.values()].sort((a, b) => (b.name === focus) - (a.name === focus) || rank(a.health) - rank(b.health) || b.size - a.size).slice(0, limit);
  const keep = new Set(out.map(n => n.name));
  return {nodes: out, edges: edges.map(e => ({...e, from: of.get(e.from), to: of.get(e.to)})).filter(e => e.from !== e.to && keep.has(e.from) && keep.has(e.to))};
}

function merged(edges) {
  const by = new Map();
  for (const e of edges) {
    const key = e.from + "\n" + e.to, have = by.get(key);
    if (!have) by.set(key, {...e});
    else {
      if (e.rps != null) have.rps = (have.rps ?? 0) + e.rps;
      have.errors_per_s = (have.errors_per_s ?? 0) + (e.errors_per_s ?? 0);
      have.calls = (have.calls ?? 0) + (e.calls ?? 0);
      if (e.source === "mbus") have.source = "mbus";
    }
  }
  return [...by.values()];
}

/** A key that changes only when the drawing needs a new layout. */
export const shapeOf = (nodes, edges) => nodes.map(n => n.name).sort().join() + "|" + edges.map(e => e.from + ">" + e.to).sort().join();
