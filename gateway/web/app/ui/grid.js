// A long list: only the rows in sight are in the page. Arrow keys move one focus
// through the rows (role grid); the name is a true link. A row never moves under
// the pointer, and the focus stays with its row when rows change places.
import {html, view, signal, untracked} from "./view.js";
import {prefs, params} from "./state.js";
import {windowOf, reveal} from "../core/window.js";

const HEAD = 32;
/** Where a grid is narrower, each row is a card of two lines. */
const NARROW = 480, SECOND = 20;

/** The list that keys of the page act on. */
export const current = {grid: null};

/**
 * props: label, rows, columns, id(row), sel (an id), onSelect(row), onOpen(row),
 * sort, dir, onSort(key), tick (changes when numbers do), empty, stale,
 * command(row) or a promise of it, card(row): the two lines [first, second] of a row where there is
 * no room for columns. A column is {key, title, width, min, num, cell(row), first}:
 * it is left out where the grid is narrower than min, or as wide as max. Without
 * onSelect a click or Enter opens the row.
 */
export const Grid = view((props, self) => {
  const s = self.local(() => ({top: signal(0), box: signal({w: 1200, h: 600}), el: null, body: null, focus: signal({i: 0, id: null}), inside: signal(false), still: signal(false), order: null, key: ""}));
  const {columns, id, label} = props;
  const {w, h} = s.box.value, cards = Boolean(props.card) && w < NARROW;
  const row = s.row = prefs.density.value + (cards ? SECOND : 0);
  const rows = s.rows = held(s, props);
  const cols = cards ? [{key: "card", width: "minmax(0,1fr)", class: "card", cell: r => { const [a, b] = props.card(r); return html`<div class="card-a">${a}</div><div class="card-b">${b}</div>`; }}] : columns.filter(c => !(c.min > w) && !(c.max <= w));
  const {from, to} = windowOf(s.top.value, h, rows.length, row);
  const at = s.at = place(s, id);
  const drawn = [];
  for (let i = from; i < to; i++) drawn.push(i);
  if (s.inside.value && rows.length && (at < from || at >= to)) drawn.push(at); // what has the focus stays in the page
  s.props = props;
  if (s.still.value && !s.order) hold(s, rows);
  self.after(() => {
    const el = s.el;
    const see = () => { s.top.value = el.scrollTop; };
    const size = () => { const b = {w: el.clientWidth, h: el.clientHeight}; if (b.w !== s.box.value.w || b.h !== s.box.value.h) s.box.value = b; };
    el.addEventListener("scroll", see, {passive: true});
    const watch = new ResizeObserver(size);
    watch.observe(el);
    size();
    const mine = {
      move: n => move(s, n), row: () => s.rows[s.at],
      open: () => act(s, s.rows[s.at]), page: () => { const r = s.rows[s.at]; if (r) (s.props.onOpen ?? s.props.onSelect)?.(r); },
      props: () => s.props,
    };
    current.grid = mine;
    return () => { el.removeEventListener("scroll", see); watch.disconnect(); if (current.grid === mine) current.grid = null; };
  }, []);
  self.after(() => { // a selection that came from the address is brought into sight
    const i = untracked(() => rows.findIndex(r => id(r) === props.sel));
    if (i >= 0) { s.focus.value = {i, id: props.sel}; show(s, i); }
  }, [props.sel, rows.length > 0]);
  self.after(() => { // the row with the focus has left: the one in its place takes it
    if (s.inside.value && document.activeElement === document.body) focusRow(s, s.at);
  }, [rows, props.tick]);
  const template = cols.map(c => c.width ?? "minmax(0,1fr)").join(" ");
  return html`<div class=${"grid" + (props.stale ? " old" : "")} role="grid" aria-label=${label} aria-rowcount=${rows.length + 1} aria-colcount=${cols.length} ref=${el => { s.el = el; }}
      onKeyDown=${e => keys(s, e)} onPointerEnter=${() => { hold(s, s.rows); s.still.value = true; }} onPointerLeave=${() => { s.still.value = false; }} onFocusIn=${e => { s.inside.value = e.target.closest(".gbody") !== null; }} onFocusOut=${e => { if (e.target.isConnected) s.inside.value = s.body.contains(e.relatedTarget); }}>
    <div class="ghead" role="rowgroup"><div class="gr" role="row" aria-rowindex="1" style=${{gridTemplateColumns: template}}>${cards ? html`<${CardHead} ...${props}/>` : cols.map(c => html`<div key=${c.key} role="columnheader" class=${"gc " + (c.num ? "num" : "")} aria-sort=${props.onSort && !c.fixed ? props.sort === c.key ? (props.dir > 0 ? "ascending" : "descending") : "none" : null}>
      ${props.onSort && !c.fixed ? html`<button type="button" onClick=${() => props.onSort(c.key, c.first)}>${c.title}${props.sort === c.key && html`<i aria-hidden="true">${props.dir > 0 ? "↑" : "↓"}</i>`}</button>` : html`<span>${c.title}</span>`}</div>`)}</div></div>
    <div class="gbody" role="rowgroup" style=${{height: rows.length * row + "px"}} ref=${el => { s.body = el; }}>
    ${drawn.map(i => { const r = rows[i]; return html`<${Row} key=${id(r)} r=${r} i=${i} top=${i * row} h=${row} cols=${cols} template=${template} tick=${props.tick} selected=${props.sel !== "" && id(r) === props.sel} tab=${i === at} s=${s}/>`; })}
    </div>
    ${rows.length === 0 && props.empty}</div>`;
});

