// The whiteboard: a board on the screen, with everything around it. whiteboard({place, session, ...}) puts it into an element and
// gives {close()}; where its operations go is the session's business.
import { fill, h } from "../lib/dom.js";
import { copySelection, pasteInto, pasteImage } from "./clipboard.js";
import { History } from "./history.js";
import { Input } from "./input.js";
import { GONE, HERE, PONG } from "./live.js";
import { CLEAR, DELETE, IMAGE, STICKY, STYLE, TEXT, TITLE, TRANSFORM } from "./ops.js";
import { Overlay } from "./overlay.js";
import { Panels } from "./panels.js";
import { selectionBoxOf, makeTools, targetsOf, whole } from "./tools.js";
import { Stage } from "./stage.js";
import { Style } from "./style.js";
import { isLetters } from "./shapes.js";
import { Writing } from "./writing.js";

const TELL_MS = 33;
const PICTURES_MAX = 128;

export class Whiteboard {
  /** @place: an element with a size. @leave(): back to where one came from; @rename(name): keeps one's name; each if there is such. */
  constructor({ place, session, leave = null, rename = null }) {
    Object.assign(this, { session, leave });
    this.rename = rename && ((name) => {
      if (!name || name === session.person.name) return;
      session.person.name = name;
      rename(name);
      session.say({ kind: HERE });
      this.panels.people();
    });
    this.style = new Style(session.store);
    this.tool = "pen";
    this.pen = false;
    this.selection = new Set();
    this.images = new Map(); // hash -> ImageBitmap, or null while it is fetched
    this.hideCursors = session.store.getItem("kith.board.cursors") === "hidden";
    this.pictures = (op) => this.picture(op);
    this.layers = h("div.wb-layers", { role: "img", ariaLabel: "The board. Its list of elements is drawn; the tools are in the bar below." });
    this.overlay = h("div.wb-overlay");
    this.area = h("div.wb-area", null, this.layers, this.overlay);
    this.element = h("main.wb", null, this.area);
    fill(place, this.element);
    this.over = new Overlay(this);
    this.stage = new Stage(this.layers, { over: (ctx, camera) => this.over.paint(ctx, camera), pictures: this.pictures, moved: () => this.moved() });
    this.tools = makeTools(this);
    this.panels = new Panels(this);
    this.input = new Input(this, this.area);
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.onScheme = () => this.applyTheme();
    this.scheme.addEventListener("change", this.onScheme);
    this.onCopy = (event) => copySelection(this, event);
    this.onPaste = (event) => pasteInto(this, event);
    document.addEventListener("copy", this.onCopy);
    document.addEventListener("cut", this.onCopy);
    document.addEventListener("paste", this.onPaste);
    this.area.addEventListener("dragover", (event) => event.preventDefault());
    this.area.addEventListener("drop", (event) => this.dropped(event));
    this.onHide = () => this.session.say({ kind: GONE });
    addEventListener("pagehide", this.onHide);
    this.onVisible = () => document.hidden || this.session.reload().catch(() => {});
    document.addEventListener("visibilitychange", this.onVisible);
    session.on = {
      changed: (elements) => this.changed(elements), people: (kind) => this.people(kind),
      state: (state) => this.panels.link(state), trouble: (text) => this.panels.note(text, true),
    };
    for (const text of session.troubles.splice(0)) this.panels.note(text, true);
    this.applyTheme();
    this.stage.show(session.board);
    this.setTool("pen");
    this.stage.resize();
    if (session.board.shown().length) this.fit();
    this.changed(new Set());
  }

  close() {
    this.history?.close();
    this.input.close();
    this.stage.close();
    this.session.close();
    this.scheme.removeEventListener("change", this.onScheme);
    document.removeEventListener("copy", this.onCopy);
    document.removeEventListener("cut", this.onCopy);
    document.removeEventListener("paste", this.onPaste);
    removeEventListener("pagehide", this.onHide);
    document.removeEventListener("visibilitychange", this.onVisible);
    clearTimeout(this.telling);
    this.panels.close();
    this.element.remove();
  }

