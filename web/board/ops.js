// The operations of a board, and their bytes: docs/protocols/board.md. An operation is a plain object: {writer, counter,
// clock, kind, joined, ...fields}. Coordinates are whole sixteenths of a unit, so that every machine computes the same.
import {
  BOARD_ACTION_MAX, BOARD_CLOCK_MAX, BOARD_COLOURS_N, BOARD_COORD_MAX, BOARD_COUNTER_MAX, BOARD_FACTOR_MAX, BOARD_POINTS_MAX, BOARD_RECORD_BYTES_MAX,
  BOARD_SET_RANGES_MAX, BOARD_SET_WRITERS_MAX, BOARD_TEXT_BYTES_MAX, BOARD_TITLE_BYTES_MAX, BOARD_WIDTH_MAX,
} from "./limits.js";
import { hex, Malformed, Reader, unhex, Writer } from "./bytes.js";

export const UNIT = 16;

export const STROKE = 1, HIGHLIGHT = 2, LINE = 3, ARROW = 4, RECT = 5, ELLIPSE = 6, TEXT = 7, STICKY = 8, IMAGE = 9;
export const DELETE = 16, CLEAR = 17, TRANSFORM = 18, STYLE = 19, RETEXT = 20, TITLE = 21;
export const UNDO = 32, REDO = 33;

export const IMAGE_TYPES = ["image/png", "image/jpeg", "image/webp"];
export const FILLS_N = 3; // none, a tint, full
export const STYLE_COLOUR = 1, STYLE_WIDTH = 2, STYLE_FILL = 4;
const JOINED = 0x80;
const PRESSURE = 1;

export const draws = (kind) => kind >= STROKE && kind <= IMAGE;
export const touches = (kind) => kind >= DELETE && kind <= RETEXT;

// ---- sets of ids: a Map writer -> [from, to, from, to, ...], ascending, with a gap between ranges ----

/** A set of [[writer, counter], ...], in any order, with repetitions. */
export function idSet(ids) {
  const by = new Map();
  for (const [writer, counter] of ids) {
    if (!by.has(writer)) by.set(writer, []);
    by.get(writer).push(counter);
  }
  const set = new Map();
  for (const writer of [...by.keys()].sort()) {
    const ranges = [];
    for (const counter of by.get(writer).sort((a, b) => a - b)) {
      if (ranges.length && counter <= ranges[ranges.length - 1] + 1) ranges[ranges.length - 1] = counter;
      else ranges.push(counter, counter);
    }
    set.set(writer, ranges);
  }
  return set;
}

export function inSet(set, writer, counter) {
  const ranges = set.get(writer);
  if (!ranges) return false;
  for (let i = 0; i < ranges.length; i += 2) if (counter >= ranges[i] && counter <= ranges[i + 1]) return true;
  return false;
}

function putSet(w, set) {
  w.varint(set.size);
  for (const writer of [...set.keys()].sort()) {
    const ranges = set.get(writer);
    w.raw(unhex(writer));
    w.varint(ranges.length / 2);
    let last = -1;
    for (let i = 0; i < ranges.length; i += 2) {
      w.varint(ranges[i] - last - 2);
      w.varint(ranges[i + 1] - ranges[i]);
      last = ranges[i + 1];
    }
  }
}

function takeSet(r) {
  const set = new Map();
  let all = 0, before = "";
  for (let n = r.varint(BOARD_SET_WRITERS_MAX); n > 0; n--) {
    const writer = hex(r.raw(16));
    if (writer <= before) throw new Malformed("writers are not in order");
    before = writer;
    const m = r.varint(BOARD_SET_RANGES_MAX);
    all += m;
    if (m === 0 || all > BOARD_SET_RANGES_MAX) throw new Malformed("too many ranges, or none");
    r.need(2 * m);
    const ranges = [];
    let last = -1;
    for (let i = 0; i < m; i++) {
      const from = last + 2 + r.varint(BOARD_COUNTER_MAX);
      last = from + r.varint(BOARD_COUNTER_MAX);
      if (last > BOARD_COUNTER_MAX) throw new Malformed("a counter is above its limit");
      ranges.push(from, last);
    }
    set.set(writer, ranges);
  }
  return set;
}