const Row = view(({r, i, top, h, cols, template, selected, tab, s}) => html`<div class="gr" role="row" aria-rowindex=${i + 2} aria-selected=${String(selected)} tabindex=${tab ? 0 : -1} data-i=${i}
    style=${{top: top + "px", height: h + "px", gridTemplateColumns: template}} onClick=${e => click(s, r, i, e)} onDblClick=${() => s.props.onOpen?.(r)} onFocus=${() => { s.focus.value = {i, id: s.props.id(r)}; }}>
  ${cols.map(c => html`<div key=${c.key} role="gridcell" class=${"gc " + (c.num ? "num " : "") + (c.class ?? "")}>${c.cell(r)}</div>`)}</div>`);

/** The head where rows are cards: what they are sorted by. */
const CardHead = ({label, columns, sort, dir, onSort}) => {
  const all = columns.filter((c, i) => !c.fixed && columns.findIndex(x => x.key === c.key) === i);
  return html`<div role="columnheader" class="gc card-head">${onSort ? html`<label>Sorted by <select value=${sort} onChange=${e => onSort(e.target.value, all.find(c => c.key === e.target.value)?.first)}>${all.map(c => html`<option key=${c.key} value=${c.key}>${c.title}</option>`)}</select></label><button type="button" aria-label=${dir > 0 ? "ascending" : "descending"} onClick=${() => onSort(sort)}>${dir > 0 ? "↑" : "↓"}</button>` : html`<span>${label}</span>`}</div>`;
};

/** What the order of the rows depends on, besides their numbers. */
function orderKey({sort, dir}) {
  const p = new URLSearchParams(params.value);
  p.delete("sel");
  return `${sort} ${dir} ${p}`;
}

function hold(s, rows) {
  s.order = new Map(rows.map((r, i) => [s.props.id(r), i]));
  s.key = orderKey(s.props);
}

/** The rows as they stood when the pointer came; what is new stands below. */
function held(s, {rows, id, ...props}) {
  if (!s.still.value || s.key !== orderKey(props)) { s.order = null; return rows; }
  const of = r => s.order?.get(id(r)) ?? 1e9;
  return rows.toSorted((a, b) => of(a) - of(b));
}

/** Where the row is that has the focus. */
function place(s, id) {
  const {i, id: want} = s.focus.value, last = Math.max(0, s.rows.length - 1);
  if (want === null || s.rows[i] && id(s.rows[i]) === want) return Math.min(i, last);
  const now = s.rows.findIndex(r => id(r) === want);
  return now >= 0 ? now : Math.min(i, last);
}

function click(s, r, i, e) {
  s.focus.value = {i, id: s.props.id(r)};
  if (e.target.closest("a,button,select") || getSelection().type === "Range") return;
  act(s, r);
}

/** What a click on a row does, or Enter. */
function act(s, r) { if (r) (s.props.onSelect ?? s.props.onOpen)?.(r); }

function show(s, i) {
  const el = s.el, y = reveal(i, el.scrollTop, el.clientHeight, s.row, HEAD);
  if (y !== el.scrollTop) { el.scrollTop = y; s.top.value = el.scrollTop; }
}

function focusRow(s, i) { requestAnimationFrame(() => s.body?.querySelector(`[data-i="${i}"]`)?.focus({preventScroll: true})); }

function move(s, to) {
  const n = s.rows.length;
  if (!n) return;
  const i = Math.max(0, Math.min(n - 1, to(s.at, n)));
  s.focus.value = {i, id: s.props.id(s.rows[i])};
  show(s, i);
  focusRow(s, i);
  if (s.props.sel) s.props.onSelect?.(s.rows[i]);
}

function keys(s, e) {
  if (e.target.closest("button,input,select,textarea") || e.ctrlKey || e.metaKey || e.altKey) return;
  const page = Math.max(1, Math.floor(s.box.value.h / s.row) - 2);
  const to = {ArrowDown: i => i + 1, ArrowUp: i => i - 1, Home: () => 0, End: (i, n) => n - 1, PageDown: i => i + page, PageUp: i => i - page}[e.key];
  if (to) { e.preventDefault(); e.stopPropagation(); move(s, to); return; }
  if (e.key === "Enter" && e.target.getAttribute("role") === "row") {
    e.preventDefault();
    act(s, s.rows[s.at]);
  }
}
