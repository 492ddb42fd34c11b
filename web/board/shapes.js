// Where elements are, in numbers that come out the same in the page and in C (apps/whiteboard/shape.c): boxes, heads of arrows, lines of text.
import { outline } from "./ink.js";
import { ARROW, ELLIPSE, HIGHLIGHT, IMAGE, LINE, RECT, STICKY, STROKE, TEXT, UNIT } from "./ops.js";

/** Corners beyond this are nowhere: what is so far away is not drawn. */
export const FAR = 1e9;
export const LINE_HEIGHT = 1.25;
export const STICKY_PADDING = 14;
export const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

export const isStroke = (kind) => kind === STROKE || kind === HIGHLIGHT;
export const isLetters = (kind) => kind === TEXT || kind === STICKY;

/** The outline of an element that is a stroke; held with its view, for as long as that holds. */
export function outlineOf({ op }, view) {
  return (view.outline ??= outline(op, view.width));
}

/** x, y, w, h in units, w and h not negative. */
export function frameOf({ op }, view) {
  let x = op.x / UNIT, y = op.y / UNIT, w = view.w / UNIT, h = view.h / UNIT;
  if (w < 0) [x, w] = [x + w, -w];
  if (h < 0) [y, h] = [y + h, -h];
  return { x, y, w, h };
}

/** From and to of a line, and for an arrow the two ends of its head's strokes. */
export function lineOf({ op }, view) {
  const x1 = op.x / UNIT, y1 = op.y / UNIT, x2 = (op.x + op.w) / UNIT, y2 = (op.y + op.h) / UNIT;
  const dx = x2 - x1, dy = y2 - y1;
  const length = Math.sqrt(dx * dx + dy * dy);
  const line = { x1, y1, x2, y2, head: null };
  if (op.kind === ARROW && length > 0) {
    const size = Math.min(length / 2, 8 + 3 * (view.width / UNIT));
    const ux = (dx / length) * size, uy = (dy / length) * size;
    line.head = [x2 - 0.9 * ux + 0.43589 * uy, y2 - 0.9 * uy - 0.43589 * ux, x2 - 0.9 * ux - 0.43589 * uy, y2 - 0.9 * uy + 0.43589 * ux];
  }
  return line;
}

export function cornerOf({ w, h }) {
  return Math.min(8, w / 4, h / 4);
}

/** [x0, y0, x1, y1] before its matrix. */
export function localBox(element, view) {
  const { kind } = element.op;
  if (isStroke(kind)) {
    let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
    for (const [x, y] of outlineOf(element, view)) {
      if (x < x0) x0 = x;
      if (y < y0) y0 = y;
      if (x > x1) x1 = x;
      if (y > y1) y1 = y;
    }
    return [x0, y0, x1, y1];
  }
  if (kind === LINE || kind === ARROW) {
    const { x1, y1, x2, y2, head } = lineOf(element, view);
    const around = view.width / UNIT / 2;
    const xs = head ? [x1, x2, head[0], head[2]] : [x1, x2], ys = head ? [y1, y2, head[1], head[3]] : [y1, y2];
    return [Math.min(...xs) - around, Math.min(...ys) - around, Math.max(...xs) + around, Math.max(...ys) + around];
  }
  const { x, y, w, h } = frameOf(element, view);
  const around = kind === RECT || kind === ELLIPSE ? view.width / UNIT / 2 : 0;
  return [x - around, y - around, x + w + around, y + h + around];
}

