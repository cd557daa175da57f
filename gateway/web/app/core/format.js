// How numbers, times and names read. Unknown is "–", which is not zero.

export const none = "–";
const grouped = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

export function count(v) { return v == null ? none : grouped.format(v); }

/** A rate a second, three digits that matter. */
export function rate(v) {
  if (v == null) return none;
  if (v === 0) return "0";
  if (v < 0.05) return "<0.1";
  if (v < 100) return v.toFixed(1);
  if (v < 1e6) return grouped.format(v);
  return (v / 1e6).toFixed(1) + "M";
}

/** Milliseconds without their unit. */
export function ms(v) {
  if (v == null) return none;
  if (v < 0.005) return "0";
  if (v < 10) return v.toFixed(v < 1 ? 2 : 1);
  return grouped.format(v);
}

export function percent(v) { return v == null ? none : v === 0 ? "0" : v < 0.01 ? "<0.01" : v < 10 ? v.toFixed(2) : v.toFixed(1); }

export function bytes(v) {
  if (v == null) return none;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (v >= 1024 && i < 4) { v /= 1024; i++; }
  return (i && v < 10 ? v.toFixed(1) : Math.round(v)) + " " + units[i];
}

/** A length of time, two units at most: 850 ms, 4 s, 3 min, 2 h 5 min, 3 d. */
export function span(msec) {
  if (msec == null) return none;
  if (msec < 0) msec = 0;
  if (msec < 1000) return Math.round(msec) + " ms";
  const s = Math.floor(msec / 1000);
  if (s < 60) return s + " s";
  const m = Math.floor(s / 60);
  if (m < 60) return m + " min";
  const h = Math.floor(m / 60);
  if (h < 24) return h + " h" + (m % 60 ? " " + (m % 60) + " min" : "");
  return Math.floor(h / 24) + " d" + (h % 24 ? " " + (h % 24) + " h" : "");
}

export function ago(at, now) { return at == null ? none : span(now - at) + " ago"; }

const two = n => String(n).padStart(2, "0");
/** A time of day, 12:03:04 or 12:03:04.120. */
export function clock(at, fine) {
  if (at == null) return none;
  const d = new Date(at);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}` + (fine ? "." + String(d.getMilliseconds()).padStart(3, "0") : "");
}

/** The part of a dotted name that many share, and the part that tells. */
export function nameParts(name) {
  const i = name.lastIndexOf(".") + 1;
  return [name.slice(0, i), name.slice(i)];
}

/** The end of a dotted name: its last two parts, which tell more than one. */
export const tail = name => name.split(".").slice(-2).join(".");

/** An instance id as people see it, cut to what tells it apart. */
export function shortID(id, service) {
  const own = service && id.startsWith(service + "-") ? id.slice(service.length + 1) : id;
  return own.length > 12 ? "…" + own.slice(-8) : own;
}

/** The part of an id that is typed to say that one means it. */
export const typedID = (id, service) => shortID(id, service).replace(/^…/, "");

export function versionsText(versions) {
  if (!versions?.length) return none;
  const [first, ...rest] = versions;
  return (first.version || none) + (rest.length ? " +" + rest.length : "");
}

/** The kind of an endpoint in one word: unary, server, client, bidi. */
export const kindOf = e => (e?.kind ?? "unary").replace(/[-_ ]?stream(ing)?$/, "").replace(/^bidirectional$/, "bidi") || "bidi";
/** The same for people. */
export const kindText = e => ({server: "server stream", client: "client stream", bidi: "bidirectional stream"}[kindOf(e)] ?? kindOf(e));

export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
