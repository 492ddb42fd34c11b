// The logs of boards and how they come together, without a browser: any order, any repetition, undo storms, torn and damaged logs.
// KITH_BOARD_SEEDS: how many seeds; each failure names its own.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Author } from "../../web/board/author.js";
import { crc32c, Malformed, Writer } from "../../web/board/bytes.js";
import * as limits from "../../web/board/limits.js";
import { decodeLog, encodeHeader, encodeLog, encodeRecord } from "../../web/board/log.js";
import { Board, dump } from "../../web/board/merge.js";
import * as ops from "../../web/board/ops.js";
import { chance, drawing, history, shuffled, writerHex } from "./board-random.mjs";

const SEEDS = Number(process.env.KITH_BOARD_SEEDS ?? 150);
const A = writerHex(1), B = writerHex(2);

const merged = (list) => {
  const board = new Board();
  board.applyAll(list);
  return dump(board);
};
const rect = { colour: 1, width: 32, fill: 0, x: 0, y: 0, w: 160, h: 160 };
const shift = { a: 65536, b: 0, c: 0, d: 65536, e: 16, f: 0 };
const only = (...targets) => ({ targets: ops.idSet(targets.map((op) => [op.writer, op.counter])) });

/** Two authors with boards of their own; both() lets each hear of all. */
function pair() {
  let time = 1e15;
  const [a, b] = [A, B].map((hex) => new Author(new Board(), hex, { now: () => (time += 10) }));
  const both = () => {
    const all = [...a.board.ops(), ...b.board.ops()];
    for (const { board } of [a, b]) board.applyAll(all);
    assert.equal(dump(a.board), dump(b.board));
    return a.board.shown().length;
  };
  return { a, b, both };
}

test("any order and any repetition of operations gives the same board", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const rng = chance(seed + 1e6);
    const all = history(seed, { writers: 1 + (seed % 5), n: 40 + (seed % 90) });
    const wanted = merged(all);
    for (let k = 0; k < 3; k++) {
      const some = Array.from({ length: rng.below(all.length) }, () => rng.of(all));
      assert.equal(merged(shuffled([...all, ...some], rng)), wanted, `seed ${seed}`);
    }
    // and what changed is told: who looks only at those has the same picture
    const board = new Board(), seen = new Map();
    for (const op of shuffled(all, rng))
      for (const element of board.apply(op)) seen.set(element.key, JSON.stringify(board.view(element)));
    for (const element of board.elements) assert.equal(seen.get(element.key), JSON.stringify(board.look(element)), `seed ${seed}`);
  }
});

test("two operations of one id: any order gives the same, whichever counts", () => {
  const rng = chance(7);
  for (let seed = 1; seed <= 30; seed++) {
    const all = history(seed, { n: 40 });
    const twin = { ...rng.of(all.filter((op) => ops.draws(op.kind))) };
    Object.assign(twin, { kind: ops.RECT, ...rect, clock: twin.clock + rng.between(-50, 50), raw: undefined });
    const wanted = merged([...all, twin]);
    for (let k = 0; k < 4; k++) assert.equal(merged(shuffled([...all, twin, twin], rng)), wanted, `seed ${seed}`);
  }
});

test("undo takes back one's own and never another's", () => {
  const { a, b, both } = pair();
  const mine = a.make(ops.RECT, rect).op;
  assert.equal(both(), 1);
  b.make(ops.TRANSFORM, { ...only(mine), ...shift });
  b.make(ops.RECT, rect);
  both();
  assert.ok(a.undo() && !a.undo());
  assert.equal(both(), 1, "what b drew stays");
  // an undo in the name of another has no effect: it is looked for among its writer's own
  const forged = { writer: A, counter: a.counter + 1, clock: a.board.clock + 1, kind: ops.UNDO, joined: false, from: 2, n: 1 };
  a.board.apply(forged);
  assert.equal(a.board.shown().length, 1);
});

test("undo of a move leaves another's later move", () => {
  const { a, b, both } = pair();
  const box = a.make(ops.RECT, rect).op;
  both();
  a.make(ops.TRANSFORM, { ...only(box), ...shift });
  b.make(ops.TRANSFORM, { ...only(box), ...shift, e: 0, f: 32 });
  both();
  const at = () => a.board.view(a.board.element(A, box.counter)).matrix.slice(4);
  assert.deepEqual(at(), [1, 2]);
  a.undo();
  both();
  assert.deepEqual(at(), [0, 2]);
  a.redo();
  both();
  assert.deepEqual(at(), [1, 2]);
});