  get board() {
    return this.history ? this.history.board : this.session.board;
  }
  get readOnly() {
    return Boolean(this.history);
  }

  // ---- what comes and goes ----

  changed(elements) {
    if (!this.history) {
      for (const element of [...this.selection]) if (!this.session.board.view(element)) this.selection.delete(element);
      this.stage.update(elements);
    }
    this.panels.refresh();
  }

  people(kind) {
    if (kind === undefined || kind === HERE || kind === GONE || kind === PONG) this.panels.people();
    this.stage.want();
  }

  commit(kind, fields, joined = false) {
    if (this.readOnly) return null;
    return this.session.commit(kind, fields, joined);
  }

  undo() {
    if (!this.readOnly) this.session.undo();
  }
  redo() {
    if (!this.readOnly) this.session.redo();
  }

  /** Others are told, at most so often. */
  tell() {
    if (this.telling) return;
    this.telling = setTimeout(() => {
      this.telling = null;
      if (this.lastPoint) {
        this.session.cursor(this.lastPoint.x, this.lastPoint.y);
        this.lastPoint = null;
      }
      this.input.drawing?.tool.tell?.();
    }, TELL_MS);
  }

  pointed(p) {
    this.lastPoint = this.lastSeen = p;
    this.tell();
    this.stage.want();
  }
  left() {
    this.lastPoint = null;
  }
  drawn() {
    this.panels.refresh();
  }

  picture(op) {
    const had = this.images.get(op.hash);
    if (had !== undefined) return had;
    if (this.images.size >= PICTURES_MAX) this.images.delete(this.images.keys().next().value);
    this.images.set(op.hash, null);
    this.session.transport.getImage(this.session.name, op.hash).then((blob) => createImageBitmap(blob)).then((bitmap) => {
      this.images.set(op.hash, bitmap);
      this.stage.pictureCame(op.hash);
    }).catch(() => setTimeout(() => {
      this.images.delete(op.hash);
      this.stage.pictureCame(op.hash); // it is asked for again, where it is seen
    }, 5000));
    return null;
  }

  // ---- looking ----

  applyTheme() {
    const chosen = document.documentElement.dataset.theme;
    this.stage.setDark(chosen ? chosen === "dark" : this.scheme.matches);
    // resolved: a canvas does not know light-dark()
    this.accent = getComputedStyle(this.overlay).color;
  }
  turnTheme() {
    document.documentElement.dataset.theme = this.stage.dark ? "light" : "dark";
    try {
      localStorage.setItem("kith.theme", document.documentElement.dataset.theme);
    } catch {
      /* holds until the page is left */
    }
    this.applyTheme();
    this.panels.refresh();
  }

  moved() {
    this.writing?.place();
    this.panels?.zoom();
  }
  zoomBy(factor) {
    this.zoomTo(this.stage.camera.zoom * factor);
  }
  zoomTo(zoom) {
    const { camera } = this.stage;
    camera.zoomAt(camera.width / 2, camera.height / 2, zoom);
    this.stage.look(true);
  }
  fit() {
    const box = this.stage.places.bounds();
    if (box) this.stage.camera.fit(box);
    else Object.assign(this.stage.camera, { x: 0, y: 0, zoom: 1 });
    this.stage.look(true);
  }
  setHideCursors(hide) {
    this.hideCursors = hide;
    this.session.store.setItem("kith.board.cursors", hide ? "hidden" : "shown");
    this.stage.want();
  }
  penSeen() {
    this.pen = true;
    this.session.person.pen = true;
    this.session.say({ kind: HERE });
    this.panels.note("A pen: fingers now move the board, and do not draw.");
  }

  // ---- tools and selection ----

  setTool(name) {
    if (this.readOnly) return;
    this.finishWriting();
    this.tool = name;
    if (name !== "select") this.select([]);
    this.area.style.cursor = "";
    this.area.dataset.cursor = this.tools[name].cursor;
    this.panels.refresh();
    this.stage.want();
  }

