// What stands around the board: title and menu, who is there, the tools, colours and widths, zoom, notes, the history bar.
import { fill, h, text } from "../lib/dom.js";
import { pngFile, save, svgFile } from "./export.js";
import { icon } from "./icons.js";
import { TOOL_KEYS } from "./input.js";
import { BOARD_TITLE_BYTES_MAX } from "./limits.js";
import { utf8 } from "./bytes.js";
import { COLOURS } from "./palette.js";
import { FILL_NAMES, WIDTH_NAMES } from "./style.js";
import { isLetters } from "./shapes.js";
import { cleaned } from "./writing.js";

const TOOLS = [
  ["select", "Select"], ["hand", "Move the board"], ["pen", "Pen"], ["highlight", "Highlighter"], ["eraser", "Eraser"], ["rect", "Rectangle"], ["ellipse", "Ellipse"],
  ["arrow", "Arrow"], ["line", "Line"], ["text", "Text"], ["sticky", "Note"], ["laser", "Laser pointer"],
];
const KEY_OF = Object.fromEntries(Object.entries(TOOL_KEYS).map(([key, name]) => [name, key.toUpperCase()]));
const FILLED = new Set(["rect", "ellipse"]), STYLED = new Set(["pen", "highlight", "rect", "ellipse", "arrow", "line", "text", "sticky"]);

const button = (image, label, onclick, key = "", more = {}) =>
  h("button.wb-button", {
    type: "button", ariaLabel: label, title: key ? `${label} (${key})` : label, ...more,
    onclick: (event) => {
      onclick(event);
      // with the mouse the keys go on meaning the board: space moves it
      if (event.detail && !more.ariaHaspopup) event.currentTarget.blur();
    },
  }, icon(image));

const initials = (name) => {
  const words = name.trim().split(/[\s._-]+/).filter(Boolean);
  return (words.length > 1 ? [...words[0]][0] + [...words[1]][0] : [...(words[0] ?? "?")].slice(0, 2).join("")).toUpperCase();
};

export class Panels {
  constructor(wb) {
    this.wb = wb;
    this.notes = h("div.wb-notes", { role: "status", ariaLive: "polite" });
    wb.element.append(this.top(), this.side(), this.bottom(), this.historyBar(), this.notes);
    this.away = (event) => {
      if (!event.target.closest(".wb-popup, [aria-haspopup]")) this.closePopups();
    };
    document.addEventListener("pointerdown", this.away, true);
    this.link({ link: wb.session.link, unsent: 0 });
    this.people();
  }
  close() {
    document.removeEventListener("pointerdown", this.away, true);
    clearInterval(this.ticking);
  }

  // ---- above ----

  top() {
    const { wb } = this;
    this.title = h("input.wb-title", {
      ariaLabel: "Title of the board", maxLength: 60, placeholder: wb.session.name, spellcheck: false,
      onchange: () => {
        let value = cleaned(this.title.value).replace(/\n/g, " ").trim();
        while (utf8(value).length > BOARD_TITLE_BYTES_MAX) value = [...value].slice(0, -1).join("");
        wb.setTitle(value);
      },
      onkeydown: (event) => (event.key === "Enter" || event.key === "Escape") && this.title.blur(),
    });
    this.menu = h("div.wb-popup.wb-menu", { hidden: true, role: "menu" });
    this.menuButton = button("menu", "Menu", () => this.toggle(this.menu, this.menuButton, () => this.fillMenu()), "", { ariaHaspopup: "menu", ariaExpanded: "false" });
    this.state = h("span.wb-link", { role: "status" });
    this.faces = h("span.wb-faces");
    this.peopleList = h("div.wb-popup.wb-people", { hidden: true });
    this.peopleButton = h("button.wb-people-button", { type: "button", ariaHaspopup: "true", ariaExpanded: "false", onclick: () => this.toggle(this.peopleList, this.peopleButton, () => this.people()) }, this.faces);
    return h("header.wb-top", null,
      h("div.wb-panel.wb-name", null, wb.leave && button("back", "All boards", wb.leave), this.title, this.menuButton, this.menu),
      h("div.wb-panel.wb-who", null, this.state, this.peopleButton, this.peopleList));
  }

