// Which rows of a long list are drawn, the Line, and the paths of sparks.

/** The rows to draw: those in sight and a few around them. */
export function windowOf(top, height, n, row, over = 4) {
  const from = Math.max(0, Math.min(n, Math.floor(top / row) - over));
  return {from, to: Math.max(from, Math.min(n, Math.ceil((top + height) / row) + over))};
}

/** The scroll offset that brings row i into sight. */
export function reveal(i, top, height, row, head) {
  const y = i * row;
  if (y < top) return y;
  if (y + row > top + height - head) return y + row - height + head;
  return top;
}

/** The Line: at most cap ticks, each as bad as the worst of its services, as rank says (0 is worst). */
export function strip(rows, cap, rank) {
  const n = Math.min(cap, rows.length), ticks = [];
  for (let i = 0; i < n; i++) {
    const a = Math.floor(i * rows.length / n), b = Math.floor((i + 1) * rows.length / n);
    let worst = rows[a];
    for (let j = a + 1; j < b; j++) if (rank(rows[j].health) < rank(worst.health)) worst = rows[j];
    ticks.push({health: worst.health, name: worst.name, of: b - a, first: rows[a].name, last: rows[b - 1].name});
  }
  return ticks;
}

/** The path of a spark; a null is a gap. The axis starts at 0. */
export function sparkPath(values, w, h) {
  const n = values.length;
  if (!n) return "";
  let top = 0;
  for (const v of values) if (v > top) top = v;
  let path = "", pen = false;
  for (let i = 0; i < n; i++) {
    const v = values[i];
    if (v == null) { pen = false; continue; }
    const x = Math.round(i * w / Math.max(1, n - 1) * 10) / 10;
    const y = top ? Math.round((h - 2 - v / top * (h - 4)) * 10) / 10 : h - 2;
    path += (pen ? "L" : "M") + x + " " + y;
    pen = true;
  }
  return path;
}
