// Which elements are where: a grid over the board, so that a tile or an eraser looks at few of many.
import { compareOps } from "./ops.js";
import { meet } from "./shapes.js";

const CELL = 384;
const CELLS_MAX = 64; // what is larger is looked at always

export class Places {
  constructor() {
    this.cells = new Map();
    this.large = new Set();
    this.held = new Map(); // element -> {box, cells}
  }

  put(element, box) {
    this.remove(element);
    const x0 = Math.floor(box[0] / CELL), y0 = Math.floor(box[1] / CELL), x1 = Math.floor(box[2] / CELL), y1 = Math.floor(box[3] / CELL);
    const entry = { box, cells: null };
    this.held.set(element, entry);
    if ((x1 - x0 + 1) * (y1 - y0 + 1) > CELLS_MAX) {
      this.large.add(element);
      return;
    }
    entry.cells = [];
    for (let y = y0; y <= y1; y++)
      for (let x = x0; x <= x1; x++) {
        const key = x * 67108864 + y;
        let cell = this.cells.get(key);
        if (!cell) this.cells.set(key, (cell = new Set()));
        cell.add(element);
        entry.cells.push(key);
      }
  }

  /** Takes @element out; where it was, or undefined. */
  remove(element) {
    const entry = this.held.get(element);
    if (!entry) return undefined;
    this.held.delete(element);
    this.large.delete(element);
    for (const key of entry.cells ?? []) {
      const cell = this.cells.get(key);
      cell.delete(element);
      if (!cell.size) this.cells.delete(key);
    }
    return entry.box;
  }

  boxOf(element) {
    return this.held.get(element)?.box;
  }

  /** Those that may be seen within @box, in the order in which they are drawn. */
  within(box) {
    const x0 = Math.floor(box[0] / CELL), y0 = Math.floor(box[1] / CELL), x1 = Math.floor(box[2] / CELL), y1 = Math.floor(box[3] / CELL);
    const found = new Set();
    const look = (element) => meet(this.held.get(element).box, box) && found.add(element);
    this.large.forEach(look);
    if ((x1 - x0 + 1) * (y1 - y0 + 1) > this.cells.size) {
      for (const element of this.held.keys()) look(element);
    } else
      for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) this.cells.get(x * 67108864 + y)?.forEach(look);
    return [...found].sort((a, b) => compareOps(a.op, b.op));
  }

  /** Around everything, or null. */
  bounds() {
    let all = null;
    for (const { box } of this.held.values()) {
      all ??= [Infinity, Infinity, -Infinity, -Infinity];
      all[0] = Math.min(all[0], box[0]);
      all[1] = Math.min(all[1], box[1]);
      all[2] = Math.max(all[2], box[2]);
      all[3] = Math.max(all[3], box[3]);
    }
    return all;
  }
}
