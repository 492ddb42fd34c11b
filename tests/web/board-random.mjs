// Boards that are made up: from a seed, writers who draw, move, delete, clear, undo and redo what they know of.
import { Author } from "../../web/board/author.js";
import { Board } from "../../web/board/merge.js";
import * as ops from "../../web/board/ops.js";

/** Seeded chance: below(n), of(list), chance(p). */
export function chance(seed) {
  let state = (seed * 2654435761 + 1) >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return { next, below, of: (list) => list[below(list.length)], chance: (p) => next() < p, between: (a, b) => a + below(b - a + 1) };
}

export function shuffled(list, rng) {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const k = rng.below(i + 1);
    [out[i], out[k]] = [out[k], out[i]];
  }
  return out;
}

export const writerHex = (n) => `${"0".repeat(24)}${(n * 0x9e3779b1 >>> 0).toString(16).padStart(8, "0")}`;

const WORDS = ["hello", "two\nlines", "ünï <code> & \"quotes\"", "日本", "", "🙂 ok", "back\\slash", "soft \u2028break", "\u2028"];

function stroke(rng, kind) {
  const n = rng.chance(0.1) ? 1 : rng.between(2, 60);
  const points = new Int32Array(2 * n);
  let x = rng.between(-20000, 20000), y = rng.between(-20000, 20000), vx = rng.between(-90, 90), vy = rng.between(-90, 90);
  for (let i = 0; i < n; i++) {
    points[2 * i] = x;
    points[2 * i + 1] = y;
    if (rng.chance(0.05)) vx = -vx;
    vx += rng.between(-20, 20);
    vy += rng.between(-20, 20);
    x += vx;
    y += vy;
  }
  const pressures = kind === ops.STROKE && rng.chance(0.5) ? Uint8Array.from({ length: n }, () => rng.below(256)) : null;
  return { colour: rng.below(12), width: rng.between(16, 320), points, pressures };
}

/** Fields of a random drawing of @kind. */
export function drawing(rng, kind) {
  const at = { x: rng.between(-20000, 20000), y: rng.between(-20000, 20000) };
  if (kind === ops.STROKE || kind === ops.HIGHLIGHT) return stroke(rng, kind);
  if (kind <= ops.ELLIPSE) return { colour: rng.below(12), width: rng.between(16, 320), fill: rng.below(3), ...at, w: rng.between(-5000, 5000), h: rng.between(-5000, 5000) };
  if (kind === ops.IMAGE) return { ...at, w: rng.between(16, 5000), h: rng.between(16, 5000), type: rng.below(3), hash: Array.from({ length: 64 }, () => rng.below(16).toString(16)).join("") };
  return { colour: rng.below(12), size: rng.between(160, 800), ...at, w: rng.between(0, 5000), h: rng.between(0, 2000), text: rng.of(WORDS) };
}

function someTargets(board, rng) {
  const known = board.elements;
  const ids = Array.from({ length: rng.between(1, 4) }, () => rng.of(known).op).map((op) => [op.writer, op.counter]);
  return ops.idSet(ids);
}

function act(author, rng) {
  const { board } = author;
  const dice = rng.below(100);
  const draw = (joined) => {
    const kind = rng.between(ops.STROKE, ops.IMAGE);
    return author.make(kind, drawing(rng, kind), joined);
  };
  if (!board.elements.length || dice < 45) return draw(rng.chance(0.1));
  if (dice < 55) return author.make(ops.TRANSFORM, { targets: someTargets(board, rng), ...rng.of([
    { a: 65536, b: 0, c: 0, d: 65536 }, { a: rng.between(20000, 130000), b: 0, c: 0, d: rng.between(20000, 130000) }, { a: 40000, b: rng.between(-50000, 50000), c: 30000, d: 60000 },
  ]), e: rng.between(-900, 900), f: rng.between(-900, 900) });
  if (dice < 61) return author.make(ops.DELETE, { targets: someTargets(board, rng) });
  if (dice < 63) return author.make(ops.CLEAR, { targets: board.clearTargets() });
  if (dice < 70) {
    const style = rng.of([{ colour: rng.below(12) }, { width: rng.between(16, 160) }, { colour: rng.below(12), fill: rng.below(3) }]);
    return author.make(ops.STYLE, { targets: someTargets(board, rng), ...style });
  }
  if (dice < 74) {
    const of = rng.of(board.elements).op;
    return author.make(ops.RETEXT, { target: of.writer, of: of.counter, w: rng.between(0, 900), h: rng.between(0, 900), text: rng.of(WORDS) });
  }
  if (dice < 76) return author.make(ops.TITLE, { text: rng.of(["Plan", "Ünï", "a \"title\""]) });
  return (dice < 90 ? author.undo() : author.redo()) ?? draw(false);
}

/**
 * @writers authors with boards of their own make @n operations; each hears of the others' with chance, so that many are made without
 * knowing of each other. Clocks go apart, and many are equal. All operations, in the order in which they were made.
 */
export function history(seed, { writers = 3, n = 120 } = {}) {
  const rng = chance(seed);
  let time = 1.7e15;
  const authors = Array.from({ length: writers }, (_, i) => new Author(new Board(), writerHex(i + 1), { now: () => time + (i % 2) * 40 }));
  const unheard = authors.map(() => []);
  const all = [];
  for (let i = 0; i < n; i++) {
    time += rng.chance(0.4) ? 0 : rng.below(60);
    const who = rng.below(writers);
    if (rng.chance(0.5)) for (const op of shuffled(unheard[who].splice(0), rng)) authors[who].board.apply(op);
    const { op } = act(authors[who], rng);
    all.push(op);
    unheard.forEach((list, k) => k !== who && list.push(op));
  }
  return all;
}