// ---- fields ----

const put = {
  colour: (w, v) => w.u8(v),
  fill: (w, v) => w.u8(v),
  width: (w, v) => w.varint(v),
  coord: (w, v) => w.zigzag(v),
  extent: (w, v) => w.varint(v),
  factor: (w, v) => w.zigzag(v),
  text: (w, v) => w.text(v),
  title: (w, v) => w.text(v),
  hash: (w, v) => w.raw(unhex(v)),
  mime: (w, v) => w.u8(v),
  set: putSet,
  own: (w, v) => w.varint(v),
  many: (w, v) => w.varint(v),
  writer: (w, v) => w.raw(unhex(v)),
  counter: (w, v) => w.varint(v),
};

function below(value, n) {
  if (value >= n) throw new Malformed("a number is above its limit");
  return value;
}
function atLeast1(value) {
  if (value < 1) throw new Malformed("a number is 0");
  return value;
}

const take = {
  colour: (r) => below(r.u8(), BOARD_COLOURS_N),
  fill: (r) => below(r.u8(), FILLS_N),
  width: (r) => atLeast1(r.varint(BOARD_WIDTH_MAX)),
  coord: (r) => r.zigzag(BOARD_COORD_MAX),
  extent: (r) => r.varint(BOARD_COORD_MAX),
  factor: (r) => r.zigzag(BOARD_FACTOR_MAX),
  text: (r) => r.text(BOARD_TEXT_BYTES_MAX, true),
  title: (r) => r.text(BOARD_TITLE_BYTES_MAX),
  hash: (r) => hex(r.raw(32)),
  mime: (r) => below(r.u8(), IMAGE_TYPES.length),
  set: takeSet,
  own: (r) => atLeast1(r.varint(BOARD_COUNTER_MAX)),
  many: (r) => atLeast1(r.varint(BOARD_ACTION_MAX)),
  writer: (r) => hex(r.raw(16)),
  counter: (r) => atLeast1(r.varint(BOARD_COUNTER_MAX)),
};

const SHAPE = [["colour", "colour"], ["width", "width"], ["fill", "fill"], ["x", "coord"], ["y", "coord"], ["w", "coord"], ["h", "coord"]];
const LETTERS = [["colour", "colour"], ["size", "width"], ["x", "coord"], ["y", "coord"], ["w", "extent"], ["h", "extent"], ["text", "text"]];

// kind -> [field, type] in the order of the bytes; strokes and styles have their own way
const FIELDS = {
  [LINE]: SHAPE, [ARROW]: SHAPE, [RECT]: SHAPE, [ELLIPSE]: SHAPE, [TEXT]: LETTERS, [STICKY]: LETTERS,
  [IMAGE]: [["x", "coord"], ["y", "coord"], ["w", "extent"], ["h", "extent"], ["type", "mime"], ["hash", "hash"]],
  [DELETE]: [["targets", "set"]],
  [CLEAR]: [["targets", "set"]],
  [TRANSFORM]: [["targets", "set"], ["a", "factor"], ["b", "factor"], ["c", "factor"], ["d", "factor"], ["e", "coord"], ["f", "coord"]],
  [RETEXT]: [["target", "writer"], ["of", "counter"], ["w", "extent"], ["h", "extent"], ["text", "text"]],
  [TITLE]: [["text", "title"]],
  [UNDO]: [["from", "own"], ["n", "many"]],
  [REDO]: [["from", "own"], ["n", "many"]],
};

function putStroke(w, op) {
  const { points, pressures } = op;
  w.u8(op.colour);
  w.varint(op.width);
  w.u8(pressures ? PRESSURE : 0);
  w.varint(points.length / 2);
  let x = 0, y = 0;
  for (let i = 0; i < points.length; i += 2) {
    w.zigzag(points[i] - x);
    w.zigzag(points[i + 1] - y);
    if (pressures) w.u8(pressures[i / 2]);
    x = points[i];
    y = points[i + 1];
  }
}

