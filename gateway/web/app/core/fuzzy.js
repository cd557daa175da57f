// Finding by a few letters, in order, the closest first.

/** How well text fits what is looked for; 0: not. */
export function score(want, text) {
  if (!want) return 1;
  const t = text.toLowerCase(), whole = t.indexOf(want);
  if (whole >= 0) return 1000 - whole - t.length / 100 + (whole === 0 || /[^a-z0-9]/.test(t[whole - 1]) ? 200 : 0);
  let at = -1, points = 0, run = 0;
  for (const c of want) {
    if (c === " ") { run = 0; continue; }
    const next = t.indexOf(c, at + 1);
    if (next < 0) return 0;
    run = next === at + 1 ? run + 1 : 0;
    points += 1 + run * 2 + (next === 0 || /[^a-z0-9]/.test(t[next - 1]) ? 4 : 0);
    at = next;
  }
  return points - t.length / 100;
}

/** The best of things, at most max. Every word must fit. */
export function find(text, things, of, max) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return things.slice(0, max);
  const hits = [];
  for (const thing of things) {
    let total = 0;
    for (const w of words) {
      const s = score(w, of(thing));
      if (!s) { total = 0; break; }
      total += s;
    }
    if (total > 0) hits.push([total, thing]);
  }
  return hits.sort((a, b) => b[0] - a[0]).slice(0, max).map(([, x]) => x);
}