  select(elements) {
    this.selection = new Set(elements);
    if (this.selection.size && this.tool !== "select") {
      this.tool = "select";
      this.area.style.cursor = "";
      this.area.dataset.cursor = "default";
    }
    this.panels?.refresh();
    this.stage.want();
  }
  selectAll() {
    this.select(this.board.shown());
  }
  selectionBox() {
    return this.selection.size ? selectionBoxOf(this.board, this.selection) : null;
  }
  remove(elements) {
    if (elements.length) this.commit(DELETE, targetsOf(elements));
  }
  deleteSelection() {
    this.remove([...this.selection]);
    this.select([]);
  }
  escape() {
    this.closePopups();
    this.input.cancelDrawing();
    if (this.selection.size) this.select([]);
  }
  nudge(dx, dy) {
    if (!this.selection.size) return false;
    this.commit(TRANSFORM, { ...targetsOf(this.selection), a: 65536, b: 0, c: 0, d: 65536, e: whole(dx), f: whole(dy) });
    return true;
  }
  duplicate() {
    copySelection(this, null, 16);
  }
  clear() {
    if (this.board.shown().length) this.commit(CLEAR, { targets: this.board.clearTargets() });
  }
  setTitle(text) {
    if (text !== this.board.title()) this.commit(TITLE, { text });
  }

  /** @style: {colour} or {width: 0..3} or {fill}: of what comes next, and of what is selected. */
  setStyle(change) {
    const { style } = this;
    if (change.colour !== undefined) style.setColour(this.tool, change.colour);
    if (change.width !== undefined) style.width = change.width;
    if (change.fill !== undefined) style.fill = change.fill;
    style.keep();
    const chosen = [...this.selection].filter(({ op }) => op.kind !== IMAGE);
    if (chosen.length && change.width === undefined) this.commit(STYLE, { ...targetsOf(chosen), ...change });
    else if (chosen.length) this.setWidths(chosen);
    this.panels.refresh();
    this.stage.want();
  }
  setWidths(chosen) {
    const by = new Map();
    for (const element of chosen) {
      if (isLetters(element.op.kind)) continue;
      const width = this.style.widthFor(element.op.kind);
      by.set(width, [...(by.get(width) ?? []), element]);
    }
    let joined = false;
    for (const [width, elements] of by) {
      this.commit(STYLE, { ...targetsOf(elements), width }, joined);
      joined = true;
    }
  }

  // ---- text and images ----

  write(kind, p) {
    this.finishWriting();
    const element = kind === "text" ? this.tools.select.elementAt(p) : null;
    if (element && isLetters(element.op.kind)) this.edit(element);
    else this.writing = new Writing(this, { kind: kind === "sticky" ? STICKY : TEXT, at: p });
  }
  edit(element) {
    this.select([]);
    this.writing = new Writing(this, { kind: element.op.kind, element });
  }
  editAt(p) {
    const element = this.tools.select.elementAt(p);
    if (element && isLetters(element.op.kind)) this.edit(element);
    else if (!element) this.write("text", p);
  }
  editSelection() {
    const [element] = this.selection;
    if (this.selection.size !== 1 || !isLetters(element.op.kind) || this.readOnly) return false;
    this.edit(element);
    return true;
  }
  finishWriting() {
    const { writing } = this;
    if (!writing) return;
    this.writing = null;
    writing.finish();
    this.panels.refresh();
  }
  async dropped(event) {
    event.preventDefault();
    let p = this.input.at(event);
    for (const file of event.dataTransfer.files) {
      await pasteImage(this, file, p);
      p = { ...p, x: p.x + 24, y: p.y + 24 };
    }
  }

  // ---- other times ----

  openHistory() {
    this.finishWriting();
    this.input.cancelDrawing();
    this.select([]);
    this.history = new History(this);
    this.panels.refresh();
  }
  closeHistory() {
    this.history.close();
    this.history = null;
    this.stage.show(this.session.board);
    this.panels.refresh();
  }

  closePopups() {
    this.panels.closePopups();
  }
  showKeys() {
    this.panels.showKeys();
  }
}
