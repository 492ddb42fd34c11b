// The transport over a node: its routes /v1/boards, and a WebSocket for what happens meanwhile. When the node dies or hangs
// the page goes on at another one, as the other pages do (lib/session.js); whoever drew keeps what was not acknowledged.
import { api, ApiError, goElsewhere, session, stillLoggedIn } from "../lib/session.js";
import { hex } from "./bytes.js";
import { decodeLog, encodeHeader } from "./log.js";

const RETRY_MS = [100, 250, 500, 1000, 2000, 4000];
const PATIENCE_MS = 4000; // with a connection, and with a node that was asked whether it is there
const QUIET_MS = 8000; // after which it is asked
const MEMBERS_MS = 15000;
const REFUSED = 4503; // the node's module will not: the reason says why
const LIVE = 1, OPS = 2, MISSED = 3; // apps/whiteboard/place.h
const LOG_READ = 0;

const path = (board, rest = "") => `/v1/boards/${encodeURIComponent(board)}${rest}`;

async function bytesOf(url, options) {
  const response = await api(url, { ...options, raw: true });
  if (!response.ok) throw new ApiError(response.status, await response.json().catch(() => null), `The node answered ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}

/** What GET /v1/boards/NAME/logs answers: [{file, read, bytes}]. */
export function takeLogs(bytes) {
  const logs = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 2 <= bytes.length; ) {
    const read = bytes[at] === LOG_READ, nameLength = bytes[at + 1];
    const file = new TextDecoder().decode(bytes.subarray(at + 2, at + 2 + nameLength));
    const length = view.getUint32(at + 2 + nameLength, true);
    at += 6 + nameLength;
    logs.push({ file, read, bytes: bytes.subarray(at, at + length) });
    at += length;
  }
  return logs;
}

/** The pieces of one message of the live socket: [[type, bytes]]. */
export function takePieces(buffer) {
  const bytes = new Uint8Array(buffer), view = new DataView(buffer), pieces = [];
  for (let at = 0; at + 5 <= bytes.length; ) {
    const length = view.getUint32(at, true);
    if (length < 1 || at + 4 + length > bytes.length) break;
    pieces.push([bytes[at + 4], bytes.slice(at + 5, at + 4 + length)]);
    at += 4 + length;
  }
  return pieces;
}

export class NodeTransport {
  constructor() {
    this.have = new Map(); // board -> Map file -> {bytes, head}: how much of each log was given
  }

  async boards() {
    const { boards } = await api("/v1/boards");
    return boards.map(({ name, bytes, changed }) => ({ name, bytes, changed, logs: null }));
  }

  /** Logs that were not given yet, or grew. Its property out says how many nobody within reach holds. */
  async load(board) {
    const have = this.have.get(board);
    return have ? this.loadMore(board, have) : this.loadAll(board);
  }

  /** Whoever loads it next gets all of it. */
  forget(board) {
    this.have.delete(board);
  }

  async loadAll(board) {
    const have = new Map(), logs = [];
    logs.out = 0;
    for (let after = ""; ; ) {
      const got = takeLogs(await bytesOf(path(board, `/logs${after && `?after=${after}`}`)));
      if (!got.length) break;
      for (const { file, read, bytes } of got) {
        after = file;
        if (!read || !bytes.length) logs.out++;
        else {
          have.set(file, { bytes: bytes.length, head: this.headOf(bytes) });
          logs.push(bytes);
        }
      }
    }
    this.have.set(board, have);
    return logs;
  }

  async loadMore(board, have) {
    const logs = [];
    logs.out = 0;
    for (const { file, bytes } of (await api(path(board))).logs) {
      const known = have.get(file) ?? { bytes: 0, head: null };
      if (bytes <= known.bytes) continue;
      let more;
      try {
        more = await bytesOf(path(board, `/log?file=${file}&from=${known.bytes}`));
      } catch (error) {
        if (!(error instanceof ApiError) || error.status === 0 || error.status === 401) throw error;
        logs.out++;
        continue;
      }
      if (!more.length) continue;
      logs.push(known.head ? joined(known.head, more) : more);
      have.set(file, { bytes: known.bytes + more.length, head: known.head ?? this.headOf(more) });
    }
    return logs;
  }

  headOf(bytes) {
    try {
      return encodeHeader(decodeLog(bytes));
    } catch {
      return null; // whoever reads it says what is wrong with it
    }
  }

  async append(board, bytes) {
    await bytesOf(path(board, "/ops"), { method: "POST", body: bytes, headers: { "Content-Type": "application/octet-stream" } });
  }

  live(board, bytes) {
    this.line?.send(bytes);
  }

  subscribe(board, handlers) {
    const line = new Line(this, board, handlers);
    this.line = line;
    return { close: () => line.close() };
  }

  async putImage(board, blob) {
    const body = await blob.arrayBuffer();
    const name = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", body)));
    await bytesOf(path(board, `/image?hash=${name}`), { method: "PUT", body, headers: { "Content-Type": "application/octet-stream" } });
    return name;
  }

  async getImage(board, hash) {
    const bytes = await bytesOf(path(board, `/image?hash=${hash}`));
    if (hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))) !== hash) throw new Error("the image is not what its name says");
    return new Blob([bytes]);
  }
}

function joined(head, more) {
  const out = new Uint8Array(head.length + more.length);
  out.set(head);
  out.set(more, head.length);
  return out;
}

/** Who else there is, where one could go on. */
async function learnMembers() {
  const { nodes, self } = await api("/v1/nodes", { signal: AbortSignal.timeout(PATIENCE_MS) });
  session.members = new Map(nodes.filter((one) => one.id !== self).map((one) => [one.id, { ...one, web: one.web ?? session.members.get(one.id)?.web }]));
}

/** The live socket of one board, which finds its way to another node. */
class Line {
  constructor(transport, board, handlers) {
    Object.assign(this, { transport, board, handlers, retries: 0, refusals: 0, opened: 0, closed: false, socket: null });
    this.members = setInterval(() => learnMembers().catch(() => {}), MEMBERS_MS);
    this.pulse = setInterval(() => this.listen(), 1000);
    learnMembers().catch(() => {});
    this.connect();
  }

  close() {
    this.closed = true;
    clearInterval(this.members);
    clearInterval(this.pulse);
    clearTimeout(this.timer);
    this.socket?.close();
    if (this.transport.line === this) this.transport.line = null;
  }

  send(bytes) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(bytes);
  }

  connect() {
    if (this.closed) return;
    const base = (session.base || location.origin).replace(/^http/, "ws");
    const mine = new WebSocket(base + path(this.board, "/live"), session.bearer ? ["kith", `bearer.${session.bearer}`] : ["kith"]);
    mine.binaryType = "arraybuffer";
    this.socket?.close();
    this.socket = mine;
    const patience = setTimeout(() => this.gone(mine), PATIENCE_MS);
    mine.onopen = () => {
      clearTimeout(patience);
      if (this.socket !== mine) return;
      this.retries = 0;
      this.heard = performance.now();
      const base = session.base || location.origin;
      const moved = this.base !== undefined && this.base !== base;
      this.base = base;
      if (moved) this.transport.have.delete(this.board); // what this one holds is another matter
      this.handlers.state?.("live");
      if (this.opened++) this.handlers.missed?.({ moved });
      learnMembers().catch(() => {});
    };
    mine.onmessage = ({ data }) => {
      if (this.socket !== mine) return;
      this.heard = performance.now();
      this.refusals = 0;
      for (const [type, bytes] of takePieces(data)) {
        if (type === LIVE) this.handlers.live(bytes);
        else if (type === OPS) this.handlers.log(bytes);
        else if (type === MISSED) this.handlers.missed?.({ moved: false });
      }
    };
    mine.onclose = ({ code, reason }) => {
      clearTimeout(patience);
      this.gone(mine, code === REFUSED, reason);
    };
  }

  gone(mine, refused = false, reason = "") {
    if (this.socket !== mine || this.closed) return;
    this.socket = null;
    mine.close();
    if (refused) this.refusals++;
    this.again(refused, reason);
  }

  // A node that refuses has opened the socket before: it is left for another one at once, and asked more and more rarely.
  async again(refused, reason) {
    this.handlers.state?.(reason || (this.retries < 2 && this.refusals < 2 ? "connecting again" : "not connected"));
    if (this.retries > 0 && !await stillLoggedIn()) {
      this.handlers.state?.("logged out");
      this.timer = setTimeout(() => this.connect(), RETRY_MS.at(-1));
      return;
    }
    if (this.closed || this.socket) return;
    if ((refused || (this.retries >= 2 && this.retries % 2 === 0)) && (await goElsewhere())) this.retries = 0;
    if (this.closed || this.socket) return;
    this.timer = setTimeout(() => this.connect(), RETRY_MS[Math.min(Math.max(this.retries++, this.refusals), RETRY_MS.length - 1)]);
  }

  // A board on which nobody draws is silent; so is a node that hangs.
  async listen() {
    const mine = this.socket;
    if (!mine || mine.readyState !== WebSocket.OPEN || this.asking || performance.now() - this.heard < QUIET_MS) return;
    this.asking = true;
    try {
      await fetch(`${session.base}/healthz`, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(PATIENCE_MS) });
      this.heard = performance.now();
    } catch {
      this.retries = Math.max(this.retries, 1);
      this.gone(mine);
    }
    this.asking = false;
  }
}