export function transformBox([x0, y0, x1, y1], [a, b, c, d, e, f]) {
  const xs = [a * x0 + c * y0 + e, a * x1 + c * y0 + e, a * x0 + c * y1 + e, a * x1 + c * y1 + e];
  const ys = [b * x0 + d * y0 + f, b * x1 + d * y0 + f, b * x0 + d * y1 + f, b * x1 + d * y1 + f];
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

/** Where @element is seen, or null if it is too far away. */
export function boxOf(element, view) {
  if (view.box === undefined) {
    const box = transformBox(localBox(element, view), view.matrix);
    view.box = box.every((edge) => Math.abs(edge) <= FAR) ? box : null;
  }
  return view.box;
}

export const meet = (a, b) => a[0] <= b[2] && b[0] <= a[2] && a[1] <= b[3] && b[1] <= a[3];
export const join = (a, b) => (a ? [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.max(a[2], b[2]), Math.max(a[3], b[3])] : b);

export const isIdentity = ([a, b, c, d, e, f]) => a === 1 && b === 0 && c === 0 && d === 1 && e === 0 && f === 0;

/** Baselines of the lines of a text: [[x, y, line], ...] in units. U+2028 ends a line where the page that wrote it broke it. */
export function linesOf(element, view) {
  const { op } = element;
  const size = op.size / UNIT, inset = op.kind === STICKY ? STICKY_PADDING : 0;
  const x = op.x / UNIT + inset, y = op.y / UNIT + inset;
  return view.text.split(/[\n\u2028]/).map((line, i) => [x, y + size + i * size * LINE_HEIGHT, line]);
}

/** Whether the point is on @element, give or take @near units (of the board). */
export function hits(element, view, px, py, near) {
  const box = boxOf(element, view);
  if (!box || px < box[0] - near || px > box[2] + near || py < box[1] - near || py > box[3] + near) return false;
  const [a, b, c, d, e, f] = view.matrix;
  const det = a * d - b * c;
  if (Math.abs(det) < 1e-9) return true; // flat: its box is all there is
  const qx = px - e, qy = py - f;
  const x = (d * qx - c * qy) / det, y = (a * qy - b * qx) / det;
  const reach = near / Math.sqrt(Math.abs(det));
  const { kind } = element.op;
  const around = view.width / UNIT / 2 + reach;
  if (isStroke(kind)) {
    const { points } = element.op;
    const wide = (kind === STROKE ? 1.45 : 1) * (view.width / UNIT / 2) + reach;
    if (points.length === 2) return (x - points[0] / UNIT) ** 2 + (y - points[1] / UNIT) ** 2 <= wide * wide;
    for (let i = 2; i < points.length; i += 2)
      if (fromLine(x, y, points[i - 2] / UNIT, points[i - 1] / UNIT, points[i] / UNIT, points[i + 1] / UNIT) <= wide) return true;
    return false;
  }
  if (kind === LINE || kind === ARROW) {
    const { x1, y1, x2, y2 } = lineOf(element, view);
    return fromLine(x, y, x1, y1, x2, y2) <= around;
  }
  const frame = frameOf(element, view);
  if (kind === ELLIPSE) {
    const rx = frame.w / 2, ry = frame.h / 2, ux = x - frame.x - rx, uy = y - frame.y - ry;
    const outer = (ux / (rx + around)) ** 2 + (uy / (ry + around)) ** 2;
    if (outer > 1 || view.fill) return outer <= 1;
    return rx <= around || ry <= around || (ux / (rx - around)) ** 2 + (uy / (ry - around)) ** 2 >= 1;
  }
  if (kind === RECT && !view.fill) {
    const inside = x > frame.x + around && x < frame.x + frame.w - around && y > frame.y + around && y < frame.y + frame.h - around;
    return !inside;
  }
  return kind === IMAGE || kind === RECT || isLetters(kind);
}

export function fromLine(x, y, x1, y1, x2, y2) {
  const dx = x2 - x1, dy = y2 - y1, square = dx * dx + dy * dy;
  const t = square ? Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / square)) : 0;
  return Math.hypot(x - x1 - t * dx, y - y1 - t * dy);
}

/** About where @element is seen, never less: without the work of an outline. Null if it is too far away. */
export function roughBox(element, view) {
  if (view.rough === undefined) {
    let box;
    if (isStroke(element.op.kind)) {
      const { points } = element.op;
      let x0 = Infinity, y0 = Infinity, x1 = -Infinity, y1 = -Infinity;
      for (let i = 0; i < points.length; i += 2) {
        x0 = Math.min(x0, points[i]);
        x1 = Math.max(x1, points[i]);
        y0 = Math.min(y0, points[i + 1]);
        y1 = Math.max(y1, points[i + 1]);
      }
      const around = (view.width / UNIT) * 1.1 + 1.5; // size times 1.45, its radius at most 0.75 of it
      box = transformBox([x0 / UNIT - around, y0 / UNIT - around, x1 / UNIT + around, y1 / UNIT + around], view.matrix);
    } else box = boxOf(element, view);
    view.rough = box && box.every((edge) => Math.abs(edge) <= FAR) ? box : null;
  }
  return view.rough;
}
