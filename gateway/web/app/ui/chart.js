// Charts by uPlot, which is fetched when the first one is shown. Each has a
// sentence for who does not see it, the numbers as a table, and direct labels.
import {html, view, signal} from "./view.js";
import {asset, palette, theme, param, setParams, load} from "./state.js";
import {script} from "./live.js";
import {Choice} from "./bits.js";
import {reach} from "../core/live.js";
import {clock} from "../core/format.js";

let coming = null;
function uplot() {
  return coming ??= new Promise((done, failed) => {
    const css = document.createElement("link");
    css.rel = "stylesheet";
    css.href = asset("vendor/uplot/uPlot.min.css");
    const js = document.createElement("script");
    js.src = script(asset("vendor/uplot/uPlot.iife.min.js"));
    js.onload = () => done(globalThis.uPlot);
    js.onerror = () => { coming = null; failed(new Error("uPlot")); };
    document.head.append(css, js);
  });
}

/** The range of the address: [from, to] in seconds, to 0 where it ends now. */
export const absolute = () => param("to") ? [Number(param("from")), Number(param("to"))] : [0, 0];

/** Fetches more where an absolute range begins before what is there. */
export function reachBack(t) {
  const [from, to] = absolute(), wide = to ? reach(from, Date.now() / 1000) : "";
  if (to && (t[0] ?? Infinity) > from + 10 && wide !== (param("range") || "15m")) { setParams({range: wide}); load(true); }
}

/** The choice of a time range, and the way back from an absolute one. */
export const Ranges = view(() => {
  const [from, to] = absolute();
  const choose = v => { setParams({range: v === "15m" ? "" : v, from: "", to: ""}, true); load(true); };
  return html`<${Choice} label="Time range" value=${to ? "" : param("range") || "15m"} options=${[["5m", "5 min"], ["15m", "15 min"], ["60m", "60 min"]]} on=${choose}/>${to > 0 && html`<span class="mono quiet">${clock(from * 1000)} – ${clock(to * 1000)}</span><button type="button" class="btn small" onClick=${() => { setParams({from: "", to: ""}, true); load(true); }}>Whole range</button>`}`;
});

const color = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * props: label, t (seconds), lines [{name, values, scale, unit, color, dash, format}],
 * height, tick, marks [{at, text}], onZoom(from, to), group (charts whose crosshair
 * moves together), span (seconds that the axis covers at least).
 */
export const Chart = view((props, self) => {
  const s = self.local(() => ({u: null, el: null, table: signal(false), cursor: signal(null)}));
  const {t, lines, label, height = 96} = props;
  s.props = props;
  palette.value; theme.value;
  self.after(() => {
    let alive = true, watch;
    uplot().then(U => {
      if (!alive || !s.el) return;
      s.u = new U(options(s), data(props), s.el);
      watch = new ResizeObserver(() => { if (s.el?.clientWidth) s.u?.setSize({width: s.el.clientWidth, height}); });
      watch.observe(s.el);
    }, () => {});
    return () => { alive = false; watch?.disconnect(); s.u?.destroy(); s.u = null; };
  }, [lines.length, height]);
  self.after(() => { s.u?.setData(data(props)); }, [props.tick, t]);
  self.after(() => { s.u?.redraw(false); }, [palette.value, theme.value]);
  const n = t.length - 1, i = s.cursor.value ?? n;
  const known = lines.map(l => l.values.findLast(v => v != null));
  const sentence = n < 0 || known.every(v => v == null) ? `${label}: no data yet` : `${label}, last ${Math.round(t[n] - t[0])} seconds: ` + lines.map((l, j) => known[j] == null ? `${l.name} unknown` : `${l.name} ${l.format(known[j])}${l.unit}`).join(", ");
  return html`<figure class="chart"><figcaption><span class="legend">${lines.map((l, j) => html`<span key=${l.name}><i style=${{borderTopColor: `var(${l.color})`, borderTopStyle: l.dash ? "dashed" : "solid"}}></i>${l.name} <b>${l.format(i === n ? known[j] : l.values[i])}</b>${(i === n ? known[j] : l.values[i]) == null ? "" : l.unit}</span>`)}</span>
      ${s.cursor.value != null && html`<span class="quiet">${clock(t[i] * 1000)}</span>`}
      <button type="button" class="linkish" aria-pressed=${String(s.table.value)} onClick=${() => { s.table.value = !s.table.value; }}>${s.table.value ? "Hide table" : "Table"}<span class="vh"> of ${label}</span></button></figcaption>
    <div class="plot" role="img" aria-label=${sentence} style=${{height: height + "px"}} ref=${el => { s.el = el; }}>${(n < 0 || known.every(v => v == null)) && html`<span class="nodata">${"no data yet"}</span>`}</div>
    ${props.onZoom && html`<input class="crosshair" type="range" min="0" max=${Math.max(0, n)} value=${Math.max(0, i)} aria-label=${`Time in ${label}`} aria-valuetext=${n < 0 ? "no data" : clock(t[i] * 1000) + ": " + lines.map(l => `${l.name} ${l.format(l.values[i])}${l.unit}`).join(", ")} onInput=${e => { const at = Number(e.target.value); s.cursor.value = at; s.u?.setCursor({left: s.u.valToPos(t[at], "x"), top: 10}); }}/>`}
    ${s.table.value && html`<div class="tablebox" tabindex="0" role="region" aria-label=${label + ", table"}><table><thead><tr><th scope="col">Time</th>${lines.map(l => html`<th key=${l.name} scope="col" class="num">${l.name}${l.unit ? " (" + l.unit.trim() + ")" : ""}</th>`)}</tr></thead>
      <tbody>${t.slice(-60).map((x, k) => { const at = Math.max(0, t.length - 60) + k; return html`<tr key=${x}><td>${clock(x * 1000)}</td>${lines.map(l => html`<td key=${l.name} class="num">${l.format(l.values[at])}</td>`)}</tr>`; }).reverse()}</tbody></table></div>`}</figure>`;
});

