// The boards there are, with a small picture of each.
import { fill, h } from "../lib/dom.js";
import { icon } from "./icons.js";
import { decodeLog, goodBoardName } from "./log.js";
import { Board } from "./merge.js";
import { paint } from "./paint.js";
import { theme } from "./palette.js";
import { join, roughBox } from "./shapes.js";

/** A name for a board of the title @title: its letters and digits, and something to tell it from others. */
export function nameFor(title, random = Math.random) {
  const plain = title.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 40).replace(/-+$/, "");
  const tail = Math.floor(random() * 36 ** 5).toString(36).padStart(5, "0");
  return plain ? `${plain}-${tail}` : `board-${tail}`;
}

function boardOf(logs) {
  const board = new Board(), writers = new Set();
  for (const bytes of logs) {
    try {
      const { ops, writer } = decodeLog(bytes);
      board.applyAll(ops);
      writers.add(writer);
    } catch {
      /* the board itself says what is wrong with it */
    }
  }
  return { board, writers: writers.size };
}

function picture(canvas, board, dark) {
  const ratio = window.devicePixelRatio || 1;
  const width = 288, height = 180;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const ctx = canvas.getContext("2d", { alpha: false });
  ctx.fillStyle = theme(dark).paper;
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  let box = null;
  const shown = board.shown();
  for (const element of shown) {
    const mine = roughBox(element, board.view(element));
    if (mine) box = join(box, mine);
  }
  if (!box) return;
  const scale = Math.min(1, (width - 24) / (box[2] - box[0]), (height - 24) / (box[3] - box[1])) * ratio;
  const frame = { scale, dx: canvas.width / 2 - ((box[0] + box[2]) / 2) * scale, dy: canvas.height / 2 - ((box[1] + box[3]) / 2) * scale };
  for (const element of shown) paint(ctx, element, board.view(element), frame, theme(dark));
}

const ago = (ms) => {
  if (!ms) return "";
  const seconds = Math.max(0, (Date.now() - ms) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return new Date(ms).toLocaleDateString([], { dateStyle: "medium" });
};

/** Puts the list into @place. @open(name): goes to a board. */
export function boardList({ place, transport, open, readOnly = false }) {
  const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const grid = h("ul.wb-boards", null, h("li.wb-quiet", { role: "status" }, "Loading boards"));
  const title = h("input", { name: "title", ariaLabel: "Title of a new board", placeholder: "Title of a new board", maxLength: 60, autocomplete: "off" });
  const form = h("form.wb-new", { onsubmit: (event) => {
    event.preventDefault();
    open(nameFor(title.value), title.value.trim());
  } }, title, h("button.wb-primary", { type: "submit" }, icon("plus"), "New board"));
  fill(place, h("main.wb-list", null, h("header", null, h("h1", null, "Boards"), !readOnly && form), grid));
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries)
      if (isIntersecting) {
        seen.unobserve(target);
        target.look();
      }
  });

  async function show() {
    let boards;
    try {
      boards = await transport.boards();
    } catch (error) {
      fill(grid, h("li.wb-quiet", { role: "alert" }, `The boards cannot be listed: ${error.message.replace(/\.$/, "")}.${error.hint ? ` (${error.hint})` : ""}`));
      return;
    }
    if (!boards.length) {
      fill(grid, h("li.wb-quiet", null, "There is no board yet. Give the first one a title, and draw."));
      return;
    }
    fill(grid, boards.filter(({ name }) => goodBoardName(name)).sort((a, b) => b.changed - a.changed).map(card));
  }

  /** A board as it is now; its logs are asked for when it comes into sight. */
  function card({ name, logs, changed }) {
    const canvas = h("canvas", { ariaHidden: "true" });
    const title = h("b", null, name), note = h("small", null, ago(changed));
    const look = async () => {
      transport.forget?.(name); // all of it, and all of it again when it is opened
      const { board, writers } = boardOf(logs ?? (await transport.load(name)));
      transport.forget?.(name);
      picture(canvas, board, dark());
      title.textContent = board.title() || name;
      note.textContent = [ago(changed), `${writers} ${writers === 1 ? "writer" : "writers"}`].filter(Boolean).join(" · ");
    };
    const item = h("li", null, h("a.wb-card", { href: `#${name}`, onclick: (event) => { event.preventDefault(); open(name); } }, canvas, h("span.wb-card-text", null, title, note)));
    if (logs) look();
    else {
      item.look = () => look().catch(() => { note.textContent = "cannot be read now"; });
      seen.observe(item);
    }
    return item;
  }
  show();
  return { close: () => seen.disconnect(), show };
}
