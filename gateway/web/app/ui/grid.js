// A long list: only the rows in sight are in the page. Arrow keys move one focus
// through the rows (role grid); the name is a true link.
import {html, view, signal, untracked} from "./view.js";
import {prefs} from "./state.js";
import {windowOf, reveal} from "../core/window.js";

/** The grid that keys of the page act on. */
export const current = {grid: null};

/**
 * props: label, rows, columns, id(row), href(row), sel (an id), onSelect(row),
 * onOpen(row), sort, dir, onSort(key), tick (changes when numbers do), empty,
 * stale. A column is {key, title, width, min, num, cell(row), first}: it is
 * left out where the grid is narrower than min, or as wide as max.
 */
export const Grid = view((props, self) => {
  const s = self.local(() => ({top: signal(0), box: signal({w: 1200, h: 600}), el: null, body: null, focus: signal(0), hover: signal(false)}));
  const {rows, columns, id, label} = props;
  const {w, h} = s.box.value, row = prefs.density.value;
  const cols = columns.filter(c => !(c.min > w) && !(c.max <= w));
  const {from, to} = windowOf(s.top.value, h, rows.length, row);
  const at = Math.min(s.focus.value, Math.max(0, rows.length - 1));
  s.props = props;
  self.after(() => {
    const el = s.el;
    const see = () => { s.top.value = el.scrollTop; };
    const size = () => { const b = {w: el.clientWidth, h: el.clientHeight}; if (b.w !== s.box.value.w || b.h !== s.box.value.h) s.box.value = b; };
    el.addEventListener("scroll", see, {passive: true});
    const watch = new ResizeObserver(size);
    watch.observe(el);
    size();
    const mine = {
      move: n => move(s, n), row: () => s.props.rows[Math.min(s.focus.value, s.props.rows.length - 1)],
      open: () => { const r = mine.row(); if (r) s.props.onSelect?.(r); }, page: () => { const r = mine.row(); if (r) (s.props.onOpen ?? s.props.onSelect)?.(r); },
      props: () => s.props,
    };
    current.grid = mine;
    return () => { el.removeEventListener("scroll", see); watch.disconnect(); if (current.grid === mine) current.grid = null; };
  }, []);
  self.after(() => { // a selection that came from the address is brought into sight
    const i = untracked(() => rows.findIndex(r => id(r) === props.sel));
    if (i >= 0) { s.focus.value = i; show(s, i); }
  }, [props.sel, rows.length > 0]);
  const template = cols.map(c => c.width ?? "minmax(0,1fr)").join(" ");
  return html`<div class=${"grid" + (props.stale ? " old" : "")} role="grid" aria-label=${label} aria-rowcount=${rows.length + 1} aria-colcount=${cols.length} ref=${el => { s.el = el; }}
      onKeyDown=${e => keys(s, e)} onPointerEnter=${() => props.onHold?.(true)} onPointerLeave=${() => props.onHold?.(false)}>
    <div class="ghead" role="rowgroup"><div class="gr" role="row" aria-rowindex="1" style=${{gridTemplateColumns: template}}>${cols.map(c => html`<div key=${c.key} role="columnheader" class=${"gc " + (c.num ? "num" : "")} aria-sort=${props.onSort && !c.fixed ? props.sort === c.key ? (props.dir > 0 ? "ascending" : "descending") : "none" : null}>
      ${props.onSort && !c.fixed ? html`<button type="button" onClick=${() => props.onSort(c.key, c.first)}>${c.title}${props.sort === c.key && html`<i aria-hidden="true">${props.dir > 0 ? "↑" : "↓"}</i>`}</button>` : html`<span>${c.title}</span>`}</div>`)}</div></div>
    <div class="gbody" role="rowgroup" style=${{height: rows.length * row + "px"}} ref=${el => { s.body = el; }}>
    ${rows.slice(from, to).map((r, i) => html`<${Row} key=${id(r)} r=${r} i=${from + i} top=${(from + i) * row} h=${row} cols=${cols} template=${template} tick=${props.tick} selected=${props.sel !== "" && id(r) === props.sel} tab=${from + i === at} s=${s}/>`)}
    </div>
    ${rows.length === 0 && props.empty}</div>`;
});

const Row = view(({r, i, top, h, cols, template, selected, tab, s}) => html`<div class="gr" role="row" aria-rowindex=${i + 2} aria-selected=${String(selected)} tabindex=${tab ? 0 : -1} data-i=${i}
    style=${{top: top + "px", height: h + "px", gridTemplateColumns: template}} onClick=${e => click(s, r, i, e)} onDblClick=${() => s.props.onOpen?.(r)} onFocus=${() => { s.focus.value = i; }}>
  ${cols.map(c => html`<div key=${c.key} role="gridcell" class=${"gc " + (c.num ? "num " : "") + (c.class ?? "")}>${c.cell(r)}</div>`)}</div>`);

function click(s, r, i, e) {
  s.focus.value = i;
  if (e.target.closest("a,button")) return;
  s.props.onSelect?.(r);
}

function show(s, i) {
  const el = s.el, head = 32, y = reveal(i, el.scrollTop, el.clientHeight, prefs.density.value, head);
  if (y !== el.scrollTop) { el.scrollTop = y; s.top.value = el.scrollTop; }
}

function move(s, to, focus = true) {
  const n = s.props.rows.length;
  if (!n) return;
  const i = Math.max(0, Math.min(n - 1, to(s.focus.value, n)));
  s.focus.value = i;
  show(s, i);
  if (focus) requestAnimationFrame(() => s.body.querySelector(`[data-i="${i}"]`)?.focus({preventScroll: true}));
  if (s.props.sel) s.props.onSelect?.(s.props.rows[i]);
}

function keys(s, e) {
  if (e.target.closest("button,input,select,textarea") || e.ctrlKey || e.metaKey || e.altKey) return;
  const page = Math.max(1, Math.floor(s.box.value.h / prefs.density.value) - 2);
  const to = {ArrowDown: i => i + 1, ArrowUp: i => i - 1, Home: () => 0, End: (i, n) => n - 1, PageDown: i => i + page, PageUp: i => i - page}[e.key];
  if (to) { e.preventDefault(); e.stopPropagation(); move(s, to); return; }
  if (e.key === "Enter" && e.target.getAttribute("role") === "row") {
    e.preventDefault();
    s.props.onSelect?.(s.props.rows[s.focus.value]);
  }
}
