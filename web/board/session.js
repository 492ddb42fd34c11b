// One page on one board: what was drawn, what is not yet acknowledged, who else is there. Whatever is drawn is on the board at once
// and kept in the browser until it is known to be durable; it is sent again after every failure, and a page that is loaded anew
// goes on where it was.
import { OUTBOX_BYTES_MAX } from "./limits.js";
import { Author } from "./author.js";
import { crc32c, hex, Malformed } from "./bytes.js";
import { decodeLive, DONE, DRAFT, DROPPED, encodeLive, GONE, HERE, LASER, CURSOR, Peers, PING, PONG } from "./live.js";
import { decodeLog, encodeLog } from "./log.js";
import { Board } from "./merge.js";
import { sizeOf } from "./transport.js";
import { isStroke } from "./shapes.js";

const HERE_MS = 2000, PING_MS = 4000, LOAD_AGAIN_MS = 30000;
const READ_MAX = 8192; // logs that are known by their length and sum
const RETRY_FIRST_MS = 250, RETRY_MAX_MS = 5000;
const BATCH_OPS = 256;

export const randomHex = (bytes) => hex(crypto.getRandomValues(new Uint8Array(bytes)));

/** What a browser keeps: localStorage where there is one. */
export function browserStore() {
  try {
    localStorage.setItem("kith.board.try", "1");
    localStorage.removeItem("kith.board.try");
    return localStorage;
  } catch {
    const kept = new Map();
    return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  }
}

/**
 * A writer of @board that no other open page is: one of those this browser was before, or a new one. Held until the page is closed.
 */
export async function claimWriter(board, store) {
  if (!navigator.locks) return randomHex(16);
  const key = `kith.board.writers.${board}`;
  const known = JSON.parse(store.getItem(key) ?? "[]");
  for (const writer of [...known, randomHex(16)]) {
    const mine = await new Promise((resolve) => {
      navigator.locks.request(`kith.board.${board}.${writer}`, { ifAvailable: true }, (lock) => {
        resolve(Boolean(lock));
        return lock ? new Promise(() => {}) : undefined;
      });
    });
    if (!mine) continue;
    if (!known.includes(writer)) store.setItem(key, JSON.stringify([...known.slice(-15), writer]));
    return writer;
  }
  return randomHex(16);
}

const toText = (bytes) => {
  let out = "";
  for (let i = 0; i < bytes.length; i += 0x8000) out += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(out);
};
const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);
const fromText = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

export class Session {
  /**
   * @on: {changed(elements), people(), state(text), trouble(message)}. @person: {name, machine, colour}.
   */
  constructor({ transport, board, writer, person, store = browserStore(), on = {}, now, timers = true, readOnly = false }) {
    Object.assign(this, { transport, name: board, writer, person, store, timers, readOnly });
    this.troubles = []; // said before anybody listened
    this.on = { changed() {}, people() {}, state() {}, trouble: (text) => this.troubles.push(text), ...on };
    this.from = randomHex(8);
    this.board = new Board();
    this.peers = new Peers();
    this.outbox = [];
    this.outboxBytes = 0;
    this.sending = null;
    this.retryMs = RETRY_FIRST_MS;
    this.drafts = 0;
    this.pings = new Map();
    this.read = new Set();
    this.clock = now;
    this.link = "connecting";
  }

  get keptKey() {
    return `kith.board.unsent.${this.name}.${this.writer}`;
  }
  get counterKey() {
    return `kith.board.counter.${this.name}.${this.writer}`;
  }
  get header() {
    return { board: this.name, writer: this.writer, name: this.person.name };
  }

  /** Loads the board. What was not acknowledged the last time is on it, and goes out again. */
  async open() {
    this.subscription = this.transport.subscribe(this.name, {
      log: (bytes) => this.takeLog(bytes),
      live: (bytes) => this.takeLive(bytes),
      missed: ({ moved }) => this.author && this.comeBack(moved),
      state: (state) => {
        this.link = state;
        if (state === "live") {
          this.say({ kind: HERE });
          this.flush();
        }
        this.tellState();
      },
    });
    this.restore();
    await this.reload();
    this.board.applyAll(this.outbox);
    this.author = new Author(this.board, this.writer, { counter: Number(this.store.getItem(this.counterKey) ?? 0), ...(this.clock ? { now: this.clock } : {}) });
    this.say({ kind: HERE });
    if (this.timers) this.startTimers();
    this.flush();
    return this;
  }

  startTimers() {
    this.intervals = [
      setInterval(() => this.say({ kind: HERE }), HERE_MS),
      setInterval(() => this.peers.age() && this.on.people(), 1000),
      setInterval(() => this.ping(), PING_MS),
      // what was told while nobody could hear it
      setInterval(() => this.reload().catch(() => {}), LOAD_AGAIN_MS),
    ];
  }

