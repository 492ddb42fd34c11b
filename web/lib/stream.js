// One WebSocket for all live tables. Documents are kept here and patched by the deltas; a page gets the
// whole document and what changed in it. Nothing is sent to a page that nobody sees.
import { goElsewhere, session, stillLoggedIn } from "./session.js";

const STALE_MS = 12000;
const RETRY_MS = [250, 500, 1000, 2000, 4000];
const KEYS = {
  nodes: ["nodes", "id"], resources: ["nodes", "id"], functions: ["functions", "name"],
  vars: ["vars", "name"], locks: ["locks", "name"], events: ["events", "seq"], times: ["functions", "name"], rtt: ["nodes", "id"],
  shares: ["shares", "name"], transfers: ["transfers", "id"], changes: ["changes", "no"],
};
const PASSING = ["changes"]; // told once, and not kept

let socket = null;
let retries = 0;
let timer = 0;
let heard = 0;
let next = 1;
let wanted = false;
const subscriptions = new Map();
const watchers = new Set();

/** state: "off" "connecting" "live" "stale" "lost"; since: performance.now() of it; heard: of the last message. */
export const connection = { state: "off", since: 0, heard: 0, note: "" };

export function onConnection(watcher) {
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

function become(state, note = connection.note) {
  if (state === connection.state && note === connection.note) return;
  if (state !== connection.state) connection.since = performance.now();
  connection.state = state;
  connection.note = note;
  for (const watcher of watchers) watcher(connection);
}

export function start() {
  if (wanted) return;
  wanted = true;
  connect();
}

export function stop() {
  wanted = false;
  clearTimeout(timer);
  socket?.close();
  socket = null;
  become("off", "");
}

function connect() {
  clearTimeout(timer);
  if (!wanted) return;
  const base = (session.base || location.origin).replace(/^http/, "ws");
  become(connection.state === "off" ? "connecting" : connection.state === "live" ? "stale" : connection.state);
  socket?.close(); // one to the node from before
  const mine = new WebSocket(`${base}/v1/stream`, session.bearer ? ["kith", `bearer.${session.bearer}`] : ["kith"]);
  socket = mine;
  const patience = setTimeout(() => gone(mine), 5000);
  mine.onopen = () => {
    clearTimeout(patience);
    if (socket !== mine) return;
    retries = 0;
    touch();
    become("live", connection.note);
    if (document.hidden) send({ op: "pause" });
    for (const subscription of subscriptions.values()) subscription.ask();
  };
  mine.onmessage = (event) => {
    if (socket !== mine) return;
    touch();
    become("live");
    let message;
    try {
      message = JSON.parse(event.data);
    } catch {
      return;
    }
    subscriptions.get(message.id)?.take(message);
  };
  mine.onclose = () => {
    clearTimeout(patience);
    gone(mine);
  };
}

// Nothing more is awaited of it: a node that hangs lets a socket be closing for minutes.
function gone(mine) {
  if (socket !== mine || !wanted) return;
  socket = null;
  mine.close();
  again();
}

async function again() {
  become(retries < 2 ? "stale" : "lost");
  // A browser does not say why a WebSocket was refused: the session may be over, and then nothing is tried elsewhere.
  if (retries > 0 && !await stillLoggedIn()) return;
  if (!wanted || socket) return; // meanwhile the page came back to sight, and has begun anew
  // After two tries in vain the node is taken for dead; every second try is at the others.
  if (retries >= 2 && retries % 2 === 0) {
    const name = await goElsewhere();
    if (name) {
      become("stale", `now at ${name}`);
      retries = 0;
      return connect();
    }
    if (!wanted || socket) return;
  }
  timer = setTimeout(connect, RETRY_MS[Math.min(retries++, RETRY_MS.length - 1)]);
}

function touch() {
  heard = performance.now();
  connection.heard = heard;
}

function send(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

// A tab in the background costs nothing; a machine that slept finds out at once.
document.addEventListener("visibilitychange", () => {
  send({ op: document.hidden ? "pause" : "resume" });
  if (!document.hidden) touch();
  if (!document.hidden && wanted && !socket) connect();
});
setInterval(() => {
  if (!wanted || document.hidden || connection.state !== "live") return;
  if (performance.now() - heard <= STALE_MS) return;
  retries = 1; // that was one try in vain
  gone(socket);
}, 1000);

class Subscription {
  constructor(topic, args, listener) {
    this.id = next++;
    this.topic = topic;
    this.args = args;
    this.listeners = new Set([listener]);
    [this.array, this.key] = (!("node" in args) && KEYS[topic]) || [null, null];
    this.doc = null;
    this.rows = new Map();
  }

  ask() {
    send({ op: "subscribe", id: this.id, topic: this.topic, args: this.args });
  }

  take(message) {
    if (message.error) {
      this.tell({ error: message.error });
      return;
    }
    const at = performance.now();
    const changed = new Set();
    if (message.full) {
      this.doc = message.full;
      this.doc.$at = at;
      if (this.array) {
        const before = this.rows;
        this.rows = new Map();
        for (const row of this.doc[this.array] ?? []) {
          row.$at = at;
          this.rows.set(row[this.key], row);
          if (before.size) changed.add(row[this.key]);
        }
      }
    }
    for (const part of message.set ?? []) {
      const old = this.rows.get(part[this.key]);
      this.rows.set(part[this.key], { ...old, ...part, $at: at, ...keepRunning(old, part, at) });
      changed.add(part[this.key]);
    }
    for (const key of message.removed ?? []) this.rows.delete(key);
    if (message.merge) this.doc = { ...this.doc, ...message.merge, $at: at };
    if (message.order) {
      const rows = this.rows;
      this.rows = new Map(message.order.filter((key) => rows.has(key)).map((key) => [key, rows.get(key)]));
    }
    this.tell({ changed, full: Boolean(message.full), removed: message.removed ?? [] });
    if (PASSING.includes(this.topic)) this.rows.clear();
  }

  // Each has a list of its own, to be sorted as it likes.
  tell(news, listeners = [...this.listeners]) {
    for (const listener of listeners)
      if (this.listeners.has(listener)) listener({ ...news, doc: this.doc, rows: this.list() });
  }

  list() {
    return [...this.rows.values()];
  }
}

// Ages that were not sent again run on from when they came.
function keepRunning(old, part, at) {
  const kept = {};
  if (!old) return kept;
  const passed = at - old.$at;
  for (const [key, value] of Object.entries(old)) {
    if (key in part || typeof value !== "number") continue;
    if (key.endsWith("_age_ms") || key === "uptime_ms") kept[key] = value + passed;
    else if (key === "lease_left_ms") kept[key] = Math.max(0, value - passed);
  }
  return kept;
}

/**
 * Subscribes, or listens to a subscription that asks for the same: what is known is then told at once. @listener gets {doc, rows, changed: Set of keys, full, removed, error}. Returns {close, again(args)}: again
 * asks for another part of the same topic.
 */
export function subscribe(topic, args, listener) {
  const turned = "offset" in args; // its part of the table changes
  const same = !turned && [...subscriptions.values()].find((one) => one.topic === topic && JSON.stringify(one.args) === JSON.stringify(args));
  const subscription = same || new Subscription(topic, args, listener);
  if (same) {
    same.listeners.add(listener);
    if (same.doc) queueMicrotask(() => same.tell({ changed: new Set(), full: true, removed: [] }, [listener]));
  } else {
    subscriptions.set(subscription.id, subscription);
    subscription.ask();
  }
  return {
    close() {
      subscription.listeners.delete(listener);
      if (subscription.listeners.size === 0 && subscriptions.delete(subscription.id)) send({ op: "unsubscribe", id: subscription.id });
    },
    again(other) {
      subscription.args = other;
      subscription.rows = new Map();
      subscription.ask();
    },
  };
}
