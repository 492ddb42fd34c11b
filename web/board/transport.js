// How a page reaches the logs of a board and those who draw on it. A transport has
//
//   boards()                  the boards there are: [{name, logs: [bytes], changed: ms}]
//   load(board)               its logs, each as bytes; none if it is new
//   append(board, bytes)      a header and records; resolves when they are durable
//   live(board, bytes)        to whoever is there now; may be lost
//   subscribe(board, {log(bytes), live(bytes), state(text)})   what others append and say; returns {close()}
//   putImage(board, blob)     keeps it; resolves to its name, 64 hex digits
//   getImage(board, hash)     resolves to the blob; rejects if nobody has it
//
// Whatever is appended may come back through log(), more than once and in any order. Here are one in memory, with the faults of a
// network, and one between the pages of a browser. The one over a node is made of the same calls.
import { decodeLog, encodeHeader, encodeLog, encodeRecord } from "./log.js";
import { encodeOp } from "./ops.js";
import { hex } from "./bytes.js";

const nameOfImage = async (blob) => hex(new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer())));

/** Puts what @bytes have to the log of the same writer: records behind records. */
function joined(log, bytes) {
  if (!log) return bytes;
  const more = decodeLog(bytes);
  const head = encodeHeader(more).length;
  const out = new Uint8Array(log.length + bytes.length - head);
  out.set(log);
  out.set(bytes.subarray(head), log.length);
  return out;
}

/**
 * What several MemoryTransports share. @faults: {chance: () => 0..1, lose, twice, late} gives each live message and each batch of
 * operations a fate (0..1 each); those who are told with cut() hear nothing of each other.
 */
export class MemoryHub {
  constructor(faults = {}) {
    this.faults = { chance: Math.random, lose: 0, twice: 0, late: 0, ...faults };
    this.sides = new Map(); // side -> {boards: Map name -> Map writer -> bytes, images}
    this.listeners = new Set();
    this.waiting = [];
  }
  side(name) {
    if (!this.sides.has(name)) this.sides.set(name, { boards: new Map(), images: new Map() });
    return this.sides.get(name);
  }
  keep(side, board, bytes) {
    const { boards } = this.side(side);
    if (!boards.has(board)) boards.set(board, new Map());
    const { writer } = decodeLog(bytes);
    boards.get(board).set(writer, joined(boards.get(board).get(writer), bytes));
  }
  /** To all others of a board who can be reached. Operations that get lost stay in the log, to be had by load(). */
  tell(from, board, what, bytes) {
    const { chance, lose, twice, late } = this.faults;
    for (const listener of this.listeners) {
      if (listener.owner === from || listener.board !== board || listener.owner.side !== from.side) continue;
      if (chance() < lose) continue;
      const send = () => listener[what](bytes);
      for (let n = chance() < twice ? 2 : 1; n > 0; n--) {
        if (chance() < late) this.waiting.push(send);
        else queueMicrotask(send);
      }
    }
  }
  /** What came late comes now, in any order. */
  deliver() {
    for (const send of this.waiting.splice(0).sort(() => this.faults.chance() - 0.5)) send();
  }
  /** @transports are apart from the others from now on, with what was known at this moment. */
  cut(transports, side) {
    const from = this.side(transports[0].side), to = this.side(side);
    for (const [board, logs] of from.boards) to.boards.set(board, new Map(logs));
    to.images = new Map(from.images);
    for (const one of transports) one.side = side;
  }
  /** Everybody together again: each side's logs become all sides' logs, and everybody is told. */
  heal() {
    const all = new Map();
    for (const { boards } of this.sides.values())
      for (const [board, logs] of boards)
        for (const [writer, bytes] of logs) {
          if (!all.has(board)) all.set(board, new Map());
          const have = all.get(board).get(writer);
          if (!have || have.length < bytes.length) all.get(board).set(writer, bytes);
        }
    for (const listener of this.listeners) listener.owner.side = "";
    this.sides.clear();
    this.side("").boards = all;
    for (const listener of this.listeners) for (const bytes of all.get(listener.board)?.values() ?? []) listener.log(bytes);
  }
}