  fillMenu() {
    const { wb } = this;
    const item = (image, label, onclick, more) => h("button.wb-item", { type: "button", role: "menuitem", onclick: () => { this.closePopups(); onclick(); }, ...more }, icon(image), label);
    const some = wb.selection.size > 0;
    fill(this.menu,
      item("image", some ? "Save selection as PNG" : "Save as PNG", () => this.export("png")),
      item("down", some ? "Save selection as SVG" : "Save as SVG", () => this.export("svg")),
      item("history", "History", () => wb.openHistory()),
      item("fit", "Show everything", () => wb.fit()),
      h("button.wb-item", { type: "button", role: "menuitemcheckbox", ariaChecked: String(wb.hideCursors), onclick: () => { wb.setHideCursors(!wb.hideCursors); this.closePopups(); } }, icon("eye"), wb.hideCursors ? "Show others' cursors" : "Hide others' cursors"),
      item("moon", wb.stage.dark ? "Light" : "Dark", () => wb.turnTheme()),
      item("keys", "Keys", () => this.showKeys()),
      h("hr"),
      item("trash", "Clear the board", () => {
        wb.clear();
        this.note("Cleared. Undo brings it back.");
      }));
  }

  async export(type) {
    const { wb } = this;
    const elements = wb.selection.size ? wb.board.shown().filter((element) => wb.selection.has(element)) : wb.board.shown();
    const options = { dark: wb.stage.dark, getImage: (hash) => wb.session.transport.getImage(wb.session.name, hash) };
    try {
      save(await (type === "png" ? pngFile : svgFile)(wb.board, elements, options), `${wb.session.name}.${type}`);
    } catch (error) {
      this.note(`It was not saved: ${error.message}.`, true);
    }
  }

  /** {link, unsent}: how it goes with the node. */
  link({ link, unsent }) {
    const late = link !== "live";
    this.unsent = unsent;
    clearTimeout(this.saving);
    const say = () => {
      this.state.className = `wb-link ${late ? "late" : this.unsent ? "busy" : "ok"}`;
      text(this.state, late ? `${link}${this.unsent ? `, ${this.unsent} not sent` : ""}` : this.unsent ? `${this.unsent} not saved yet` : "saved");
    };
    // what is saved at once need not flicker
    if (!late && unsent) this.saving = setTimeout(say, 600);
    else say();
  }

  people() {
    const { wb } = this;
    const { person, peers } = wb.session;
    const others = [...peers.all.values()].sort((a, b) => a.name.localeCompare(b.name));
    const now = JSON.stringify([this.peopleList.hidden, person, ...others.map(({ name, machine, colour, rtt }) => [name, machine, colour, Math.round(rtt / 2)])]);
    if (now === this.peopleShown || document.activeElement === this.me) return;
    this.peopleShown = now;
    const face = ({ name, colour }, more = "") => h("span.wb-face", { dataset: { colour, initials: initials(name) }, title: `${name || "somebody"}${more}` });
    fill(this.faces, face(person, " (you)"), others.slice(0, 4).map((peer) => face(peer, ` at ${peer.machine}`)), others.length > 4 && h("span.wb-face.more", { dataset: { initials: `+${others.length - 4}` } }));
    this.peopleButton.ariaLabel = `${others.length + 1} here`;
    this.peopleButton.title = this.peopleButton.ariaLabel;
    if (this.peopleList.hidden) return;
    const row = (one, note, name = h("b", null, one.name || "somebody")) => h("li", null, face(one), h("span.wb-person", null, name, h("small", null, one.machine)), h("small.wb-delay", null, note));
    this.me = wb.rename && h("input.wb-me", { ariaLabel: "Your name", maxLength: 20, value: person.name, onkeydown: (event) => (event.key === "Enter" || event.key === "Escape") && this.me.blur(), onchange: () => wb.rename(cleaned(this.me.value).replace(/\n/g, " ").trim()), onblur: () => setTimeout(() => this.people()) });
    fill(this.peopleList, h("h2", null, "Here now"), h("ul", null, row(person, "you", this.me ?? undefined),
      others.map((peer) => row(peer, peer.rtt === null ? "" : `${Math.max(1, Math.round(peer.rtt / 2))} ms`))));
  }

  // ---- below ----