test("a clear hides what its writer saw, not what was drawn meanwhile, and can be undone", () => {
  const { a, b, both } = pair();
  a.make(ops.RECT, rect);
  b.make(ops.RECT, rect);
  assert.equal(both(), 2);
  a.make(ops.CLEAR, { targets: a.board.clearTargets() });
  b.make(ops.ELLIPSE, rect);
  assert.equal(a.board.shown().length, 0);
  assert.equal(both(), 1, "b drew without knowing of the clear");
  b.undo();
  assert.equal(both(), 0);
  a.undo();
  assert.equal(both(), 2, "b's ellipse stays undone");
  a.redo();
  assert.equal(both(), 0);
  // both clear at once; one undo does not bring back what the other one cleared
  a.undo();
  both();
  a.make(ops.CLEAR, { targets: a.board.clearTargets() });
  b.make(ops.CLEAR, { targets: b.board.clearTargets() });
  a.undo();
  assert.equal(both(), 0);
  b.undo();
  assert.equal(both(), 2);
});

test("an undo storm ends where it began, in any order", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const rng = chance(seed);
    const { a, b, both } = pair();
    for (let i = 0; i < 20; i++) for (const who of [a, b]) who.make(ops.STROKE, drawing(rng, ops.STROKE));
    both();
    const before = dump(a.board).split("\n").length;
    let pressed = [0, 0];
    for (let i = 0; i < 400; i++) {
      const k = rng.below(2), who = [a, b][k];
      const undo = rng.chance(0.5);
      if ((undo ? who.undo() : who.redo())) pressed[k] += undo ? 1 : -1;
      assert.ok(pressed[k] >= 0 && pressed[k] <= 20);
      if (rng.chance(0.05)) assert.equal(both(), 40 - pressed[0] - pressed[1], `seed ${seed}`);
    }
    while (a.redo());
    while (b.redo());
    assert.equal(both(), 40);
    assert.equal(dump(a.board).split("\n").length, before);
    assert.equal(merged(shuffled(a.board.ops(), rng)), dump(a.board), `seed ${seed}`);
  }
});

test("an author who comes back knows what can be undone", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const all = history(seed, { writers: 2, n: 80 });
    const board = new Board();
    board.applyAll(all);
    const one = new Author(board, writerHex(1));
    // the same as one who was there all the time: step by step, and from the whole
    const other = new Author(new Board(), writerHex(1));
    for (const op of all.filter((op) => op.writer === writerHex(1))) other.recall(op);
    assert.deepEqual([one.done, one.gone, one.counter], [other.done, other.gone, other.counter], `seed ${seed}`);
    const shown = dump(board);
    if (one.undo()) {
      one.redo();
      assert.equal(dump(board), shown, `seed ${seed}`);
    }
  }
});

test("an action of several operations is undone as one", () => {
  const { a } = pair();
  a.make(ops.RECT, rect);
  for (let i = 0; i < 5; i++) a.make(ops.RECT, rect, i > 0);
  assert.equal(a.board.shown().length, 6);
  a.undo();
  assert.equal(a.board.shown().length, 1);
  a.redo();
  assert.equal(a.board.shown().length, 6);
});

test("a clock that is far ahead does not take others along", () => {
  const { a } = pair();
  a.board.apply({ writer: B, counter: 1, clock: limits.BOARD_CLOCK_MAX, kind: ops.RECT, joined: false, ...rect });
  const { op } = a.make(ops.RECT, rect);
  assert.ok(op.clock < 2e15);
  const again = a.make(ops.RECT, rect).op;
  assert.ok(again.clock > op.clock);
  assert.equal(decodeLog(encodeLog({ board: "b", writer: A, name: "" }, [op, again])).ops.length, 2);
});

// ---- bytes ----

const head = { board: "plan-1", writer: A, name: "Ana Ünï" };
const ofA = (seed, n = 60) => history(seed, { n }).filter((op) => op.writer === A);

test("what is encoded decodes to the same, and what decodes encodes to the same", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const all = ofA(seed);
    const bytes = encodeLog(head, all);
    const log = decodeLog(bytes);
    assert.deepEqual({ board: log.board, writer: log.writer, name: log.name, state: log.state, good: log.good }, { ...head, state: "whole", good: bytes.length });
    assert.deepEqual(encodeLog(log, log.ops), bytes, `seed ${seed}`);
    assert.equal(merged(log.ops), merged(all));
  }
});