export class MemoryTransport {
  constructor(hub = new MemoryHub()) {
    this.hub = hub;
    this.side = "";
    this.down = false; // nothing can be appended
  }
  async boards() {
    return [...this.hub.side(this.side).boards].map(([name, logs]) => ({ name, logs: [...logs.values()], changed: 0 }));
  }
  async load(board) {
    if (this.down) throw new Error("the node cannot be reached");
    return [...(this.hub.side(this.side).boards.get(board)?.values() ?? [])];
  }
  async append(board, bytes) {
    await null;
    if (this.down) throw new Error("the node cannot be reached");
    this.hub.keep(this.side, board, bytes);
    this.hub.tell(this, board, "log", bytes);
  }
  live(board, bytes) {
    if (!this.down) this.hub.tell(this, board, "live", bytes);
  }
  subscribe(board, handlers) {
    const listener = { board, owner: this, ...handlers };
    this.hub.listeners.add(listener);
    handlers.state?.("live");
    return { close: () => this.hub.listeners.delete(listener) };
  }
  async putImage(board, blob) {
    const name = await nameOfImage(blob);
    this.hub.side(this.side).images.set(name, blob);
    return name;
  }
  async getImage(board, hash) {
    const blob = this.hub.side(this.side).images.get(hash);
    if (!blob) throw new Error("there is no such image");
    return blob;
  }
}

// ---- between the pages of one browser ----

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});
const ended = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = resolve;
  transaction.onerror = transaction.onabort = () => reject(transaction.error);
});

/** Boards of this browser: kept in IndexedDB, told over a BroadcastChannel. */
export class BroadcastTransport {
  constructor(name = "kith-boards") {
    this.name = name;
    this.channels = new Map();
  }
  async database() {
    this.opening ??= new Promise((resolve, reject) => {
      const request = indexedDB.open(this.name, 1);
      request.onupgradeneeded = () => {
        request.result.createObjectStore("records", { autoIncrement: true }).createIndex("board", "board");
        request.result.createObjectStore("images");
      };
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    return this.opening;
  }
  channel(board) {
    if (!this.channels.has(board)) this.channels.set(board, new BroadcastChannel(`${this.name}/${board}`));
    return this.channels.get(board);
  }
  async logs(entries) {
    const logs = new Map();
    for (const { bytes } of entries) {
      const log = decodeLog(bytes);
      if (!logs.has(log.writer)) logs.set(log.writer, { ...log, ops: [] });
      logs.get(log.writer).ops.push(...log.ops);
    }
    return [...logs.values()].map((log) => encodeLog(log, log.ops));
  }
  async boards() {
    const db = await this.database();
    const by = new Map();
    for (const entry of await done(db.transaction("records").objectStore("records").getAll())) {
      if (!by.has(entry.board)) by.set(entry.board, []);
      by.get(entry.board).push(entry);
    }
    return Promise.all([...by].map(async ([name, entries]) => ({ name, logs: await this.logs(entries), changed: Math.max(...entries.map((entry) => entry.at)) })));
  }
  async load(board) {
    const db = await this.database();
    return this.logs(await done(db.transaction("records").objectStore("records").index("board").getAll(board)));
  }
  async append(board, bytes) {
    const db = await this.database();
    const transaction = db.transaction("records", "readwrite", { durability: "strict" });
    transaction.objectStore("records").add({ board, at: Date.now(), bytes });
    this.channel(board).postMessage({ log: bytes }); // they need not wait for the disk
    await ended(transaction);
  }
  live(board, bytes) {
    this.channel(board).postMessage({ live: bytes });
  }
  subscribe(board, { log, live, state }) {
    const channel = new BroadcastChannel(`${this.name}/${board}`);
    channel.onmessage = ({ data }) => (data.log ? log(data.log) : live(data.live));
    state?.("live");
    return { close: () => channel.close() };
  }
  async putImage(board, blob) {
    const name = await nameOfImage(blob);
    const db = await this.database();
    const transaction = db.transaction("images", "readwrite");
    transaction.objectStore("images").put(blob, name);
    await ended(transaction);
    return name;
  }
  async getImage(board, hash) {
    const db = await this.database();
    const blob = await done(db.transaction("images").objectStore("images").get(hash));
    if (!blob) throw new Error("there is no such image in this browser");
    return blob;
  }
}

export const sizeOf = (op) => encodeRecord(encodeOp(op)).length;
