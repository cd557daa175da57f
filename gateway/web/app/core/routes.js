// Which page an address means, and what an address of a thing is.

const PAGES = ["services", "nodes", "query", "topology", "stats", "events", "terminal", "webapps", "gateway", "bus"];

/** The page of a path: {page, name, tab, method}; null for what the app has no page for. */
export function route(path) {
  const parts = path.split("/").filter(Boolean).map(decode);
  const [first, second, third] = parts;
  if (!PAGES.includes(first)) {
    if (first === "registry" && parts.length === 1) return {page: "services", own: false};
    return first === "cli" && parts.length === 1 ? {page: "terminal"} : null;
  }
  if (first === "services" && second) {
    if (parts.length > 3 || (third && !["endpoints", "nodes", "stats", "raw"].includes(third))) return null;
    return {page: "service", name: second, tab: third ?? "endpoints"};
  }
  if (first === "nodes" && second) return parts.length === 2 ? {page: "node", name: second} : null;
  if (first === "query") return parts.length <= 3 ? {page: "query", name: second ?? "", method: third ?? ""} : null;
  return parts.length === 1 ? {page: first} : null;
}

function decode(s) { try { return decodeURIComponent(s); } catch { return s; } }

export const serviceURL = (name, tab) => "/services/" + encodeURIComponent(name) + (tab && tab !== "endpoints" ? "/" + tab : "");
export const nodeURL = id => "/nodes/" + encodeURIComponent(id);
export const queryURL = (service, method, packed) => "/query/" + encodeURIComponent(service) + (method ? "/" + encodeURIComponent(method) : "") + (packed ? "?req=" + packed : "");

/** A query string without what is empty; "" if nothing is left. */
export function search(params) {
  const p = new URLSearchParams();
  for (const [k, v] of params) if (v !== "") p.set(k, v);
  const s = p.toString();
  return s ? "?" + s : "";
}
