// One live stream for all tabs of a browser: a module of its own, because more
// than six event streams would block every other request to this origin. It runs
// as a SharedWorker, or in the page where the browser has none.

const SILENT = 45000; // a tab that says nothing for so long is gone

export class Hub {
  constructor(url) {
    this.url = url; this.ports = new Map(); this.source = null; this.id = ""; this.changing = false;
    this.state = {state: "connecting", since: Date.now()}; this.retry = 0; this.wait = 1000;
    this.replay = new Map(); // topic → from which number on a tab still needs it
    setInterval(() => this.sweep(), 15000);
  }

  /** A tab speaks: {topics} it wants, {asleep: true}, or {bye: true}. */
  hear(port, message) {
    if (message.bye) this.ports.delete(port);
    else {
      const had = this.ports.get(port);
      this.ports.set(port, {topics: message.topics ?? had?.topics ?? [], asleep: message.asleep ?? false, heard: Date.now()});
      for (const [t, seq] of Object.entries(message.from ?? {})) this.replay.set(t, Math.min(seq, this.replay.get(t) ?? seq));
      if (!had || had.asleep) port.postMessage({state: this.state});
    }
    this.sync();
  }

  sweep() {
    for (const [port, p] of this.ports) if (Date.now() - p.heard > SILENT) this.ports.delete(port);
    this.sync();
  }

  wanted() {
    const topics = new Set();
    for (const p of this.ports.values()) if (!p.asleep) for (const t of p.topics) topics.add(t);
    return [...topics].sort().slice(0, 32);
  }

  sync() {
    const topics = this.wanted(), key = topics.join();
    const awake = [...this.ports.values()].some(p => !p.asleep);
    if (!awake) { this.close(); return; }
    if (!this.source) { if (!this.retry) this.open(topics, key); return; }
    if ((key !== this.key || this.replay.size) && this.id) this.change();
  }

  /** Topics as the server takes them: services@12 is from 12 on. */
  asked(topics) {
    const all = topics.map(t => this.replay.has(t) ? `${t}@${this.replay.get(t)}` : t);
    this.replay.clear();
    return all;
  }

  open(topics, key) {
    this.key = key;
    this.id = "";
    const es = this.source = new EventSource(this.url + "?topics=" + this.asked(topics).map(encodeURIComponent).join(","));
    es.onopen = () => { this.wait = 1000; this.tell("live"); };
    es.onerror = () => {
      this.tell("reconnecting");
      if (es.readyState !== 2 || this.source !== es) return;
      this.close();
      this.retry = setTimeout(() => { this.retry = 0; this.sync(); }, this.wait);
      this.wait = Math.min(this.wait * 2, 15000);
    };
    for (const kind of ["hello", "resync", "link", "services", "service", "versions", "nodes", "node", "events", "topology", "stats", "bus"]) {
      es.addEventListener(kind, e => this.pass(kind, e.data));
    }
  }

  /** Tells the server what is wanted now: one request at a time, for they may overtake each other. */
  async change() {
    if (this.changing) return;
    this.changing = true;
    const id = this.id;
    try {
      for (let topics; this.id === id && ((topics = this.wanted()).join() !== this.key || this.replay.size);) {
        this.key = topics.join();
        const answer = await fetch(this.url, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({id, topics: this.asked(topics)})});
        if (!answer.ok) throw new Error(answer.status);
      }
    } catch {
      if (this.id === id) this.close();
    }
    this.changing = false;
    this.sync();
  }

  pass(kind, text) {
    if (kind === "hello") {
      this.id = JSON.parse(text).id;
      if (this.wanted().join() !== this.key || this.replay.size) this.sync();
    }
    const topic = kind === "hello" || kind === "link" ? "" : JSON.parse(`"${/"topic":"((?:[^"\\]|\\.)*)"/.exec(text)?.[1] ?? ""}"`);
    for (const [port, p] of this.ports) {
      if (!p.asleep && (!topic || p.topics.includes(topic))) port.postMessage({kind, topic, text});
    }
  }

  tell(state) {
    if (this.state.state === state) return;
    this.state = {state, since: Date.now()};
    for (const [port, p] of this.ports) if (!p.asleep) port.postMessage({state: this.state});
  }

  close() {
    this.source?.close();
    this.source = null;
    this.id = this.key = "";
    if (this.state.state === "live") this.state = {state: "connecting", since: Date.now()};
  }
}

if (globalThis.SharedWorkerGlobalScope && globalThis instanceof SharedWorkerGlobalScope) {
  const hub = new Hub("/-/live");
  globalThis.onconnect = ({ports: [port]}) => { port.onmessage = ({data}) => hub.hear(port, data); };
}