function takeStroke(r, op) {
  op.colour = take.colour(r);
  op.width = take.width(r);
  const flags = below(r.u8(), 2);
  const n = atLeast1(r.varint(BOARD_POINTS_MAX));
  r.need(n * (flags ? 3 : 2));
  op.points = new Int32Array(2 * n);
  op.pressures = flags ? new Uint8Array(n) : null;
  let x = 0, y = 0;
  for (let i = 0; i < n; i++) {
    op.points[2 * i] = x += r.zigzag(2 * BOARD_COORD_MAX);
    op.points[2 * i + 1] = y += r.zigzag(2 * BOARD_COORD_MAX);
    if (Math.abs(x) > BOARD_COORD_MAX || Math.abs(y) > BOARD_COORD_MAX) throw new Malformed("a point is too far away");
    if (flags) op.pressures[i] = r.u8();
  }
}

function putStyle(w, op) {
  putSet(w, op.targets);
  w.u8((op.colour !== undefined ? STYLE_COLOUR : 0) | (op.width !== undefined ? STYLE_WIDTH : 0) | (op.fill !== undefined ? STYLE_FILL : 0));
  for (const field of ["colour", "width", "fill"]) if (op[field] !== undefined) put[field](w, op[field]);
}

function takeStyle(r, op) {
  op.targets = takeSet(r);
  const mask = atLeast1(below(r.u8(), 8));
  if (mask & STYLE_COLOUR) op.colour = take.colour(r);
  if (mask & STYLE_WIDTH) op.width = take.width(r);
  if (mask & STYLE_FILL) op.fill = take.fill(r);
}

/** The bytes of @op, without its writer, who is in the header of the log. */
export function encodeOp(op) {
  const w = new Writer();
  w.varint(op.counter);
  w.varint(op.clock);
  w.u8(op.kind | (op.joined ? JOINED : 0));
  encodeFields(w, op);
  if (w.length > BOARD_RECORD_BYTES_MAX) throw new Malformed("an operation is above its limit");
  return w.done();
}

export function encodeFields(w, op) {
  if (op.raw) w.raw(op.raw);
  else if (op.kind === STROKE || op.kind === HIGHLIGHT) putStroke(w, op);
  else if (op.kind === STYLE) putStyle(w, op);
  else for (const [field, type] of FIELDS[op.kind]) put[type](w, op[field]);
}

/** The operation of @writer in bytes[from, to); throws Malformed. One of a kind that is not known keeps its bytes and does nothing. */
export function decodeOp(bytes, writer, from = 0, to = bytes.length) {
  if (to - from > BOARD_RECORD_BYTES_MAX) throw new Malformed("an operation is above its limit");
  const r = new Reader(bytes, from, to);
  const op = { writer, counter: take.own(r), clock: r.varint(BOARD_CLOCK_MAX), kind: r.u8(), joined: false };
  if (op.kind & JOINED) {
    op.kind &= ~JOINED;
    op.joined = true;
  }
  decodeFields(r, op);
  r.finish();
  if ((op.kind === UNDO || op.kind === REDO) && op.from + op.n > op.counter) throw new Malformed("what it undoes comes after it");
  return op;
}

export function decodeFields(r, op) {
  if (op.kind === STROKE || op.kind === HIGHLIGHT) takeStroke(r, op);
  else if (op.kind === STYLE) takeStyle(r, op);
  else if (FIELDS[op.kind]) for (const [field, type] of FIELDS[op.kind]) op[field] = take[type](r);
  else op.raw = r.raw(r.end - r.at);
}

/** Which of two different operations of one id counts: the one with the smaller bytes. No writer makes such, but any order must give the same. */
export function smallerOp(a, b) {
  const x = encodeOp(a), y = encodeOp(b);
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i] < y[i] ? a : b;
  return x.length <= y.length ? a : b;
}

/** The order of a board: by clock, then writer, then counter. */
export function compareOps(a, b) {
  return a.clock - b.clock || (a.writer < b.writer ? -1 : a.writer > b.writer ? 1 : a.counter - b.counter);
}