  bottom() {
    const { wb } = this;
    this.toolButtons = TOOLS.map(([name, label]) => {
      const one = button(name, label, () => wb.setTool(name), KEY_OF[name]);
      one.dataset.tool = name;
      return one;
    });
    this.styleButton = button("style", "Colour and width", () => this.toggle(this.styles, this.styleButton), "", { ariaHaspopup: "true", ariaExpanded: "false" });
    this.styleButton.classList.add("wb-style-button");
    this.undoButton = button("undo", "Undo", () => wb.undo(), "Ctrl-Z");
    this.redoButton = button("redo", "Redo", () => wb.redo(), "Ctrl-Shift-Z");
    this.zoomText = h("button.wb-zoom", { type: "button", title: "100 % (0)", onclick: () => wb.zoomTo(1) }, "100 %");
    this.toolbar = h("div.wb-panel.wb-tools", { role: "toolbar", ariaLabel: "Tools" }, this.toolButtons, this.styleButton);
    return h("footer.wb-bottom", null,
      h("div.wb-panel.wb-zooms", null, this.undoButton, this.redoButton, h("span.wb-rule"), button("minus", "Smaller", () => wb.zoomBy(0.8), "-"), this.zoomText, button("plus", "Larger", () => wb.zoomBy(1.25), "+")),
      this.toolbar);
  }

  side() {
    const { wb } = this;
    this.colourButtons = COLOURS.map((name, colour) => h("button.wb-colour", { type: "button", ariaLabel: `Colour: ${name}`, title: name, dataset: { colour }, onclick: () => wb.setStyle({ colour }) }));
    this.widthButtons = WIDTH_NAMES.map((name, width) => h("button.wb-width", { type: "button", ariaLabel: name, title: name, onclick: () => wb.setStyle({ width }) }, h(`i.w${width}`)));
    this.fillButtons = FILL_NAMES.map((name, kind) => h("button.wb-fill", { type: "button", ariaLabel: name, title: name, onclick: () => wb.setStyle({ fill: kind }) }, h(`i.f${kind}`)));
    this.fills = h("div.wb-fills", { role: "group", ariaLabel: "Fill" }, this.fillButtons);
    this.widths = h("div.wb-widths", { role: "group", ariaLabel: "Width" }, this.widthButtons);
    this.actions = h("div.wb-actions", { role: "group", ariaLabel: "Selection" },
      button("copy", "Duplicate", () => wb.duplicate(), "Ctrl-D"), button("trash", "Delete", () => wb.deleteSelection(), "Del"));
    // as of all buttons here: with the mouse the keys go on meaning the board, arrows too
    const unfocus = (event) => event.detail && event.target.closest("button")?.blur();
    this.styles = h("aside.wb-panel.wb-styles.wb-popup", { ariaLabel: "Colour and width", hidden: true, onclick: unfocus }, h("div.wb-colours", { role: "group", ariaLabel: "Colour" }, this.colourButtons), this.widths, this.fills, this.actions);
    return this.styles;
  }

  /** What is pressed, lit and shown, from the state. */
  refresh() {
    const { wb } = this;
    const { session, tool, selection, style } = wb;
    const chosen = [...selection];
    for (const one of this.toolButtons) one.ariaPressed = String(one.dataset.tool === tool);
    this.undoButton.disabled = !session.author?.canUndo || wb.readOnly;
    this.redoButton.disabled = !session.author?.canRedo || wb.readOnly;
    const first = chosen.length ? wb.board.view(chosen[0]) : null;
    const colour = first ? first.colour : style.colourFor(tool);
    const mark = (buttons, at) => buttons.forEach((one, i) => { one.ariaPressed = String(i === at); });
    mark(this.colourButtons, colour);
    mark(this.widthButtons, style.width);
    mark(this.fillButtons, first ? first.fill : style.fill);
    this.fills.hidden = chosen.length ? !chosen.some(({ op }) => op.fill !== undefined) : !FILLED.has(tool);
    this.widths.hidden = chosen.length > 0 && chosen.every(({ op }) => isLetters(op.kind) || op.width === undefined);
    this.actions.hidden = !chosen.length;
    const wanted = !wb.readOnly && (chosen.length > 0 || STYLED.has(tool));
    this.styles.classList.toggle("wanted", wanted);
    this.styleButton.hidden = !wanted;
    this.styleButton.dataset.colour = colour ?? 0;
    // on a desk it stands beside the board, on a phone it opens from its button
    if (!matchMedia("(max-width: 720px)").matches) this.styles.hidden = !wanted;
    else if (!wanted) this.styles.hidden = true;
    if (document.activeElement !== this.title) this.title.value = wb.board.title();
    document.title = `${wb.board.title() || session.name} · whiteboard`;
    wb.element.classList.toggle("dark", wb.stage.dark);
    wb.element.classList.toggle("past", wb.readOnly);
    this.bar.hidden = !wb.readOnly;
    if (wb.readOnly) this.showMoment();
  }