  /** Something may have been missed. @moved: to another node, which need not have all that was acknowledged before. */
  async comeBack(moved) {
    if (moved) this.read.clear();
    try {
      const there = await this.reload();
      if (moved) this.sendAgain(there);
    } catch {
      /* the next time */
    }
  }

  /** What I drew and this node has no log of goes out once more; that it is acknowledged twice harms nobody. */
  sendAgain(there) {
    const waits = new Set(this.outbox.map((op) => op.counter));
    const mine = [...(this.board.writers.get(this.writer)?.ops.values() ?? [])].filter((op) => !there.has(op.counter) && !waits.has(op.counter));
    if (!mine.length) return;
    this.outbox = [...mine, ...this.outbox].sort((a, b) => a.counter - b.counter);
    this.outboxBytes = this.outbox.reduce((sum, op) => sum + sizeOf(op), 0);
    this.flush();
  }

  /** Everything from the logs once more; what of it is mine. */
  async reload() {
    const changed = new Set(), there = new Set();
    const logs = await this.transport.load(this.name);
    if (logs.out && !this.outSaid) this.on.trouble(`${logs.out} of the logs of this board ${logs.out === 1 ? "is" : "are"} out of reach: what was drawn there and is not seen here comes with the node that has it.`);
    this.outSaid = logs.out > 0;
    for (const bytes of logs) {
      const key = `${bytes.length} ${crc32c(bytes)}`; // most have not changed since the last time
      if (this.read.has(key)) continue;
      for (const element of this.takeOps(bytes, there)) changed.add(element);
      if (this.read.size >= READ_MAX) this.read.clear();
      this.read.add(key);
    }
    if (changed.size || this.board.rebuilt) this.on.changed(changed);
    return there;
  }

  close() {
    this.closed = true;
    this.say({ kind: GONE });
    this.intervals?.forEach(clearInterval);
    clearTimeout(this.retry);
    this.subscription?.close();
  }

  // ---- what others do ----

  takeOps(bytes, mine = null) {
    let log;
    try {
      log = decodeLog(bytes);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.on.trouble(`A log of this board cannot be read: ${error.message}.`);
      return new Set();
    }
    if (log.board !== this.name) return new Set();
    if (log.state === "damaged" && !this.damaged) {
      this.damaged = true;
      this.on.trouble(`The log of ${log.name || "somebody"} is damaged (${log.why}); what is before that is shown.`);
    }
    for (const op of log.ops) {
      this.peers.arrived(op);
      if (mine && log.writer === this.writer) mine.add(op.counter);
    }
    return this.board.applyAll(log.ops);
  }

  takeLog(bytes) {
    const changed = this.takeOps(bytes);
    if (changed.size || this.board.rebuilt) this.on.changed(changed);
    else this.on.people(); // a draft may have gone, or a title come
  }

  takeLive(bytes) {
    let m;
    try {
      m = decodeLive(bytes);
    } catch (error) {
      if (error instanceof Malformed) return;
      throw error;
    }
    if (m.from === this.from) return;
    const known = this.peers.all.has(m.from);
    const peer = this.peers.take(m);
    if (m.kind === PING) this.say({ kind: PONG, to: m.from, nonce: m.nonce });
    else if (m.kind === PONG && m.to === this.from && this.pings.has(m.nonce) && peer) {
      const rtt = performance.now() - this.pings.get(m.nonce);
      peer.rtt = peer.rtt === null ? rtt : peer.rtt * 0.7 + rtt * 0.3;
    }
    if (m.kind === DONE && peer) {
      // it may have come before this
      const element = this.board.element(peer.writer, m.counter);
      if (element) peer.drafts.delete(m.number);
    }
    if (!known && peer) this.say({ kind: HERE });
    this.on.people(m.kind);
  }

  // ---- what I do ----

  say(m) {
    const more = m.kind === HERE ? { writer: this.writer, ...this.person } : {};
    this.transport.live(this.name, encodeLive({ from: this.from, ...more, ...m }));
  }

  ping() {
    const nonce = Math.floor(Math.random() * 2 ** 40);
    this.pings.set(nonce, performance.now());
    if (this.pings.size > 8) this.pings.delete(this.pings.keys().next().value);
    this.say({ kind: PING, nonce });
  }

  cursor(x, y) {
    this.say({ kind: CURSOR, x: Math.round(x * 16), y: Math.round(y * 16) });
  }
  laser(points) {
    this.say({ kind: LASER, points });
  }

