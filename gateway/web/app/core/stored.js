// Addresses of what a stream has kept of a subject.

/** The ways to say where a page of a stream begins, as they are in addresses. */
export const WAYS = ["last", "seq", "before", "time"];
export const COUNTS = [50, 100, 200];

/** The way that an address goes: [way, value], null for one that reads nothing. */
export function wayOf(params) {
  for (const way of WAYS) if (params.get(way)) return [way, params.get(way)];
  return null;
}

/** The address of a page. last counts by itself, the others have n of a page. */
export function storedURL(subject, stream, way, value, n = 50) {
  const p = new URLSearchParams({subject});
  if (stream) p.set("stream", stream);
  p.set(way, String(value));
  if (way !== "last" && Number(n) !== 50) p.set("n", String(n));
  return "/events?" + p;
}

const two = n => String(n).padStart(2, "0");
/** A time as a field of a form has it: 2026-01-31T12:03:04, of this clock. */
export function fieldTime(at) {
  const d = new Date(at);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}
/** The time of a field as an address has it; "" for none. */
export function addressTime(text) {
  const at = new Date(text).getTime();
  return Number.isNaN(at) ? "" : new Date(at).toISOString();
}
/** A day and a time of day; the time alone if it is the day of now. */
export function moment(at, now) {
  const text = fieldTime(at).replace("T", " ");
  return fieldTime(now).slice(0, 10) === text.slice(0, 10) ? text.slice(11) : text;
}
