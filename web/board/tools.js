// What the pointer does, tool by tool. Each has down(p), move(p), up(p), cancel() and paint(ctx), which says whether there was something
// to paint; p is {x, y} in units, {sx, sy} on the screen, pressure or null, shift, alt. Tools make operations by the whiteboard; nothing here knows of pages or nodes.
import { BOARD_COORD_MAX, BOARD_POINTS_MAX } from "./limits.js";
import { ARROW, DELETE, ELLIPSE, HIGHLIGHT, idSet, LINE, RECT, STROKE, TRANSFORM, UNIT } from "./ops.js";
import { paint } from "./paint.js";
import { boxOf, hits, isLetters, join, meet } from "./shapes.js";

export const whole = (value) => Math.max(-BOARD_COORD_MAX, Math.min(BOARD_COORD_MAX, Math.round(value * UNIT)));
export const targetsOf = (elements) => ({ targets: idSet([...elements].map(({ op }) => [op.writer, op.counter])) });
export const NO_MOVE = [1, 0, 0, 1, 0, 0];

/** @op as if it were an element already. */
export const viewOf = (op) => ({ matrix: NO_MOVE, colour: op.colour, width: op.width ?? op.size, fill: op.fill, text: op.text, w: op.w, h: op.h });

class Pen {
  constructor(wb, kind) {
    this.wb = wb;
    this.kind = kind;
    this.cursor = "crosshair";
  }
  down(p) {
    this.points = [];
    this.pressures = p.pressure === null ? null : [];
    this.joined = false;
    this.draft = this.wb.session.draft();
    this.add(p);
  }
  move(p) {
    this.add(p);
    // longer than one operation can be: it goes on as the next one
    if (this.points.length >= 2 * BOARD_POINTS_MAX) {
      const [x, y] = this.points.slice(-2), pressure = this.pressures?.at(-1);
      this.finish();
      this.points = [x, y];
      this.pressures &&= [pressure];
      this.joined = true;
      this.draft = this.wb.session.draft();
    }
  }
  add(p) {
    const x = whole(p.x), y = whole(p.y), n = this.points.length;
    if (n && this.points[n - 2] === x && this.points[n - 1] === y) {
      if (this.pressures && n > 2) this.pressures[n / 2 - 1] = Math.max(this.pressures[n / 2 - 1], Math.round(p.pressure * 255));
      return;
    }
    this.points.push(x, y);
    this.pressures?.push(Math.round(p.pressure * 255));
  }
  op() {
    const { style } = this.wb;
    return {
      kind: this.kind, colour: style.colourFor(this.wb.tool), width: style.widthFor(this.kind),
      points: Int32Array.from(this.points), pressures: this.pressures ? Uint8Array.from(this.pressures) : null,
    };
  }
  tell() {
    if (this.points) this.draft.update(this.op());
  }
  finish() {
    const { kind, ...fields } = this.op();
    this.tell();
    const op = this.wb.commit(kind, fields, this.joined);
    if (op) this.draft.done(op);
    else this.draft.drop();
  }
  up() {
    this.finish();
    this.points = null;
  }
  cancel() {
    this.draft.drop();
    this.points = null;
  }
  paint(ctx, frame) {
    if (!this.points) return false;
    const op = this.op();
    paint(ctx, { op }, viewOf(op), frame, this.wb.stage.colours);
    return true;
  }
}