  /** What is being drawn, for the others: update(op), then done(op) or drop(). */
  draft() {
    const number = ++this.drafts;
    let told = 0, said = false;
    return {
      update: (op) => {
        said = true;
        if (!isStroke(op.kind)) return this.say({ kind: DRAFT, number, index: 0, op });
        for (; told * 2 < op.points.length; ) {
          const to = Math.min(told + 256, op.points.length / 2);
          this.say({ kind: DRAFT, number, index: told, op: { ...op, points: op.points.slice(2 * told, 2 * to), pressures: op.pressures?.slice(told, to) ?? null } });
          told = to;
        }
      },
      done: (op) => said && this.say({ kind: DONE, number, counter: op.counter }),
      drop: () => said && this.say({ kind: DROPPED, number }),
    };
  }

  /** Makes an operation, shows it, keeps it and sends it. Returns it, or null if there is no room to keep more that is not acknowledged. */
  commit(kind, fields, joined = false) {
    return this.sent(() => this.author.make(kind, fields, joined));
  }
  undo() {
    return this.sent(() => this.author.undo());
  }
  redo() {
    return this.sent(() => this.author.redo());
  }

  sent(make) {
    if (this.readOnly) {
      if (!this.readOnlySaid) this.on.trouble("You may look at this board, and not draw on it: your role is viewer.");
      this.readOnlySaid = true;
      return null;
    }
    if (this.outboxBytes >= OUTBOX_BYTES_MAX) {
      this.on.trouble("Too much waits to be sent: nothing more is drawn until the node answers again.");
      return null;
    }
    const made = make();
    if (!made) return null;
    this.outbox.push(made.op);
    this.outboxBytes += sizeOf(made.op);
    this.keep(made.op);
    this.on.changed(made.changed);
    this.flush();
    return made.op;
  }

  // An entry for each operation that is not acknowledged, and one that says which there are: counters go up by one.
  keep(op) {
    try {
      this.store.setItem(`${this.keptKey}.${op.counter}`, toText(encodeLog(this.header, [op])));
      this.store.setItem(this.keptKey, `${this.outbox[0].counter} ${op.counter}`);
      this.store.setItem(this.counterKey, String(op.counter));
    } catch {
      if (!this.fullSaid) this.on.trouble("The browser keeps no more: what is not sent yet would be lost with this page.");
      this.fullSaid = true;
    }
  }

  acknowledged(batch) {
    const gone = new Set(batch);
    this.outbox = this.outbox.filter((op) => !gone.has(op));
    this.outboxBytes -= batch.reduce((sum, op) => sum + sizeOf(op), 0);
    for (const op of batch) this.store.removeItem(`${this.keptKey}.${op.counter}`);
    try {
      if (this.outbox.length) this.store.setItem(this.keptKey, `${this.outbox[0].counter} ${this.outbox.at(-1).counter}`);
      else this.store.removeItem(this.keptKey);
    } catch {
      /* it is full: entries that are gone are passed over when it is read */
    }
  }

  restore() {
    const [first, last] = (this.store.getItem(this.keptKey) ?? "").split(" ").map(Number);
    for (let counter = first; counter <= last; counter++) {
      try {
        const kept = this.store.getItem(`${this.keptKey}.${counter}`);
        if (kept) this.outbox.push(...decodeLog(fromText(kept)).ops);
      } catch (error) {
        this.on.trouble(`Something that was not sent the last time cannot be read (${error.message}).`);
      }
    }
    this.outboxBytes = this.outbox.reduce((sum, op) => sum + sizeOf(op), 0);
  }

  tellState() {
    this.on.state({ link: this.link, unsent: this.outbox.length });
  }

  /** Sends what waits, in order, until all of it is acknowledged. */
  flush() {
    this.sending ??= this.sendAll().finally(() => { this.sending = null; });
    return this.sending;
  }

  async sendAll() {
    clearTimeout(this.retry);
    while (this.outbox.length && !this.closed) {
      const batch = this.outbox.slice(0, BATCH_OPS);
      this.tellState();
      try {
        await this.transport.append(this.name, encodeLog(this.header, batch));
      } catch (error) {
        this.tellState();
        if (this.closed) return;
        this.tellRefusal(error);
        this.retry = setTimeout(() => this.flush(), this.retryMs);
        this.retryMs = Math.min(2 * this.retryMs, RETRY_MAX_MS);
        return;
      }
      this.retryMs = RETRY_FIRST_MS;
      this.refusal = null;
      this.acknowledged(batch);
    }
    this.tellState();
  }

  /** A node that answers says why it does not take what waits; that it does not answer is told by the link. */
  tellRefusal({ status, message, hint }) {
    if (!(status >= 400) || message === this.refusal) return;
    this.refusal = message;
    this.on.trouble(`Not saved: ${sentence(message)}${hint ? ` ${sentence(hint)}` : ""} What you drew is kept in this browser and sent again.`);
  }
}
