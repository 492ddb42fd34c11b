// Line icons of files; a text always stands beside them, or the button has a label.
import { svg } from "../lib/dom.js";

const PATHS = {
  folder: "M3 19V6h6l2 3h10v10z",
  share: "M3 19V6h6l2 3h10v10zM8 14h8m-3-3 3 3-3 3",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
  symlink: "M6 3h8l4 4v14H6zM10 17c0-4 1-5 5-5m-2-2 2 2-2 2",
  conflict: "M12 21v-8M12 13 6 4m6 9 6-9M4 7l2-3 3 1m11 2-2-3-3 1",
  deleted: "M5 7h14M9 7V4h6v3M7 7l1 14h8l1-14",
  right: "M9 6l6 6-6 6",
  upload: "M12 16V4m-5 5 5-5 5 5M4 16v4h16v-4",
  download: "M12 4v12m-5-5 5 5 5-5M4 17v3h16v-3",
  pin: "M9 4h6l-1 6 3 3H7l3-3zM12 13v8",
  undo: "M4 9h10a6 6 0 0 1 0 12H9M4 9l4-4M4 9l4 4",
  close: "M6 6l12 12M18 6L6 18",
};
const IMAGES = /\.(png|jpe?g|gif|webp|svg|avif|bmp|ico)$/i;

export const glyph = (name) => svg("svg", { class: `icon glyph ${name}`, viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] ?? PATHS.file }));

/** The name of the picture of @entry. */
export function kindOf(entry) {
  if (entry.conflict_of) return "conflict";
  if (entry.kind === "share") return "share";
  if (entry.kind === "directory") return "folder";
  if (entry.kind === "symlink" || entry.kind === "deleted") return entry.kind;
  return IMAGES.test(entry.path) ? "image" : "file";
}
