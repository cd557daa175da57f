// A worker that lays out the topology, so that the page never waits for it.
import {Graph, layout} from "./vendor/dagre/dagre.esm.js";

onmessage = ({data: {id, nodes, edges, dir}}) => {
  const g = new Graph();
  g.setGraph({rankdir: dir, nodesep: 18, ranksep: dir === "LR" ? 90 : 56, marginx: 12, marginy: 12});
  g.setDefaultEdgeLabel(() => ({}));
  for (const n of nodes) g.setNode(n.name, {width: n.w, height: n.h});
  for (const e of edges) if (e.from !== e.to) g.setEdge(e.from, e.to);
  try {
    layout(g);
    postMessage({
      id, width: g.graph().width, height: g.graph().height,
      nodes: nodes.map(n => { const p = g.node(n.name); return [n.name, p.x, p.y]; }),
      edges: edges.filter(e => e.from !== e.to).map(e => [e.from, e.to, g.edge(e.from, e.to).points.map(p => [p.x, p.y])]),
    });
  } catch (e) {
    postMessage({id, error: String(e.message ?? e)});
  }
};
