// The chart of the page Services: two lines in SVG. uPlot, which is more than the
// whole page beside it, is left to the pages that are about charts.
import {html, view, signal} from "./view.js";
import {clock} from "../core/format.js";

const W = 600;

/** props: label, t, lines [{name, values, unit, color, dash, format}], span, height, tick. */
export const Sketch = view(({label, t, lines, span = 180, height = 92}, self) => {
  const s = self.local(() => ({at: signal(null), table: signal(false)}));
  const end = t.at(-1) ?? Date.now() / 1000, begin = end - span, n = t.length - 1;
  const x = v => (v - begin) / span * W, H = height - 18;
  const known = lines.map(l => l.values.findLast(v => v != null));
  const none = known.every(v => v == null), at = s.at.value === null ? n : Math.min(s.at.value, n);
  const tops = lines.map(l => round(Math.max(...l.values.filter(v => v != null), 0)));
  const sentence = none ? `${label}: no data yet` : `${label}, last ${Math.round(end - Math.max(begin, t[0]))} seconds: ` + lines.map((l, j) => known[j] == null ? `${l.name} unknown` : `${l.name} ${l.format(known[j])}${l.unit}`).join(", ");
  const step = span <= 60 ? 10 : 30, marks = [];
  for (let m = Math.ceil(begin / step) * step; m < end - step / 4; m += step) if (m > begin + step / 3) marks.push(m);
  return html`<figure class="chart sketch"><figcaption><span class="legend">${lines.map((l, j) => html`<span key=${l.name}><i style=${{borderTopColor: `var(${l.color})`, borderTopStyle: l.dash ? "dashed" : "solid"}}></i>${l.name} <b>${l.format(at === n ? known[j] : l.values[at])}</b>${(at === n ? known[j] : l.values[at]) == null ? "" : l.unit}</span>`)}</span>${s.at.value !== null && n >= 0 && html`<span class="quiet">${clock(t[at] * 1000)}</span>`}
      <button type="button" class="linkish" aria-pressed=${String(s.table.value)} onClick=${() => { s.table.value = !s.table.value; }}>${s.table.value ? "Hide table" : "Table"}<span class="vh"> of ${label}</span></button></figcaption>
    <div class="plot" role="img" aria-label=${sentence} style=${{height: height + "px"}} onPointerMove=${e => { const b = e.currentTarget.firstElementChild.getBoundingClientRect(), want = begin + (e.clientX - b.left) / b.width * span; let i = t.findIndex(v => v >= want); if (i < 0) i = n; s.at.value = n < 0 ? null : i; }} onPointerLeave=${() => { s.at.value = null; }}>
      <div class="area"><svg class="lines-svg" viewBox=${`0 0 ${W} ${H}`} preserveAspectRatio="none" aria-hidden="true" style=${{height: H + "px"}}><path class="axis" d=${`M0 ${H - 0.5}H${W}M0 ${H / 2}H${W}M0 4H${W}` + marks.map(m => `M${x(m).toFixed(1)} 4V${H}`).join("")}/>
        ${lines.map((l, j) => html`<path key=${l.name} class=${l.dash ? "dash" : ""} style=${{stroke: `var(${l.color})`}} d=${path(t, l.values, begin, x, tops[j], H)}/>`)}
        ${s.at.value !== null && n >= 0 && html`<path class="cross" d=${`M${x(t[at])} 0V${H}`}/>`}</svg>
      ${!none && html`<span class="top-l">${lines[0].format(tops[0])}</span><span class="top-l zero">0</span>${lines[1] && known[1] != null && html`<span class="top-r">${lines[1].format(tops[1])}${lines[1].unit}</span><span class="top-r zero">0</span>`}`}
      ${marks.map((m, i) => html`<span key=${m} class=${"when" + ((marks.length - i) % 3 === 1 ? "" : " minor")} style=${{left: (x(m) / W * 100) + "%"}}>${clock(m * 1000)}</span>`)}</div>${none && html`<span class="nodata">waiting for the first numbers</span>`}</div>
    ${s.table.value && html`<div class="tablebox" tabindex="0" role="region" aria-label=${label + ", table"}><table><thead><tr><th scope="col">Time</th>${lines.map(l => html`<th key=${l.name} scope="col" class="num">${l.name}</th>`)}</tr></thead><tbody>${t.slice(-30).map((v, k) => { const i = Math.max(0, t.length - 30) + k; return html`<tr key=${v}><td>${clock(v * 1000)}</td>${lines.map(l => html`<td key=${l.name} class="num">${l.format(l.values[i])}${l.unit}</td>`)}</tr>`; }).reverse()}</tbody></table></div>`}</figure>`;
});

/** The next round number, for the top of an axis that starts at 0. */
function round(v) {
  if (!(v > 0)) return 1;
  const p = 10 ** Math.floor(Math.log10(v));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find(m => m * p >= v * 1.02) * p || 10 * p;
}

function path(t, values, begin, x, top, h) {
  let d = "", pen = false;
  for (let i = 0; i < t.length; i++) {
    const v = values[i];
    if (v == null || t[i] < begin) { pen = false; continue; }
    d += (pen ? "L" : "M") + x(t[i]).toFixed(1) + " " + (h - 1 - v / top * (h - 5)).toFixed(1);
    pen = true;
  }
  return d;
}
