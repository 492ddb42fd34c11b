// Live messages: what others see while it happens, and what is not kept. docs/protocols/board.md has their bytes.
import { BOARD_COLOURS_N, BOARD_COORD_MAX, BOARD_COUNTER_MAX, BOARD_PERSON_BYTES_MAX, BOARD_POINTS_MAX, LIVE_BYTES_MAX, LIVE_DRAFTS_MAX, LIVE_LASER_MAX, LIVE_PEERS_MAX, LIVE_POINTS_MAX, LIVE_SILENCE_MS } from "./limits.js";
import { hex, Malformed, Reader, unhex, Writer } from "./bytes.js";
import { decodeFields, encodeFields, ELLIPSE, HIGHLIGHT, LINE, STROKE } from "./ops.js";
import { isStroke } from "./shapes.js";

export const HERE = 1, CURSOR = 2, GONE = 3, DRAFT = 4, DROPPED = 5, DONE = 6, LASER = 7, PING = 8, PONG = 9;
const NUMBER_MAX = 2 ** 32;

function begin(kind, from) {
  const w = new Writer();
  w.u8(kind);
  w.raw(unhex(from));
  return w;
}

function putPoints(w, points) {
  w.varint(points.length / 2);
  let x = 0, y = 0;
  for (let i = 0; i < points.length; i += 2) {
    w.zigzag(points[i] - x);
    w.zigzag(points[i + 1] - y);
    x = points[i];
    y = points[i + 1];
  }
}

function takePoints(r) {
  const n = r.varint(LIVE_POINTS_MAX);
  r.need(2 * n);
  const points = [];
  let x = 0, y = 0;
  for (let i = 0; i < n; i++) {
    points.push((x += r.zigzag(2 * BOARD_COORD_MAX)), (y += r.zigzag(2 * BOARD_COORD_MAX)));
    if (Math.abs(x) > BOARD_COORD_MAX || Math.abs(y) > BOARD_COORD_MAX) throw new Malformed("a point is too far away");
  }
  return points;
}

/** {kind, from (16 hex digits), ...} as bytes. */
export function encodeLive(m) {
  const w = begin(m.kind, m.from);
  if (m.kind === HERE) {
    w.raw(unhex(m.writer));
    w.text(m.name);
    w.text(m.machine);
    w.u8(m.colour);
    w.u8(m.pen ? 1 : 0);
  } else if (m.kind === CURSOR) {
    w.zigzag(m.x);
    w.zigzag(m.y);
  } else if (m.kind === DRAFT) {
    w.varint(m.number);
    w.varint(m.index);
    w.u8(m.op.kind);
    encodeFields(w, m.op);
  } else if (m.kind === DROPPED) w.varint(m.number);
  else if (m.kind === DONE) {
    w.varint(m.number);
    w.varint(m.counter);
  } else if (m.kind === LASER) putPoints(w, m.points);
  else if (m.kind === PING) w.varint(m.nonce);
  else if (m.kind === PONG) {
    w.raw(unhex(m.to));
    w.varint(m.nonce);
  }
  return w.done();
}

/** The other way round; throws Malformed. */
export function decodeLive(bytes) {
  if (bytes.length > LIVE_BYTES_MAX) throw new Malformed("a live message is above its limit");
  const r = new Reader(bytes);
  const m = { kind: r.u8(), from: hex(r.raw(8)) };
  if (m.kind === HERE) {
    m.writer = hex(r.raw(16));
    m.name = r.text(BOARD_PERSON_BYTES_MAX);
    m.machine = r.text(BOARD_PERSON_BYTES_MAX);
    m.colour = r.u8();
    if (m.colour >= BOARD_COLOURS_N) throw new Malformed("there is no such colour");
    m.pen = (r.u8() & 1) === 1;
  } else if (m.kind === CURSOR) {
    m.x = r.zigzag(BOARD_COORD_MAX);
    m.y = r.zigzag(BOARD_COORD_MAX);
  } else if (m.kind === DRAFT) {
    m.number = r.varint(NUMBER_MAX);
    m.index = r.varint(BOARD_POINTS_MAX);
    m.op = { kind: r.u8() };
    if (m.op.kind < STROKE || m.op.kind > ELLIPSE) throw new Malformed("nobody draws such a thing by hand");
    decodeFields(r, m.op);
  } else if (m.kind === DROPPED) m.number = r.varint(NUMBER_MAX);
  else if (m.kind === DONE) {
    m.number = r.varint(NUMBER_MAX);
    m.counter = r.varint(BOARD_COUNTER_MAX);
  } else if (m.kind === LASER) m.points = takePoints(r);
  else if (m.kind === PING) m.nonce = r.varint();
  else if (m.kind === PONG) {
    m.to = hex(r.raw(8));
    m.nonce = r.varint();
  } else if (m.kind !== GONE) throw new Malformed("there is no such live message");
  r.finish();
  return m;
}

