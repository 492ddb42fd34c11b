// A board as an SVG file. apps/whiteboard/svg.c writes the same bytes; a test compares them.
import { ELLIPSE, HIGHLIGHT, IMAGE, LINE, ARROW, RECT, STICKY, UNIT } from "./ops.js";
import { HIGHLIGHT_OPACITY, theme } from "./palette.js";
import { smooth } from "./ink.js";
import { boxOf, cornerOf, frameOf, isIdentity, isStroke, join, lineOf, linesOf, outlineOf } from "./shapes.js";

export const MARGIN = 16;
const FAMILY = "system-ui, sans-serif";

/** @value with up to @digits decimals, always the same. */
export function fixed(value, digits) {
  const scale = 10 ** digits;
  let whole = Math.floor(value * scale + 0.5);
  const sign = whole < 0 ? "-" : "";
  whole = Math.abs(whole);
  const rest = String(whole % scale).padStart(digits, "0").replace(/0+$/, "");
  return `${sign}${Math.floor(whole / scale)}${rest && "."}${rest}`;
}
const n2 = (value) => fixed(value, 2);

const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", "\"": "&quot;" };
const escape = (text) => text.replace(/[&<>"]/g, (c) => ENTITIES[c]);

function strokePath(element, view, colours) {
  let d = "";
  smooth(outlineOf(element, view), (x, y) => { d += `M${n2(x)} ${n2(y)}`; }, (cx, cy, x, y) => { d += `Q${n2(cx)} ${n2(cy)} ${n2(x)} ${n2(y)}`; });
  const opacity = element.op.kind === HIGHLIGHT ? ` fill-opacity="${n2(HIGHLIGHT_OPACITY)}"` : "";
  return `<path d="${d}Z" fill="${colours.ink[view.colour]}"${opacity}`;
}

const pen = (view, colours) => ` stroke="${colours.ink[view.colour]}" stroke-width="${n2(view.width / UNIT)}" stroke-linecap="round" stroke-linejoin="round"`;
const area = (view, colours) => ` fill="${["none", colours.soft[view.colour], colours.ink[view.colour]][view.fill]}"`;

function linePath(element, view, colours) {
  const { x1, y1, x2, y2, head } = lineOf(element, view);
  const tip = head ? `M${n2(head[0])} ${n2(head[1])}L${n2(x2)} ${n2(y2)}L${n2(head[2])} ${n2(head[3])}` : "";
  return `<path d="M${n2(x1)} ${n2(y1)}L${n2(x2)} ${n2(y2)}${tip}" fill="none"${pen(view, colours)}`;
}

function frame(element, view) {
  const { x, y, w, h } = frameOf(element, view);
  return ` x="${n2(x)}" y="${n2(y)}" width="${n2(w)}" height="${n2(h)}"`;
}

function letters(element, view, colours, move) {
  const colour = colours.ink[element.op.kind === STICKY ? 0 : view.colour];
  return linesOf(element, view).filter(([, , line]) => line).map(([x, y, line]) =>
    `<text x="${n2(x)}" y="${n2(y)}" font-family="${FAMILY}" font-size="${n2(element.op.size / UNIT)}" fill="${colour}" xml:space="preserve"${move}>${escape(line)}</text>\n`).join("");
}

function draw(element, view, colours, href) {
  const { op } = element;
  const move = isIdentity(view.matrix) ? "" : ` transform="matrix(${view.matrix.map((entry) => fixed(entry, 6)).join(" ")})"`;
  if (isStroke(op.kind)) return `${strokePath(element, view, colours)}${move}/>\n`;
  if (op.kind === LINE || op.kind === ARROW) return `${linePath(element, view, colours)}${move}/>\n`;
  if (op.kind === RECT) return `<rect${frame(element, view)} rx="${n2(cornerOf(frameOf(element, view)))}"${area(view, colours)}${pen(view, colours)}${move}/>\n`;
  if (op.kind === ELLIPSE) {
    const { x, y, w, h } = frameOf(element, view);
    return `<ellipse cx="${n2(x + w / 2)}" cy="${n2(y + h / 2)}" rx="${n2(w / 2)}" ry="${n2(h / 2)}"${area(view, colours)}${pen(view, colours)}${move}/>\n`;
  }
  if (op.kind === IMAGE) return `<image${frame(element, view)} href="${href(op)}" preserveAspectRatio="none"${move}/>\n`;
  const paper = op.kind === STICKY ? `<rect${frame(element, view)} rx="4" fill="${colours.soft[view.colour]}"${move}/>\n` : "";
  return paper + letters(element, view, colours, move);
}

export const imageName = (op) => `files/${op.hash}.${["png", "jpg", "webp"][op.type]}`;

/** The board, or those of its @elements that are given. @href: says where the file of an image is. */
export function toSvg(board, { elements = board.shown(), dark = false, href = imageName } = {}) {
  const colours = theme(dark);
  let box = null, body = "";
  for (const element of elements) {
    const view = board.view(element);
    const mine = boxOf(element, view);
    if (!mine) continue;
    box = join(box, mine);
    body += draw(element, view, colours, href);
    view.outline = undefined;
  }
  const [x0, y0, x1, y1] = box ?? [0, 0, 0, 0];
  const x = n2(x0 - MARGIN), y = n2(y0 - MARGIN), w = n2(x1 - x0 + 2 * MARGIN), h = n2(y1 - y0 + 2 * MARGIN);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="${x} ${y} ${w} ${h}" width="${w}" height="${h}">\n`
    + `<rect x="${x}" y="${y}" width="${w}" height="${h}" fill="${colours.paper}"/>\n${body}</svg>\n`;
}
