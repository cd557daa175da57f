// A worker that lays out the topology, so that the page never waits for it.
import {Graph, layout} from "./vendor/dagre/dagre.esm.js";

onmessage = ({data: {id, nodes, edges, dir, across}}) => {
  const lines = edges.filter(e => e.from !== e.to), tied = new Set(lines.flatMap(e => [e.from, e.to]));
  const g = new Graph();
  g.setGraph({rankdir: dir, nodesep: 18, ranksep: dir === "LR" ? 90 : 56, marginx: 12, marginy: 12});
  g.setDefaultEdgeLabel(() => ({}));
  for (const n of nodes) if (tied.has(n.name)) g.setNode(n.name, {width: n.w, height: n.h});
  for (const e of lines) g.setEdge(e.from, e.to);
  try {
    let width = 0, height = 0;
    if (tied.size) {
      layout(g);
      ({width, height} = g.graph());
    }
    const places = nodes.filter(n => tied.has(n.name)).map(n => { const p = g.node(n.name); return [n.name, p.x, p.y]; });
    // what has no edges stands in rows below
    const loose = nodes.filter(n => !tied.has(n.name));
    if (loose.length) {
      const {w, h} = loose[0], columns = Math.max(1, Math.min(loose.length, Math.floor((across - 6) / (w + 18))));
      const top = height + 12;
      loose.forEach((n, i) => places.push([n.name, 12 + w / 2 + (i % columns) * (w + 18), top + h / 2 + Math.floor(i / columns) * (h + 18)]));
      width = Math.max(width, 24 + columns * (w + 18) - 18);
      height = top + Math.ceil(loose.length / columns) * (h + 18);
    }
    postMessage({id, width, height, nodes: places, edges: lines.map(e => [e.from, e.to, g.edge(e.from, e.to).points.map(p => [p.x, p.y])])});
  } catch (e) {
    postMessage({id, error: String(e.message ?? e)});
  }
};