/** Who else is there, by what they say. */
export class Peers {
  constructor(now = () => performance.now()) {
    this.now = now;
    this.all = new Map(); // from -> peer
  }

  /** Takes a message in. Returns the peer, or null if it is of nobody who is known. */
  take(m) {
    if (m.kind === GONE) {
      const gone = this.all.get(m.from);
      this.all.delete(m.from);
      return gone ?? null;
    }
    let peer = this.all.get(m.from);
    if (!peer) {
      if (m.kind !== HERE) return null;
      if (this.all.size >= LIVE_PEERS_MAX) this.all.delete([...this.all.values()].sort((a, b) => a.heard - b.heard)[0].from);
      peer = { from: m.from, cursor: null, drafts: new Map(), laser: [], rtt: null, fresh: true };
      this.all.set(m.from, peer);
    }
    peer.heard = this.now();
    if (m.kind === HERE) Object.assign(peer, { writer: m.writer, name: m.name, machine: m.machine, colour: m.colour, pen: m.pen });
    else if (m.kind === CURSOR) peer.cursor = { x: m.x / 16, y: m.y / 16, at: peer.heard };
    else if (m.kind === DRAFT) this.takeDraft(peer, m);
    else if (m.kind === DROPPED) peer.drafts.delete(m.number);
    else if (m.kind === DONE) {
      const draft = peer.drafts.get(m.number);
      if (draft) Object.assign(draft, { counter: m.counter, until: peer.heard + LIVE_SILENCE_MS });
    } else if (m.kind === LASER) this.takeLaser(peer, m.points);
    return peer;
  }

  // What is painted goes by its age; a page that is hidden paints nothing.
  takeLaser(peer, points) {
    for (let i = 0; i < points.length; i += 2) peer.laser.push({ x: points[i] / 16, y: points[i + 1] / 16, at: peer.heard });
    if (peer.laser.length > LIVE_LASER_MAX) peer.laser.splice(0, peer.laser.length - LIVE_LASER_MAX);
  }

  takeDraft(peer, { number, index, op }) {
    let draft = peer.drafts.get(number);
    if (!draft) {
      if (peer.drafts.size >= LIVE_DRAFTS_MAX) peer.drafts.delete(peer.drafts.keys().next().value);
      draft = { op: { ...op }, points: [], pressures: op.pressures ? [] : null };
      peer.drafts.set(number, draft);
    }
    draft.view = null;
    if (!isStroke(op.kind)) {
      draft.op = op;
      return;
    }
    // a message that was missed leaves a straight piece; one that came twice changes nothing
    const have = draft.points.length / 2;
    const skip = Math.max(0, have - index);
    for (let i = 2 * skip; i < op.points.length && draft.points.length < 2 * BOARD_POINTS_MAX; i++) draft.points.push(op.points[i]);
    if (draft.pressures && op.pressures) for (let i = skip; i < op.pressures.length && draft.pressures.length < draft.points.length / 2; i++) draft.pressures.push(op.pressures[i]);
    draft.op = { kind: op.kind, colour: op.colour, width: op.width, points: draft.points, pressures: draft.pressures };
  }

  /** What was drawn has come the other way: its draft goes. */
  arrived(op) {
    for (const peer of this.all.values())
      if (peer.writer === op.writer) for (const [number, draft] of peer.drafts) if (draft.counter === op.counter) peer.drafts.delete(number);
  }

  /** Lets go of whoever was not heard for long. Returns whether somebody went. */
  age() {
    const now = this.now();
    let went = false;
    for (const [from, peer] of this.all) {
      if (now - peer.heard > LIVE_SILENCE_MS) {
        this.all.delete(from);
        went = true;
      }
      for (const [number, draft] of peer.drafts) if (draft.until < now) peer.drafts.delete(number);
    }
    return went;
  }
}

export const drawsByHand = (kind) => kind === STROKE || kind === HIGHLIGHT || (kind >= LINE && kind <= ELLIPSE);
