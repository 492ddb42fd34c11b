// Many logs, one board. The state is a set of operations, and everything shown is computed from that set, so that any order
// and any repetition of operations gives the same board: docs/protocols/board.md has the rules, apps/whiteboard/merge.c the
// same in C. What changes is told element by element, so that only that is drawn again.
import { BOARD_MATRIX_MAX } from "./limits.js";
import { CLEAR, compareOps, DELETE, draws, idSet, REDO, RETEXT, smallerOp, STICKY, STYLE, TEXT, TITLE, touches, TRANSFORM, UNDO } from "./ops.js";

const SPAN = 2 ** 21; // keys: the number of the writer, then the counter

/** Where in @list, sorted by compareOps of what @opOf gives, @op belongs; looked for from the end, where it mostly is. */
function place(list, op, opOf) {
  let low = 0, high = list.length;
  if (high && compareOps(opOf(list[high - 1]), op) < 0) return high;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareOps(opOf(list[middle]), op) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
const itself = (op) => op;
const ofElement = (element) => element.op;

export class Board {
  constructor() {
    this.writers = new Map(); // hex -> {number, ops: Map counter -> op, pending: [{from, to, op}], undone: Map counter -> {by, on}}
    this.byNumber = [];
    this.elements = []; // in the order of the board, hidden ones too
    this.byKey = new Map();
    this.titles = [];
    this.clock = 0;
    this.count = 0;
    this.rebuilt = false; // nothing that was held of it is valid any longer
  }

  writer(hex) {
    let writer = this.writers.get(hex);
    if (!writer) {
      writer = { hex, number: this.byNumber.length, ops: new Map(), pending: [], undone: new Map() };
      this.writers.set(hex, writer);
      this.byNumber.push(writer);
    }
    return writer;
  }

  keyOf(hex, counter) {
    return this.writer(hex).number * SPAN + counter;
  }

  element(hex, counter) {
    const writer = this.writers.get(hex);
    return writer && this.byKey.get(writer.number * SPAN + counter);
  }

  /** Takes one operation in. The elements that look different now, as a set (which may be empty). */
  apply(op) {
    const changed = new Set();
    this.take(op, changed);
    return changed;
  }

  applyAll(ops) {
    const changed = new Set();
    for (const op of ops) this.take(op, changed);
    return changed;
  }

  take(op, changed) {
    let writer = this.writer(op.writer);
    const had = writer.ops.get(op.counter);
    if (had) {
      if (had === op || smallerOp(had, op) === had) return;
      this.forget(writer, had, changed);
      writer = this.writer(op.writer);
    }
    writer.ops.set(op.counter, op);
    this.count++;
    if (op.clock > this.clock) this.clock = op.clock;
    if (draws(op.kind)) this.takeElement(writer, op, changed);
    else if (op.kind === RETEXT) this.takeRanges(op, new Map([[op.target, [op.of, op.of]]]), changed);
    else if (touches(op.kind)) this.takeRanges(op, op.targets, changed);
    else if (op.kind === TITLE) this.titles.splice(place(this.titles, op, itself), 0, op);
    else if (op.kind === UNDO || op.kind === REDO) this.takeUndo(writer, op, changed);
  }

  // Two operations had one id, and the other one counts: all over again, without the one that does not.
  forget(writer, had, changed) {
    writer.ops.delete(had.counter);
    const ops = this.ops();
    for (const element of this.elements) changed.add(element);
    Object.assign(this, new Board());
    for (const op of ops) this.take(op, changed);
    this.rebuilt = true;
  }

  takeElement(writer, op, changed) {
    const element = { key: writer.number * SPAN + op.counter, op, touched: [], view: undefined };
    for (const { from, to, op: by } of writer.pending)
      if (op.counter >= from && op.counter <= to) element.touched.splice(place(element.touched, by, itself), 0, by);
    this.elements.splice(place(this.elements, op, ofElement), 0, element);
    this.byKey.set(element.key, element);
    changed.add(element);
  }

  takeRanges(op, targets, changed) {
    for (const [hex, ranges] of targets) {
      const writer = this.writer(hex);
      for (let i = 0; i < ranges.length; i += 2) this.takeRange(op, writer, ranges[i], ranges[i + 1], changed);
    }
  }

  takeRange(op, writer, from, to, changed) {
    const many = to - from >= writer.ops.size;
    let known = 0;
    const touch = (element) => {
      element.touched.splice(place(element.touched, op, itself), 0, op);
      element.view = undefined;
      changed.add(element);
    };
    const look = (counter) => {
      known++;
      const element = this.byKey.get(writer.number * SPAN + counter);
      if (element) touch(element);
    };
    if (many) {
      for (const counter of writer.ops.keys()) if (counter >= from && counter <= to) look(counter);
    } else
      for (let counter = from; counter <= to; counter++) if (writer.ops.has(counter)) look(counter);
    // what is named and has not come yet
    if (known <= to - from) writer.pending.push({ from, to, op });
  }

  // Of all undos and redos of an operation the one with the highest counter counts: they are all of one writer.
  takeUndo(writer, op, changed) {
    for (let counter = op.from; counter < op.from + op.n; counter++) {
      const had = writer.undone.get(counter);
      if (had && had.by > op.counter) continue;
      writer.undone.set(counter, { by: op.counter, on: op.kind === UNDO });
      const target = writer.ops.get(counter);
      if (target) this.stir(writer, target, changed);
    }
  }

  // What @op does has begun or ceased to hold.
  stir(writer, op, changed) {
    const again = (element) => {
      if (!element) return;
      element.view = undefined;
      changed.add(element);
    };
    if (draws(op.kind)) again(this.byKey.get(writer.number * SPAN + op.counter));
    else if (op.kind === RETEXT) again(this.element(op.target, op.of));
    else if (touches(op.kind))
      for (const [hex, ranges] of op.targets) {
        const other = this.writer(hex);
        for (let i = 0; i < ranges.length; i += 2) {
          if (ranges[i + 1] - ranges[i] < other.ops.size)
            for (let counter = ranges[i]; counter <= ranges[i + 1]; counter++) again(this.byKey.get(other.number * SPAN + counter));
          else for (const counter of other.ops.keys()) if (counter >= ranges[i] && counter <= ranges[i + 1]) again(this.byKey.get(other.number * SPAN + counter));
        }
      }
  }

  active(op) {
    return !this.writers.get(op.writer).undone.get(op.counter)?.on;
  }

  /** How @element looks: {matrix, colour, width, fill, text, w, h}, or null where it is not to be seen. */
  view(element) {
    if (element.view === undefined) element.view = this.look(element);
    return element.view;
  }

  look(element) {
    const { op } = element;
    if (!this.active(op)) return null;
    const view = { matrix: [1, 0, 0, 1, 0, 0], colour: op.colour, width: op.width ?? op.size, fill: op.fill, text: op.text, w: op.w, h: op.h };
    for (const by of element.touched) {
      if (!this.active(by)) continue;
      if (by.kind === DELETE || by.kind === CLEAR) return null;
      if (by.kind === TRANSFORM) view.matrix = product(by, view.matrix);
      else if (by.kind === STYLE) {
        if (by.colour !== undefined && op.colour !== undefined) view.colour = by.colour;
        if (by.width !== undefined && op.width !== undefined) view.width = by.width;
        if (by.fill !== undefined && op.fill !== undefined) view.fill = by.fill;
      } else if (by.kind === RETEXT && (op.kind === TEXT || op.kind === STICKY)) {
        view.text = by.text;
        view.w = by.w;
        view.h = by.h;
      }
    }
    for (const entry of view.matrix) if (!(Math.abs(entry) <= BOARD_MATRIX_MAX)) return null;
    return view;
  }

  /** What is to be seen, in the order in which it is drawn. */
  shown() {
    return this.elements.filter((element) => this.view(element));
  }

  title() {
    for (let i = this.titles.length - 1; i >= 0; i--) if (this.active(this.titles[i])) return this.titles[i].text;
    return "";
  }

  /** Every operation there is, in the order of the board. */
  ops() {
    const all = [];
    for (const writer of this.byNumber) all.push(...writer.ops.values());
    return all.sort(compareOps);
  }

  /** The ids of everything that is known: what a clear names. Elements only, and of those the ones to be seen. */
  clearTargets() {
    return idSet(this.shown().map(({ op }) => [op.writer, op.counter]));
  }
}

/** The transformation @by after the matrix @m; factors are 65536ths, shifts sixteenths of a unit. */
export function product(by, m) {
  const a = by.a / 65536, b = by.b / 65536, c = by.c / 65536, d = by.d / 65536;
  return [
    a * m[0] + c * m[1], b * m[0] + d * m[1],
    a * m[2] + c * m[3], b * m[2] + d * m[3],
    a * m[4] + c * m[5] + by.e / 16, b * m[4] + d * m[5] + by.f / 16,
  ];
}

const number = new DataView(new ArrayBuffer(8));
function bits(value) {
  number.setFloat64(0, value);
  return number.getUint32(0).toString(16).padStart(8, "0") + number.getUint32(4).toString(16).padStart(8, "0");
}

/** What is to be seen as text, a line an element, exact to the last bit: by this two boards are compared. */
export function dump(board) {
  const lines = [`title ${JSON.stringify(board.title())}`];
  for (const element of board.shown()) {
    const view = board.view(element);
    const { op } = element;
    lines.push([op.writer, op.counter, op.clock, op.kind, view.colour ?? 0, view.width ?? 0, view.fill ?? 0, view.w ?? 0, view.h ?? 0,
      ...view.matrix.map((entry) => bits(entry + 0)), JSON.stringify(view.text ?? "")].join(" "));
  }
  return `${lines.join("\n")}\n`;
}