class Shape {
  constructor(wb, kind) {
    this.wb = wb;
    this.kind = kind;
    this.cursor = "crosshair";
  }
  down(p) {
    this.from = this.to = p;
    this.draft = this.wb.session.draft();
  }
  move(p) {
    this.to = p;
  }
  op() {
    const { style } = this.wb;
    let { x, y } = this.from, w = this.to.x - x, h = this.to.y - y;
    if (this.to.shift && (this.kind === LINE || this.kind === ARROW)) {
      const turn = Math.round(Math.atan2(h, w) / (Math.PI / 12)) * (Math.PI / 12), length = Math.hypot(w, h);
      [w, h] = [Math.cos(turn) * length, Math.sin(turn) * length];
    } else if (this.to.shift) {
      const side = Math.max(Math.abs(w), Math.abs(h));
      [w, h] = [Math.sign(w || 1) * side, Math.sign(h || 1) * side];
    }
    if (this.to.alt) [x, y, w, h] = [x - w, y - h, 2 * w, 2 * h];
    return { kind: this.kind, colour: style.colour, width: style.widthFor(this.kind), fill: this.kind === RECT || this.kind === ELLIPSE ? style.fill : 0, x: whole(x), y: whole(y), w: whole(w), h: whole(h) };
  }
  get worth() {
    return this.from && Math.hypot(this.to.sx - this.from.sx, this.to.sy - this.from.sy) > 4;
  }
  tell() {
    if (this.worth) this.draft.update(this.op());
  }
  up() {
    if (this.worth) {
      const { kind, ...fields } = this.op();
      this.tell();
      const op = this.wb.commit(kind, fields);
      if (op) this.draft.done(op);
      else this.draft.drop();
    }
    this.from = null;
  }
  cancel() {
    this.draft.drop();
    this.from = null;
  }
  paint(ctx, frame) {
    if (!this.worth) return false;
    const op = this.op();
    paint(ctx, { op }, viewOf(op), frame, this.wb.stage.colours);
    return true;
  }
}

class Eraser {
  constructor(wb) {
    this.wb = wb;
    this.cursor = "wb-eraser";
    this.found = null;
  }
  down(p) {
    this.found = new Set();
    this.last = p;
    this.look(p);
  }
  move(p) {
    if (!this.found) return;
    // every few pixels of the way, or a fast one would jump over thin strokes
    const steps = Math.max(1, Math.ceil(Math.hypot(p.sx - this.last.sx, p.sy - this.last.sy) / 5));
    for (let i = 1; i <= steps; i++) this.look({ x: this.last.x + ((p.x - this.last.x) * i) / steps, y: this.last.y + ((p.y - this.last.y) * i) / steps });
    this.last = p;
  }
  look({ x, y }) {
    const { stage, board } = this.wb;
    const near = 7 / stage.camera.zoom;
    const before = this.found.size;
    for (const element of stage.places.within([x - near, y - near, x + near, y + near]))
      if (!this.found.has(element) && hits(element, board.view(element), x, y, near)) this.found.add(element);
    if (this.found.size > before) stage.lift(this.found);
  }
  up() {
    const found = [...this.found].filter((element) => this.wb.board.view(element));
    this.found = null;
    this.wb.stage.lift(null);
    if (found.length) this.wb.commit(DELETE, targetsOf(found));
  }
  cancel() {
    this.found = null;
    this.wb.stage.lift(null);
  }
  paint(ctx, frame) {
    for (const element of this.found ?? []) {
      const view = this.wb.board.view(element);
      if (!view) continue;
      paint(ctx, element, view, { ...frame, alpha: 0.25 }, this.wb.stage.colours, this.wb.pictures);
    }
    return Boolean(this.found?.size);
  }
}

const HANDLE_PX = 9;
const CORNERS = [[0, 0], [1, 0], [1, 1], [0, 1]];