const data = p => [p.t, ...p.lines.map(l => l.values)];

function options(s) {
  const p = s.props;
  const axis = {stroke: () => color("--ink-3"), grid: {stroke: () => color("--line"), width: 1}, ticks: {show: false}, font: "11px " + color("--mono"), gap: 4};
  const scales = {x: {time: true, range: (u, lo, hi) => { const end = hi ?? Date.now() / 1000, least = s.props.span ?? 60; return [Math.min(lo ?? end - least, end - least), end]; }}};
  const axes = [{...axis, size: 20, space: 70, values: (u, ticks) => ticks.map(x => clock(x * 1000).slice(0, ticks.length > 1 && ticks[1] - ticks[0] >= 60 ? 5 : 8))}];
  let side = 3;
  for (const l of p.lines) {
    const key = l.scale ?? "y";
    if (scales[key]) continue;
    scales[key] = {range: (u, lo, hi) => [0, !hi || hi <= 0 ? 1 : hi * 1.08]};
    axes.push({...axis, scale: key, side, size: 44, space: 34, grid: side === 3 ? axis.grid : {show: false}, values: (u, ticks) => ticks.map(v => v >= 10000 ? v / 1000 + "k" : String(Math.round(v * 100) / 100))});
    side = 1;
  }
  if (side === 3) axes.push({...axis, side: 1, size: 8, show: false});
  return {
    width: s.el.clientWidth || 300, height: p.height ?? 96, padding: [8, p.lines.some(l => l.scale) ? 0 : 18, 0, 0], legend: {show: false},
    cursor: {y: false, points: {size: 5}, sync: p.group ? {key: p.group} : undefined, drag: {x: Boolean(p.onZoom), y: false, setScale: false}},
    scales, axes,
    series: [{}, ...p.lines.map(l => ({label: l.name, scale: l.scale ?? "y", stroke: () => color(l.color), width: 1.5, dash: l.dash ? [4, 3] : undefined, points: {show: true, size: 4, width: 0, fill: () => color(l.color), filter: alone}, spanGaps: false, fill: l.fill ? () => color(l.color) + "22" : undefined}))],
    hooks: {
      setCursor: [u => { const i = u.cursor.left >= 0 ? u.cursor.idx : null; if (s.cursor.value !== i) s.cursor.value = i ?? null; }],
      setSelect: [u => { if (u.select.width > 4) s.props.onZoom?.(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")); u.setSelect({left: 0, width: 0, top: 0, height: 0}, false); }],
      draw: [u => marks(u, s.props.marks ?? [])],
    },
  };
}

/** A value between unknown ones has no line to be seen by, so it gets a point. */
function alone(u, si) {
  const v = u.data[si], out = [];
  for (let i = 0; i < v.length; i++) if (v[i] != null && v[i - 1] == null && v[i + 1] == null) out.push(i);
  return out;
}

function marks(u, all) {
  const {ctx, bbox} = u;
  ctx.save();
  ctx.strokeStyle = color("--ink-3");
  ctx.setLineDash([2, 3]);
  for (const m of all) {
    const x = u.valToPos(m.at / 1000, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
  }
  ctx.restore();
}
