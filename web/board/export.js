// A board as a file.
import { IMAGE, IMAGE_TYPES } from "./ops.js";
import { paint } from "./paint.js";
import { theme } from "./palette.js";
import { boxOf, join } from "./shapes.js";
import { imageName, MARGIN, toSvg } from "./svg.js";

const PIXELS_MAX = 40e6, SIDE_MAX = 16000;

async function dataUrl(blob) {
  const reader = new FileReader();
  return new Promise((resolve, reject) => {
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** {elements} as SVG, with its images inside. */
export async function svgFile(board, elements, { dark = false, getImage }) {
  const hrefs = new Map();
  for (const { op } of elements)
    if (op.kind === IMAGE && !hrefs.has(op.hash)) {
      const blob = await getImage(op.hash).catch(() => null);
      hrefs.set(op.hash, blob ? await dataUrl(new Blob([blob], { type: IMAGE_TYPES[op.type] })) : imageName(op));
    }
  return new Blob([toSvg(board, { elements, dark, href: (op) => hrefs.get(op.hash) })], { type: "image/svg+xml" });
}

/** {elements} as a canvas, @scale pixels a unit; smaller if it would be too large. */
export async function canvasOf(board, elements, { dark = false, scale = 2, getImage }) {
  const bitmaps = new Map();
  for (const { op } of elements)
    if (op.kind === IMAGE && !bitmaps.has(op.hash)) bitmaps.set(op.hash, await getImage(op.hash).then(createImageBitmap).catch(() => null));
  let box = null;
  const drawn = elements.filter((element) => {
    const mine = boxOf(element, board.view(element));
    if (mine) box = join(box, mine);
    return mine;
  });
  const [x0, y0, x1, y1] = box ?? [0, 0, 0, 0];
  const w = x1 - x0 + 2 * MARGIN, h = y1 - y0 + 2 * MARGIN;
  const fits = Math.min(scale, SIDE_MAX / Math.max(w, h), Math.sqrt(PIXELS_MAX / (w * h)));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(w * fits));
  canvas.height = Math.max(1, Math.round(h * fits));
  const ctx = canvas.getContext("2d", { alpha: false });
  ctx.fillStyle = theme(dark).paper;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  for (const element of drawn)
    paint(ctx, element, board.view(element), { scale: fits, dx: (MARGIN - x0) * fits, dy: (MARGIN - y0) * fits }, theme(dark), (op) => bitmaps.get(op.hash));
  return canvas;
}

export async function pngFile(board, elements, options) {
  const canvas = await canvasOf(board, elements, options);
  return new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the picture is too large"))), "image/png"));
}

/** Lets the browser save @blob as @name. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