class Select {
  constructor(wb) {
    this.wb = wb;
    this.cursor = "default";
  }
  /** Which corner of the selection is under the pointer, or -1. */
  cornerAt(p) {
    const box = this.wb.selectionBox();
    if (!box) return -1;
    const { camera } = this.wb.stage;
    return CORNERS.findIndex(([i, k]) => {
      const [sx, sy] = camera.toScreen(box[2 * i], box[2 * k + 1]);
      return Math.abs(sx - p.sx) <= HANDLE_PX && Math.abs(sy - p.sy) <= HANDLE_PX;
    });
  }
  elementAt(p) {
    const { stage, board } = this.wb;
    const near = 6 / stage.camera.zoom;
    return stage.places.within([p.x - near, p.y - near, p.x + near, p.y + near]).findLast((element) => hits(element, board.view(element), p.x, p.y, near));
  }
  hover(p) {
    const corner = this.cornerAt(p);
    return corner >= 0 ? (corner % 2 ? "nesw-resize" : "nwse-resize") : this.within(p) || this.elementAt(p) ? "move" : "default";
  }
  within(p) {
    const box = this.wb.selectionBox();
    return box && p.x >= box[0] && p.x <= box[2] && p.y >= box[1] && p.y <= box[3];
  }
  down(p) {
    const { selection } = this.wb;
    this.from = this.to = p;
    this.moved = false;
    this.corner = this.cornerAt(p);
    if (this.corner >= 0) this.mode = "size";
    else {
      const element = this.elementAt(p);
      if (element && p.shift) this.wb.select(selection.has(element) ? [...selection].filter((one) => one !== element) : [...selection, element]);
      else if (element && !selection.has(element)) this.wb.select([element]);
      this.mode = element || (!p.shift && this.within(p)) ? "drag" : "frame";
      if (this.mode === "frame" && !p.shift) this.wb.select([]);
      this.before = [...selection];
    }
    if (this.mode !== "frame") this.box = this.wb.selectionBox();
  }
  move(p) {
    this.to = p;
    if (!this.moved && Math.hypot(p.sx - this.from.sx, p.sy - this.from.sy) < 4) return;
    if (!this.moved && this.mode !== "frame") this.wb.stage.lift(this.wb.selection);
    this.moved = true;
    if (this.mode === "frame") this.frameSelect();
  }
  frameSelect() {
    const { stage, board } = this.wb;
    const box = this.frameBox();
    const inside = stage.places.within(box).filter((element) => {
      const mine = boxOf(element, board.view(element));
      return mine && meet(mine, box) && mine[0] >= box[0] && mine[1] >= box[1] && mine[2] <= box[2] && mine[3] <= box[3];
    });
    this.wb.select([...new Set([...(this.to.shift ? this.before : []), ...inside])]);
  }
  frameBox() {
    return [Math.min(this.from.x, this.to.x), Math.min(this.from.y, this.to.y), Math.max(this.from.x, this.to.x), Math.max(this.from.y, this.to.y)];
  }
  /** What is done to the selection so far, as the fields of an operation. */
  fields() {
    if (this.mode === "drag") {
      let dx = this.to.x - this.from.x, dy = this.to.y - this.from.y;
      if (this.to.shift) [dx, dy] = Math.abs(dx) > Math.abs(dy) ? [dx, 0] : [0, dy];
      return { a: 65536, b: 0, c: 0, d: 65536, e: whole(dx), f: whole(dy) };
    }
    const [i, k] = CORNERS[this.corner], box = this.box;
    const ax = box[2 * (1 - i)], ay = box[2 * (1 - k) + 1], w = box[2 * i] - ax, h = box[2 * k + 1] - ay;
    let sx = w ? (w + this.to.x - this.from.x) / w : 1, sy = h ? (h + this.to.y - this.from.y) / h : 1;
    const free = ![...this.wb.selection].some(({ op }) => isLetters(op.kind) || op.kind === 9) && !this.to.shift;
    if (!free) sx = sy = Math.abs(sx - 1) > Math.abs(sy - 1) ? sx : sy;
    const a = Math.round(Math.max(0.02, Math.min(50, sx)) * 65536), d = Math.round(Math.max(0.02, Math.min(50, sy)) * 65536);
    return { a, b: 0, c: 0, d, e: whole(ax * (1 - a / 65536)), f: whole(ay * (1 - d / 65536)) };
  }
  get under() {
    return this.moved && this.mode !== "frame" && this.from ? this.fields() : null;
  }
  // What of the selection was in sight when it began to move, as one bitmap.
  paintMany(ctx, frame, fields) {
    const { stage, board, selection } = this.wb;
    if (!this.bitmap) {
      const canvas = new OffscreenCanvas(stage.live.width, stage.live.height);
      const own = canvas.getContext("2d");
      for (const element of stage.places.within(stage.camera.box()))
        if (selection.has(element)) paint(own, element, board.view(element), frame, stage.colours, this.wb.pictures);
      this.bitmap = { canvas, ...frame };
    }
    const { canvas, scale, dx, dy } = this.bitmap;
    // (x, y) of the board was at (scale x + dx, scale y + dy) of the bitmap
    const a = fields.a / 65536, d = fields.d / 65536, k = frame.scale / scale;
    ctx.setTransform(k * a, 0, 0, k * d, frame.dx + frame.scale * (fields.e / 16) - k * a * dx, frame.dy + frame.scale * (fields.f / 16) - k * d * dy);
    ctx.drawImage(canvas, 0, 0);
  }
  up() {
    const fields = this.under;
    this.from = this.bitmap = null;
    if (!fields) {
      if (this.mode === "drag" && !this.to.shift && this.before.length > 1) {
        const element = this.elementAt(this.to);
        if (element) this.wb.select([element]);
      }
      return;
    }
    this.wb.stage.lift(null);
    if (fields.e || fields.f || fields.a !== 65536 || fields.d !== 65536) this.wb.commit(TRANSFORM, { ...targetsOf(this.wb.selection), ...fields });
  }
  cancel() {
    this.from = this.bitmap = null;
    this.wb.stage.lift(null);
  }
  paint(ctx, frame) {
    const { stage, board, selection } = this.wb;
    const fields = this.under;
    if (fields && selection.size > MANY) this.paintMany(ctx, frame, fields);
    else if (fields)
      for (const element of selection) {
        const view = board.view(element);
        if (!view) continue;
        const { matrix: m, ...rest } = view;
        const a = fields.a / 65536, d = fields.d / 65536;
        const moved = { ...rest, rough: undefined, box: undefined, matrix: [a * m[0], d * m[1], a * m[2], d * m[3], a * m[4] + fields.e / 16, d * m[5] + fields.f / 16] };
        paint(ctx, element, moved, frame, stage.colours, this.wb.pictures);
        view.path ??= moved.path; // its form is the same
      }
    const accent = this.wb.accent;
    const framing = Boolean(this.from) && this.mode === "frame" && this.moved;
    if (framing) {
      const box = this.frameBox();
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.fillStyle = accent;
      ctx.globalAlpha = 0.08;
      const rect = [box[0] * frame.scale + frame.dx, box[1] * frame.scale + frame.dy, (box[2] - box[0]) * frame.scale, (box[3] - box[1]) * frame.scale];
      ctx.fillRect(...rect);
      ctx.globalAlpha = 1;
      ctx.lineWidth = stage.camera.ratio;
      ctx.strokeStyle = accent;
      ctx.strokeRect(...rect);
    }
    return this.wb.paintSelection(ctx, frame, fields) || framing;
  }
}

