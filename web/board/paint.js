// One element on a canvas.
import { smooth } from "./ink.js";
import { ARROW, ELLIPSE, HIGHLIGHT, IMAGE, LINE, RECT, STICKY, UNIT } from "./ops.js";
import { HIGHLIGHT_OPACITY } from "./palette.js";
import { boxOf, cornerOf, FONT, frameOf, isStroke, lineOf, linesOf, outlineOf, roughBox } from "./shapes.js";

export const fontOf = (size) => `${size}px ${FONT}`;

function pathOf(element, view) {
  if (view.path) return view.path;
  const path = new Path2D();
  const { kind } = element.op;
  if (isStroke(kind)) {
    smooth(outlineOf(element, view), (x, y) => path.moveTo(x, y), (cx, cy, x, y) => path.quadraticCurveTo(cx, cy, x, y));
    path.closePath();
    boxOf(element, view);
    view.outline = undefined; // ten times as large as the path
  } else if (kind === LINE || kind === ARROW) {
    const { x1, y1, x2, y2, head } = lineOf(element, view);
    path.moveTo(x1, y1);
    path.lineTo(x2, y2);
    if (head) {
      path.moveTo(head[0], head[1]);
      path.lineTo(x2, y2);
      path.lineTo(head[2], head[3]);
    }
  } else {
    const frame = frameOf(element, view);
    const { x, y, w, h } = frame;
    if (kind === ELLIPSE) path.ellipse(x + w / 2, y + h / 2, w / 2, h / 2, 0, 0, 2 * Math.PI);
    else path.roundRect(x, y, w, h, kind === RECT ? cornerOf(frame) : kind === STICKY ? 4 : 0);
  }
  view.path = path;
  return path;
}

/** Does ahead of time what painting @element would have to. */
export function prepare(element, view) {
  if (isStroke(element.op.kind)) pathOf(element, view);
}

function paintLetters(ctx, element, view, colours) {
  const { op } = element;
  if (op.kind === STICKY) {
    ctx.fillStyle = colours.soft[view.colour];
    ctx.fill(pathOf(element, view));
  }
  ctx.font = fontOf(op.size / UNIT);
  ctx.textBaseline = "alphabetic";
  ctx.fillStyle = colours.ink[op.kind === STICKY ? 0 : view.colour];
  for (const [x, y, line] of linesOf(element, view)) if (line) ctx.fillText(line, x, y);
}

function paintImage(ctx, element, view, colours, picture) {
  const { x, y, w, h } = frameOf(element, view);
  if (picture) ctx.drawImage(picture, x, y, w, h);
  else {
    ctx.fillStyle = colours.soft[1];
    ctx.fillRect(x, y, w, h);
  }
}

/**
 * Paints @element as @view on @ctx, where (x, y) in units is at (scale x + dx, scale y + dy), paler if alpha is below 1. @pictures(op) gives the bitmap of an
 * image, if it is there.
 */
export function paint(ctx, element, view, { scale, dx, dy, alpha = 1 }, colours, pictures = () => null) {
  const { kind } = element.op;
  const box = roughBox(element, view);
  if (!box) return;
  const small = Math.max(box[2] - box[0], box[3] - box[1]) * scale;
  ctx.globalAlpha = alpha * (kind === HIGHLIGHT ? HIGHLIGHT_OPACITY : 1);
  if (small < 2 && kind !== IMAGE) {
    // too small for a form: what is seen of it from afar
    ctx.setTransform(scale, 0, 0, scale, dx, dy);
    ctx.fillStyle = colours.ink[view.colour ?? 1];
    ctx.fillRect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
    ctx.globalAlpha = 1;
    return;
  }
  const [a, b, c, d, e, f] = view.matrix;
  ctx.setTransform(scale * a, scale * b, scale * c, scale * d, scale * e + dx, scale * f + dy);
  if (isStroke(kind)) {
    ctx.fillStyle = colours.ink[view.colour];
    ctx.fill(pathOf(element, view));
  } else if (kind === IMAGE) paintImage(ctx, element, view, colours, pictures(element.op));
  else if (kind >= LINE && kind <= ELLIPSE) {
    const path = pathOf(element, view);
    if (view.fill && kind >= RECT) {
      ctx.fillStyle = view.fill === 1 ? colours.soft[view.colour] : colours.ink[view.colour];
      ctx.fill(path);
    }
    ctx.strokeStyle = colours.ink[view.colour];
    ctx.lineWidth = view.width / UNIT;
    ctx.lineCap = "round";
    ctx.lineJoin = "round";
    ctx.stroke(path);
  } else paintLetters(ctx, element, view, colours);
  ctx.globalAlpha = 1;
}
