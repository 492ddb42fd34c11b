// Text that is being written: a field over the board, as large and in the same place as what it becomes. The page that writes breaks the
// lines of a note, at U+2028, and measures, since fonts are not the same everywhere.
import { BOARD_COORD_MAX } from "./limits.js";
import { RETEXT, STICKY, TEXT, UNIT } from "./ops.js";
import { fontOf } from "./paint.js";
import { LINE_HEIGHT, STICKY_PADDING } from "./shapes.js";
import { whole } from "./tools.js";

export const NOTE_SIDE = 200;
const CHARACTERS_MAX = 2000; // of the field; at most 6,000 bytes, with room for the line ends that are put in

let ruler = null;
function widthOf(line, size) {
  ruler ??= document.createElement("canvas").getContext("2d");
  ruler.font = fontOf(size);
  return ruler.measureText(line).width;
}

/** @text with U+2028 where a line of @size gets longer than @width. */
export function breakLines(text, size, width) {
  return text.split("\n").map((line) => breakLine(line, size, width)).join("\n");
}

function breakLine(line, size, width) {
  const out = [];
  let now = "";
  for (const word of line.match(/\S+\s*|\s+/g) ?? []) {
    if (now && widthOf(now + word.trimEnd(), size) > width) {
      out.push(now);
      now = "";
    }
    let rest = word;
    // a word that is longer than a line
    while (widthOf(rest.trimEnd(), size) > width && [...rest].length > 1) {
      const letters = [...rest];
      let n = 1;
      while (n < letters.length - 1 && widthOf(letters.slice(0, n + 1).join(""), size) <= width) n++;
      out.push(letters.slice(0, n).join(""));
      rest = letters.slice(n).join("");
    }
    now += rest;
  }
  out.push(now);
  return out.join("\u2028");
}

/** What of @text can be kept: no control characters but line ends. */
// eslint-disable-next-line no-control-regex
export const cleaned = (text) => text.replace(/\r\n?/g, "\n").replace(/\t/g, "    ").replace(/[\x00-\x09\x0b-\x1f\x7f\u2028\u2029\ufffe\uffff]/g, "").toWellFormed();

/** Fields of an operation for @text: with its lines and its extent. */
export function measured(kind, text, size, width = NOTE_SIDE) {
  const clean = cleaned(text).slice(0, CHARACTERS_MAX).toWellFormed();
  const broken = kind === STICKY ? breakLines(clean, size, width - 2 * STICKY_PADDING) : clean;
  const lines = broken.split(/[\n\u2028]/);
  const h = lines.length * size * LINE_HEIGHT;
  const w = Math.max(...lines.map((line) => widthOf(line, size)));
  const extent = kind === STICKY ? [width, Math.max(NOTE_SIDE, h + 2 * STICKY_PADDING)] : [w, h];
  const [wide, high] = extent.map((value) => Math.min(BOARD_COORD_MAX, Math.ceil(value * UNIT)));
  return { text: broken, w: wide, h: high };
}

export class Writing {
  /** @at: {x, y} in units for new text, or @element that is edited. */
  constructor(wb, { kind, at, element }) {
    this.wb = wb;
    this.element = element;
    this.kind = kind;
    const view = element && wb.board.view(element);
    this.matrix = view?.matrix ?? [1, 0, 0, 1, 0, 0];
    this.size = element ? element.op.size / UNIT : wb.style.widthFor(kind) / UNIT;
    this.colour = element ? view.colour : wb.style.colourFor(kind === STICKY ? "sticky" : "text");
    this.x = element ? element.op.x / UNIT : kind === STICKY ? at.x - NOTE_SIDE / 2 : at.x;
    this.y = element ? element.op.y / UNIT : kind === STICKY ? at.y - NOTE_SIDE / 2 : at.y - this.size * 0.7;
    this.field = document.createElement("textarea");
    this.field.className = `wb-writing${kind === STICKY ? " note" : ""}`;
    this.field.setAttribute("aria-label", kind === STICKY ? "Text of the note" : "Text");
    this.field.maxLength = CHARACTERS_MAX;
    this.field.spellcheck = false;
    this.field.value = view ? view.text.replaceAll("\u2028", "") : "";
    this.before = this.field.value;
    this.field.addEventListener("input", () => this.place());
    this.field.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) {
        event.preventDefault();
        wb.finishWriting();
      }
    });
    this.field.addEventListener("blur", () => wb.finishWriting());
    wb.overlay.append(this.field);
    if (element) wb.stage.lift([element]);
    this.place();
    this.field.focus();
    this.field.select();
  }

  place() {
    const { camera, colours } = this.wb.stage;
    const [a, b, c, d, e, f] = this.matrix;
    const scale = camera.zoom * Math.sqrt(Math.abs(a * d - b * c));
    const [sx, sy] = camera.toScreen(a * this.x + c * this.y + e, b * this.x + d * this.y + f);
    const { w, h, text } = measured(this.kind, this.field.value || " ", this.size);
    const note = this.kind === STICKY;
    const s = this.field.style;
    s.left = `${sx}px`;
    s.top = `${sy}px`;
    s.fontSize = `${this.size * scale}px`;
    s.lineHeight = String(LINE_HEIGHT);
    s.width = `${note ? NOTE_SIDE * scale : (w / UNIT + this.size) * scale}px`;
    s.height = `${(Math.max(h, 1) / UNIT) * scale + (text.endsWith("\n") ? 1 : 0)}px`;
    s.padding = note ? `${STICKY_PADDING * scale}px` : "0";
    // a field puts half of what a line is higher than its letters above them; the board does not
    if (!note) s.top = `${sy + (1 - 0.5 * LINE_HEIGHT - 0.36) * this.size * scale}px`;
    s.color = colours.ink[note ? 0 : this.colour];
    s.background = note ? colours.soft[this.colour] : "transparent";
  }

  /** Takes the field away; what was written becomes an operation. */
  finish() {
    const text = this.field.value;
    this.field.remove();
    const { wb, kind, element } = this;
    if (element) {
      wb.stage.lift(null);
      if (text === this.before) return;
      if (!text.trim() && kind === TEXT) wb.remove([element]);
      else wb.commit(RETEXT, { target: element.op.writer, of: element.op.counter, ...measured(kind, text, this.size) });
    } else if (text.trim() || kind === STICKY) {
      const op = wb.commit(kind, { colour: this.colour, size: Math.round(this.size * UNIT), x: whole(this.x), y: whole(this.y), ...measured(kind, text, this.size) });
      const made = op && wb.board.element(op.writer, op.counter);
      if (made) wb.select([made]);
    }
  }
}