// Of how many a moving selection is a bitmap, made when it begins to move.
const MANY = 300;

export const LASER_MS = 1300;

class Laser {
  constructor(wb) {
    this.wb = wb;
    this.cursor = "crosshair";
    this.trail = [];
    this.untold = [];
  }
  down(p) {
    this.drawing = true;
    this.add(p);
  }
  move(p) {
    if (this.drawing) this.add(p);
  }
  add(p) {
    this.trail.push({ x: p.x, y: p.y, at: performance.now() });
    this.untold.push(whole(p.x), whole(p.y));
  }
  tell() {
    while (this.untold.length) this.wb.session.laser(this.untold.splice(0, 400));
  }
  up() {
    this.drawing = false;
    this.tell();
  }
  cancel() {
    this.up();
  }
  paint() {
    return false;
  }
}

class Hand {
  constructor() {
    this.cursor = "grab";
  }
  down() {}
  move() {}
  up() {}
  cancel() {}
  paint() {
    return false;
  }
}

/** A click with it writes: text where there was none, or a note. */
class Letters {
  constructor(wb, kind) {
    this.wb = wb;
    this.kind = kind;
    this.cursor = kind === "text" ? "text" : "copy";
  }
  down() {}
  move() {}
  up(p) {
    this.wb.write(this.kind, p);
  }
  cancel() {}
  paint() {
    return false;
  }
}

export function makeTools(wb) {
  return {
    select: new Select(wb), hand: new Hand(), pen: new Pen(wb, STROKE), highlight: new Pen(wb, HIGHLIGHT), eraser: new Eraser(wb),
    line: new Shape(wb, LINE), arrow: new Shape(wb, ARROW), rect: new Shape(wb, RECT), ellipse: new Shape(wb, ELLIPSE),
    text: new Letters(wb, "text"), sticky: new Letters(wb, "sticky"), laser: new Laser(wb),
  };
}

export function selectionBoxOf(board, selection) {
  let box = null;
  for (const element of selection) {
    const view = board.view(element);
    const mine = view && boxOf(element, view);
    if (mine) box = join(box, mine);
  }
  return box;
}
