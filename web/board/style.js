// What the next thing that is drawn will look like: colour, one of four widths, fill; kept by the browser.
import { HIGHLIGHT, STICKY, TEXT, UNIT } from "./ops.js";

export const WIDTHS = [2, 4, 7, 12], MARKER_WIDTHS = [12, 20, 32, 48], TEXT_SIZES = [16, 24, 36, 56], STICKY_SIZES = [16, 20, 28, 36];
export const WIDTH_NAMES = ["Thin", "Medium", "Thick", "Very thick"];
export const FILL_NAMES = ["No fill", "Soft fill", "Full fill"];

export class Style {
  constructor(store) {
    this.store = store;
    const kept = JSON.parse(store.getItem("kith.board.style") ?? "{}");
    this.colour = kept.colour ?? 0;
    this.marker = kept.marker ?? 4;
    this.note = kept.note ?? 4;
    this.width = kept.width ?? 1;
    this.fill = kept.fill ?? 0;
  }
  keep() {
    try {
      this.store.setItem("kith.board.style", JSON.stringify({ colour: this.colour, marker: this.marker, note: this.note, width: this.width, fill: this.fill }));
    } catch {
      /* the next page begins with the usual */
    }
  }
  /** The marker and notes have colours of their own: nobody wants them black. */
  colourFor(tool) {
    return tool === "highlight" ? this.marker : tool === "sticky" ? this.note : this.colour;
  }
  setColour(tool, colour) {
    if (tool === "highlight") this.marker = colour;
    else if (tool === "sticky") this.note = colour;
    else this.colour = colour;
  }
  widthFor(kind) {
    return (kind === HIGHLIGHT ? MARKER_WIDTHS : kind === TEXT ? TEXT_SIZES : kind === STICKY ? STICKY_SIZES : WIDTHS)[this.width] * UNIT;
  }
}
