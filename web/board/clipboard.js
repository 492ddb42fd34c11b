// Copy, paste and duplicate: elements as operations in a text of the clipboard, images as files, any other text as text.
import { BOARD_ACTION_MAX, BOARD_IMAGE_BYTES_MAX } from "./limits.js";
import { hex, Malformed, unhex } from "./bytes.js";
import { decodeOp, encodeOp, idSet, IMAGE, IMAGE_TYPES, TEXT, TRANSFORM, UNIT } from "./ops.js";
import { isIdentity, isStroke } from "./shapes.js";
import { whole } from "./tools.js";
import { cleaned, measured } from "./writing.js";

const MARK = "kith-board/1";
const IMAGE_UNITS_MAX = 640;

/** Elements as they look: [{kind, fields, matrix}]. */
function taken(wb) {
  return wb.board.shown().filter((element) => wb.selection.has(element)).slice(0, BOARD_ACTION_MAX / 2).map((element) => {
    const view = wb.board.view(element);
    const { kind, writer, counter, clock, joined, raw, ...fields } = element.op;
    const now = { ...fields };
    for (const field of ["colour", "fill", "text", "w", "h"]) if (fields[field] !== undefined) now[field] = view[field];
    if (fields.width !== undefined) now.width = view.width;
    return { kind, fields: now, matrix: view.matrix };
  });
}

/** Copies what is selected into the clipboard of @event (and deletes it on cut); without an event, next to itself, @by units apart. */
export function copySelection(wb, event, by = 0) {
  if (!wb.selection.size || event?.target.closest?.("input, textarea")) return;
  const items = taken(wb);
  if (!event) {
    put(wb, items, by, by);
    return;
  }
  const base = { writer: "0".repeat(32), counter: 1, clock: 0, joined: false };
  event.clipboardData.setData("text/plain", JSON.stringify({ mark: MARK, items: items.map(({ kind, fields, matrix }) => ({ op: hex(encodeOp({ ...base, kind, ...fields })), matrix })) }));
  event.preventDefault();
  if (event.type === "cut") wb.deleteSelection();
}

/** Makes @items once more, moved by (dx, dy) units, as one action, and selects them. */
function put(wb, items, dx, dy) {
  const made = [];
  let joined = false;
  for (const { kind, fields, matrix: m } of items) {
    const moved = { ...fields };
    const plain = isIdentity([m[0], m[1], m[2], m[3], 0, 0]);
    const sx = whole(dx + (plain ? m[4] : 0)), sy = whole(dy + (plain ? m[5] : 0));
    if (plain && isStroke(kind)) moved.points = moved.points.map((at, i) => at + (i % 2 ? sy : sx));
    else if (plain) Object.assign(moved, { x: fields.x + sx, y: fields.y + sy });
    const op = wb.commit(kind, moved, joined);
    if (!op) break;
    joined = true;
    made.push(op);
    if (!plain) {
      const [a, b, c, d] = m.slice(0, 4).map((factor) => Math.round(factor * 65536));
      wb.commit(TRANSFORM, { targets: idSet([[op.writer, op.counter]]), a, b, c, d, e: whole(m[4] + dx), f: whole(m[5] + dy) }, true);
    }
  }
  wb.select(made.map((op) => wb.board.element(op.writer, op.counter)));
}

function itemsOf(text) {
  if (!text.startsWith("{")) return null;
  try {
    const { mark, items } = JSON.parse(text);
    if (mark !== MARK) return null;
    return items.slice(0, BOARD_ACTION_MAX / 2).map(({ op, matrix }) => {
      const { kind, writer, counter, clock, joined, ...fields } = decodeOp(unhex(op), "0".repeat(32));
      if (!matrix.every(Number.isFinite) || matrix.length !== 6) throw new Malformed("a matrix is none");
      return { kind, fields, matrix };
    });
  } catch {
    return null;
  }
}

export function pasteInto(wb, event) {
  if (event.target.closest?.("input, textarea, dialog") || wb.readOnly) return;
  const { camera } = wb.stage;
  const middle = wb.lastPoint ?? wb.lastSeen ?? { x: camera.box()[0] + camera.width / camera.zoom / 2, y: camera.box()[1] + camera.height / camera.zoom / 2 };
  const image = [...event.clipboardData.files].find((file) => file.type.startsWith("image/"));
  const text = event.clipboardData.getData("text/plain");
  event.preventDefault();
  if (image) pasteImage(wb, image, middle);
  else if (itemsOf(text)) put(wb, itemsOf(text), 24, 24);
  else if (text.trim()) {
    const size = wb.style.widthFor(TEXT) / UNIT;
    const fields = measured(TEXT, cleaned(text), size);
    const op = wb.commit(TEXT, { colour: wb.style.colour, size: size * UNIT, x: whole(middle.x - fields.w / 2 / UNIT), y: whole(middle.y - fields.h / 2 / UNIT), ...fields });
    if (op) wb.select([wb.board.element(op.writer, op.counter)]);
  }
}

async function asKnownType(blob, bitmap) {
  if (IMAGE_TYPES.includes(blob.type)) return blob;
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}

/** Puts an image on the board, its middle at @p. */
export async function pasteImage(wb, file, p) {
  try {
    const bitmap = await createImageBitmap(file);
    const blob = await asKnownType(file, bitmap);
    if (blob.size > BOARD_IMAGE_BYTES_MAX) throw new Error(`it has ${Math.ceil(blob.size / 1048576)} MiB, and ${BOARD_IMAGE_BYTES_MAX / 1048576} is the most`);
    const hash = await wb.session.transport.putImage(wb.session.name, blob);
    const shrink = Math.min(1, IMAGE_UNITS_MAX / Math.max(bitmap.width, bitmap.height));
    const w = bitmap.width * shrink, h = bitmap.height * shrink;
    wb.images.set(hash, bitmap);
    const op = wb.commit(IMAGE, { x: whole(p.x - w / 2), y: whole(p.y - h / 2), w: Math.round(w * UNIT), h: Math.round(h * UNIT), type: IMAGE_TYPES.indexOf(blob.type), hash });
    if (op) wb.select([wb.board.element(op.writer, op.counter)]);
  } catch (error) {
    wb.panels.note(`The image was not put on the board: ${error.message}.`, true);
  }
}