test("a log that ends anywhere gives what is before, and says that it is torn", () => {
  const all = ofA(3, 30);
  const bytes = encodeLog(head, all);
  const ends = [encodeHeader(head).length];
  for (const op of all) ends.push(ends[ends.length - 1] + encodeRecord(ops.encodeOp(op)).length);
  for (let end = 0; end < bytes.length; end++) {
    const cut = bytes.slice(0, end);
    if (end < ends[0]) {
      assert.throws(() => decodeLog(cut), Malformed);
      continue;
    }
    const log = decodeLog(cut);
    const whole = ends.filter((one) => one <= end);
    assert.equal(log.ops.length, whole.length - 1);
    assert.equal(log.good, whole[whole.length - 1]);
    assert.equal(log.state, log.good === end ? "whole" : "torn");
    // made longer, but never written to
    if (log.good === end) assert.deepEqual(["torn", end], (({ state, good }) => [state, good])(decodeLog(new Uint8Array([...cut, ...new Uint8Array(40)]))));
  }
});

test("a bit that fell over is noticed wherever it is, and never taken for a torn tail while good records follow", () => {
  const rng = chance(11);
  const all = ofA(5, 40);
  const bytes = encodeLog(head, all);
  const last = bytes.length - encodeRecord(ops.encodeOp(all[all.length - 1])).length;
  for (let i = 0; i < bytes.length; i++) {
    const bad = bytes.slice();
    bad[i] ^= 1 << rng.below(8);
    let log;
    try {
      log = decodeLog(bad);
    } catch (error) {
      assert.ok(error instanceof Malformed);
      assert.ok(i < encodeHeader(head).length);
      continue;
    }
    assert.ok(log.good <= i && log.state !== "whole", `bit in byte ${i}`);
    if (i < last) assert.equal(log.state, "damaged", `byte ${i}`);
  }
});

test("a record above its limit is damage, and not a torn tail", () => {
  const w = new Writer();
  w.u32(limits.BOARD_RECORD_BYTES_MAX + 1);
  w.u32(crc32c(w.bytes, 0, 4));
  w.u32(0);
  const log = decodeLog(new Uint8Array([...encodeHeader(head), ...w.done()]));
  assert.deepEqual([log.state, log.ops.length, log.good], ["damaged", 0, encodeHeader(head).length]);
  // at the limit it may come yet
  const most = new Writer();
  most.u32(limits.BOARD_RECORD_BYTES_MAX);
  most.u32(crc32c(most.bytes, 0, 4));
  most.u32(0);
  assert.equal(decodeLog(new Uint8Array([...encodeHeader(head), ...most.done()])).state, "torn");
});