  zoom() {
    text(this.zoomText, `${Math.round(this.wb.stage.camera.zoom * 100)} %`);
  }

  // ---- history ----

  historyBar() {
    const { wb } = this;
    this.slider = h("input", { type: "range", min: 0, step: 1, ariaLabel: "Moment", oninput: () => { wb.history.pause(); wb.history.go(Number(this.slider.value)); this.showMoment(); } });
    this.moment = h("span.wb-moment");
    this.playButton = h("button.wb-button", { type: "button" });
    this.playButton.addEventListener("click", () => {
      if (wb.history.playing) wb.history.pause();
      else wb.history.play(() => this.showMoment());
      this.showMoment();
    });
    this.bar = h("div.wb-panel.wb-history", { hidden: true, role: "group", ariaLabel: "History" }, this.playButton, this.slider, this.moment,
      h("button.wb-done", { type: "button", onclick: () => wb.closeHistory() }, "Back to now"));
    return this.bar;
  }
  showMoment() {
    const { history } = this.wb;
    if (!history) return;
    this.slider.max = history.length;
    this.slider.value = history.at;
    const at = history.timeAt(history.at);
    const when = at === null ? "the empty board" : new Date(at).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
    text(this.moment, when);
    this.slider.setAttribute("aria-valuetext", when);
    const playing = Boolean(history.playing);
    if (this.playButton.dataset.playing !== String(playing)) {
      this.playButton.dataset.playing = String(playing);
      this.playButton.ariaLabel = playing ? "Pause" : "Play";
      fill(this.playButton, icon(playing ? "pause" : "play"));
    }
  }

  // ---- popups and notes ----

  toggle(popup, by, before) {
    const open = popup.hidden;
    this.closePopups();
    popup.hidden = !open;
    by.ariaExpanded = String(open);
    if (!open) return;
    before?.();
    if (popup !== this.menu) return;
    popup.querySelector("button").focus({ focusVisible: false });
    this.arrowKeys(popup, by);
  }
  arrowKeys(popup, by) {
    popup.onkeydown = (event) => {
      const items = [...popup.querySelectorAll("button")];
      const at = items.indexOf(document.activeElement);
      if (event.key === "ArrowDown") items[(at + 1) % items.length].focus();
      else if (event.key === "ArrowUp") items[(at + items.length - 1) % items.length].focus();
      else if (event.key === "Escape") {
        this.closePopups();
        by.focus();
      } else return;
      event.preventDefault();
      event.stopPropagation();
    };
  }
  closePopups() {
    const narrow = matchMedia("(max-width: 720px)").matches;
    for (const [popup, by] of [[this.menu, this.menuButton], [this.peopleList, this.peopleButton], ...(narrow ? [[this.styles, this.styleButton]] : [])]) {
      popup.hidden = true;
      by.ariaExpanded = "false";
    }
  }

  note(message, bad = false) {
    const element = h(`div.wb-note${bad ? ".bad" : ""}`, null, h("span", null, message), bad && button("close", "Close", () => element.remove()));
    this.notes.append(element);
    while (this.notes.children.length > 3) this.notes.firstElementChild.remove();
    if (!bad) setTimeout(() => element.remove(), 3500);
  }

  showKeys() {
    const rows = [
      ...TOOLS.map(([name, label]) => [KEY_OF[name], label]), ["Space and drag", "Move the board"], ["Wheel", "Scroll"], ["Ctrl + wheel, + −", "Zoom"], ["0", "100 %"], ["1", "Show everything"],
      ["Ctrl-Z, Ctrl-Shift-Z", "Undo, redo your own"], ["Del", "Delete the selection"], ["Ctrl-A, Ctrl-D", "Select all, duplicate"], ["Ctrl-C, X, V", "Copy, cut, paste"], ["Arrows", "Nudge (with Shift by ten)"],
      ["Shift", "Square, straight, keep proportions"], ["Alt", "From the middle"], ["Enter, double click", "Edit text"], ["Esc", "Done, give up"], ["?", "This list"],
    ];
    const box = h("dialog.wb-keys", { ariaLabel: "Keys", onclose: () => box.remove() }, h("form", { method: "dialog" },
      h("h2", null, "Keys"), h("dl", null, rows.map(([key, what]) => h("div", null, h("dt", null, h("kbd", null, key)), h("dd", null, what)))), h("button.wb-done", { type: "submit" }, "Close")));
    this.wb.element.append(box);
    box.showModal();
  }
}
