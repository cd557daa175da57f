// The keyboard map. The help dialog is drawn from it, so it cannot lie.

/** [keys, what it does, action, where]. Two keys with a space follow each other. */
export const map = [
  ["Ctrl K", "go to anything", "palette", "Everywhere"],
  ["/", "filter", "filter", "Everywhere"],
  ["?", "this list", "help", "Everywhere"],
  ["p", "pause or resume live data", "pause", "Everywhere"],
  ["t", "light, dark or as the system", "theme", "Everywhere"],
  ["y", "make the time range of the address absolute", "absolute", "Everywhere"],
  ["Esc", "close, clear or leave a field", "escape", "Everywhere"],
  ["g s", "services", "/services", "Go to"],
  ["g n", "nodes", "/nodes", "Go to"],
  ["g t", "topology", "/topology", "Go to"],
  ["g q", "query", "/query", "Go to"],
  ["g a", "stats", "/stats", "Go to"],
  ["g e", "events", "/events", "Go to"],
  ["g c", "terminal", "/terminal", "Go to"],
  ["g w", "web apps", "/webapps", "Go to"],
  ["g r", "gateway", "/gateway", "Go to"],
  ["g b", "bus", "/bus", "Go to"],
  ["j", "next row", "down", "Lists"],
  ["k", "previous row", "up", "Lists"],
  ["Home", "first row", "first", "Lists"],
  ["End", "last row", "last", "Lists"],
  ["Enter", "inspect the row", "open", "Lists"],
  ["o", "open the row as a page", "page", "Lists"],
  ["c", "copy the row's mbus command", "copy", "Lists"],
  [".", "what can be done with the row", "actions", "Lists"],
  ["d", "row height", "density", "Lists"],
  ["v", "grid or tiles, graph or table", "view", "Lists"],
  ["[", "earlier page of a stream", "earlier", "Query and events"],
  ["]", "later page of a stream", "later", "Query and events"],
  ["Ctrl Enter", "send the request or the event", "send", "Query and events"],
  ["Ctrl ]", "indent the line (Tab leaves the field)", "indent", "Query and events"],
];

/** Keys that act in text fields, too, and with single keys switched off. */
const ALWAYS = new Set(["palette", "escape", "send", "indent", "first", "last", "open"]);

/**
 * Follows keys and says which action they mean. feed takes {key, ctrl, alt,
 * field, grid, at} and returns an action, "" for a first of two keys, or null.
 */
export class Keys {
  constructor(on = true) { this.on = on; this.first = null; this.since = 0; }

  feed({key, ctrl, alt, field, at}) {
    const first = this.first && at - this.since < 1200 ? this.first : null;
    this.first = null;
    if (alt) return null;
    if (ctrl) return key.toLowerCase() === "k" ? "palette" : null;
    if (key === "Escape") return "escape";
    if (field || !this.on) return null;
    const said = first ? first + " " + key : key;
    for (const [keys, , action] of map) if (keys === said && !ALWAYS.has(action)) return action;
    if (!first && map.some(([keys]) => keys.startsWith(key + " ") && keys.length === 3)) {
      this.first = key; this.since = at;
      return "";
    }
    return null;
  }
}

/** The map by section, for the help. */
export function sections() {
  const by = new Map();
  for (const [keys, text, , where] of map) by.set(where, [...(by.get(where) ?? []), [keys, text]]);
  return [...by];
}