test("whatever bytes come: decoded or refused, never anything else", () => {
  const rng = chance(2024);
  const seedlings = [1, 2, 3].map((seed) => encodeLog(head, ofA(seed, 25)));
  let good = 0;
  for (let i = 0; i < 6000; i++) {
    let bytes = rng.of(seedlings).slice();
    for (let k = rng.between(1, 5); k > 0; k--) {
      const at = rng.below(bytes.length || 1);
      if (rng.chance(0.2)) bytes = bytes.slice(0, at);
      else if (rng.chance(0.3)) bytes = new Uint8Array([...bytes.slice(0, at), ...Array.from({ length: rng.below(20) }, () => rng.below(256)), ...bytes.slice(at)]);
      else if (bytes.length) bytes[at] = rng.of([0, 1, 127, 128, 255, rng.below(256)]);
    }
    try {
      const log = decodeLog(bytes);
      assert.deepEqual(encodeLog(log, log.ops), bytes.slice(0, log.good));
      good++;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
  }
  assert.ok(good > 500);
  // and bodies without a checksum in their way
  let known = 0;
  for (let i = 0; i < 20000; i++) {
    const body = ops.encodeOp(rng.of(ofA(1 + (i % 7), 20).length ? ofA(1 + (i % 7), 20) : ofA(1)));
    for (let k = rng.between(1, 3); k > 0; k--) body[rng.below(body.length)] = rng.below(256);
    try {
      const op = ops.decodeOp(body, A);
      assert.deepEqual(ops.encodeOp(op), body);
      new Board().apply(op);
      known++;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
    }
  }
  assert.ok(known > 1000);
});

test("each limit: at it, and one above it", () => {
  const base = { writer: A, counter: 1, clock: 1, joined: false };
  const fits = (op) => assert.deepEqual(ops.encodeOp(ops.decodeOp(ops.encodeOp(op), A)), ops.encodeOp(op));
  const not = (op) => assert.throws(() => ops.decodeOp(ops.encodeOp(op), A), Malformed);
  const at = (max, make) => {
    fits({ ...base, ...make(max) });
    not({ ...base, ...make(max + 1) });
  };
  at(limits.BOARD_COUNTER_MAX, (counter) => ({ kind: ops.RECT, ...rect, counter }));
  at(limits.BOARD_POINTS_MAX, (n) => ({ kind: ops.STROKE, colour: 0, width: 1, points: new Int32Array(2 * n), pressures: null }));
  at(limits.BOARD_TEXT_BYTES_MAX, (n) => ({ kind: ops.TEXT, colour: 0, size: 1, x: 0, y: 0, w: 0, h: 0, text: "x".repeat(n) }));
  at(limits.BOARD_TITLE_BYTES_MAX, (n) => ({ kind: ops.TITLE, text: "x".repeat(n) }));
  at(limits.BOARD_COORD_MAX, (x) => ({ kind: ops.RECT, ...rect, x: -x }));
  at(limits.BOARD_WIDTH_MAX, (width) => ({ kind: ops.RECT, ...rect, width }));
  at(limits.BOARD_COLOURS_N - 1, (colour) => ({ kind: ops.RECT, ...rect, colour }));
  at(limits.BOARD_FACTOR_MAX, (a) => ({ kind: ops.TRANSFORM, ...only({ writer: A, counter: 1 }), ...shift, a }));
  at(limits.BOARD_ACTION_MAX, (n) => ({ kind: ops.UNDO, counter: limits.BOARD_COUNTER_MAX, from: 1, n }));
  at(limits.BOARD_SET_RANGES_MAX, (n) => ({ kind: ops.DELETE, targets: new Map([[A, Array.from({ length: n }, (_, i) => [2 * i + 1, 2 * i + 1]).flat()]]) }));
  at(limits.BOARD_SET_WRITERS_MAX, (n) => ({ kind: ops.DELETE, targets: new Map(Array.from({ length: n }, (_, i) => [i.toString(16).padStart(32, "0"), [1, 1]])) }));
  // the largest there can be fit in a record
  const far = Int32Array.from({ length: 2 * limits.BOARD_POINTS_MAX }, (_, i) => (i % 4 < 2 ? 1 : -1) * limits.BOARD_COORD_MAX);
  fits({ ...base, kind: ops.STROKE, colour: 0, width: 1, points: far, pressures: new Uint8Array(limits.BOARD_POINTS_MAX) });
  fits({ ...base, kind: ops.CLEAR, targets: new Map(Array.from({ length: 1024 }, (_, i) => [i.toString(16).padStart(32, "0"), Array.from({ length: 16 }, (__, k) => [60000 * k + 60000, 60000 * k + 60000]).flat()])) });
  assert.throws(() => ops.decodeOp(new Uint8Array(limits.BOARD_RECORD_BYTES_MAX + 1), A), Malformed);
  assert.throws(() => decodeLog(new Uint8Array(limits.BOARD_LOG_BYTES_MAX + 1)), Malformed);
  for (const name of ["", "-a", "a-", "A", "a/b", "a".repeat(65)]) assert.throws(() => decodeLog(encodeHeader({ ...head, board: name })), Malformed, name);
  decodeLog(encodeHeader({ ...head, board: "a".repeat(64), name: "n".repeat(64) }));
  assert.throws(() => decodeLog(encodeHeader({ ...head, name: "n".repeat(65) })), Malformed);
});

test("an operation of a kind that is not known does nothing, is kept, and can be undone", () => {
  const { a } = pair();
  a.make(ops.RECT, rect);
  const strange = { writer: A, counter: 2, clock: 1e15 + 500, kind: 60, joined: false, raw: new Uint8Array([1, 2, 3]) };
  a.board.apply(strange);
  assert.equal(a.board.shown().length, 1);
  assert.deepEqual(decodeLog(encodeLog(head, a.board.ops())).ops[1], strange);
});
