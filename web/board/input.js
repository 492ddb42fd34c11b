// Pointers, wheel and keys. One pointer draws; two fingers move and zoom; once a pen was seen, fingers only move the board, and
// while the pen is down they are not looked at (it is the palm).
const PALM_MS = 400;

export class Input {
  constructor(wb, area) {
    this.wb = wb;
    this.area = area;
    this.pointers = new Map(); // touches that are down: id -> {sx, sy}
    this.drawing = null; // {id, tool}
    this.panning = null; // {id, sx, sy}
    this.pinch = null;
    this.space = false;
    this.penAt = -1e9;
    const on = (target, type, fn, options) => {
      target.addEventListener(type, fn, options);
      this.off.push(() => target.removeEventListener(type, fn, options));
    };
    this.off = [];
    on(area, "pointerdown", (event) => this.down(event));
    on(area, "pointermove", (event) => this.move(event));
    on(area, "pointerup", (event) => this.up(event));
    on(area, "pointercancel", (event) => this.lost(event));
    on(area, "pointerleave", () => this.wb.left());
    on(area, "wheel", (event) => this.wheel(event), { passive: false });
    on(area, "contextmenu", (event) => event.preventDefault());
    on(area, "dblclick", (event) => this.double(event));
    on(window, "keydown", (event) => this.key(event));
    on(window, "keyup", (event) => event.code === "Space" && this.setSpace(false));
    on(window, "blur", () => this.setSpace(false));
  }
  close() {
    for (const off of this.off) off();
  }

  at(event) {
    const { left, top } = this.area.getBoundingClientRect();
    const sx = event.clientX - left, sy = event.clientY - top;
    const [x, y] = this.wb.stage.camera.toBoard(sx, sy);
    return { x, y, sx, sy, pressure: event.pointerType === "pen" ? event.pressure : null, shift: event.shiftKey, alt: event.altKey };
  }

  down(event) {
    const { wb } = this;
    const touch = event.pointerType === "touch";
    if (event.pointerType === "pen") {
      this.penAt = performance.now();
      if (!wb.pen) wb.penSeen();
      this.dropTouches();
    }
    if (touch && this.isPalm()) return;
    wb.closePopups();
    wb.finishWriting();
    this.area.setPointerCapture?.(event.pointerId);
    const p = this.at(event);
    if (touch) {
      this.pointers.set(event.pointerId, p);
      if (this.pointers.size === 2) {
        this.cancelDrawing();
        this.panning = null;
        this.beginPinch();
        return;
      }
      if (this.pointers.size > 2) return;
    }
    const pan = event.button === 1 || this.space || wb.tool === "hand" || (touch && wb.pen);
    if (pan) {
      this.panning = { id: event.pointerId, ...p };
      this.area.classList.add("panning");
      event.preventDefault();
    } else if ((event.button === 0 || event.button === 5) && !this.drawing && !wb.readOnly) {
      // the other end of a pen is an eraser
      const tool = wb.tools[event.button === 5 ? "eraser" : wb.tool];
      this.drawing = { id: event.pointerId, tool };
      tool.down(p);
      wb.stage.want();
    }
  }

  isPalm() {
    return (this.drawing && this.drawing.pen) || performance.now() - this.penAt < PALM_MS;
  }
  dropTouches() {
    if (this.pointers.size) {
      this.pointers.clear();
      this.pinch = this.panning = null;
      this.cancelDrawing();
    }
  }
  cancelDrawing() {
    if (!this.drawing) return;
    this.drawing.tool.cancel();
    this.drawing = null;
    this.wb.stage.want();
  }

  move(event) {
    const { wb } = this;
    const p = this.at(event);
    if (event.pointerType === "pen") this.penAt = performance.now();
    if (event.pointerType === "touch") {
      if (!this.pointers.has(event.pointerId)) return;
      this.pointers.set(event.pointerId, p);
      if (this.pinch) return this.movePinch();
    }
    if (this.panning?.id === event.pointerId) {
      wb.stage.camera.pan(p.sx - this.panning.sx, p.sy - this.panning.sy);
      Object.assign(this.panning, p);
      wb.stage.look();
      return;
    }
    wb.pointed(p);
    if (this.drawing?.id === event.pointerId) {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) this.drawing.tool.move(this.at(one));
      wb.stage.want();
    } else if (!this.drawing && wb.tool === "select" && !wb.readOnly) this.area.style.cursor = wb.tools.select.hover(p);
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    if (this.pinch) {
      // the finger that is left begins nothing
      if (this.pointers.size < 2) this.pinch = null;
      if (this.pointers.size) this.panning = { id: [...this.pointers.keys()][0], ...[...this.pointers.values()][0] };
      return;
    }
    if (this.panning?.id === event.pointerId) {
      this.panning = null;
      this.area.classList.remove("panning");
    } else if (this.drawing?.id === event.pointerId) {
      const { tool } = this.drawing;
      this.drawing = null;
      tool.up(this.at(event));
      this.wb.stage.want();
      this.wb.drawn();
    }
  }

  lost(event) {
    this.pointers.delete(event.pointerId);
    this.pinch = null;
    if (this.panning?.id === event.pointerId) this.panning = null;
    if (this.drawing?.id === event.pointerId) this.cancelDrawing();
  }

  // ---- two fingers ----

  beginPinch() {
    const [a, b] = [...this.pointers.values()];
    this.pinch = { apart: Math.hypot(a.sx - b.sx, a.sy - b.sy), sx: (a.sx + b.sx) / 2, sy: (a.sy + b.sy) / 2, zoom: this.wb.stage.camera.zoom };
  }
  movePinch() {
    const [a, b] = [...this.pointers.values()];
    const { camera } = this.wb.stage;
    const sx = (a.sx + b.sx) / 2, sy = (a.sy + b.sy) / 2, apart = Math.hypot(a.sx - b.sx, a.sy - b.sy);
    camera.pan(sx - this.pinch.sx, sy - this.pinch.sy);
    camera.zoomAt(sx, sy, this.pinch.zoom * (apart / Math.max(1, this.pinch.apart)));
    Object.assign(this.pinch, { sx, sy });
    this.wb.stage.look(true);
  }

  wheel(event) {
    event.preventDefault();
    const { camera } = this.wb.stage;
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? camera.height : 1;
    const dx = event.deltaX * unit, dy = event.deltaY * unit;
    if (event.ctrlKey || event.metaKey) {
      const p = this.at(event);
      camera.zoomAt(p.sx, p.sy, camera.zoom * Math.exp(-Math.max(-60, Math.min(60, dy)) * 0.01));
      this.wb.stage.look(true);
    } else {
      if (event.shiftKey && !dx) camera.pan(-dy, 0);
      else camera.pan(-dx, -dy);
      this.wb.stage.look();
    }
  }

  double(event) {
    if (this.wb.tool === "select" && !this.wb.readOnly) this.wb.editAt(this.at(event));
  }

  // ---- keys ----

  setSpace(on) {
    this.space = on;
    this.area.classList.toggle("space", on);
  }

  key(event) {
    const { wb } = this;
    if (event.target.closest?.("input, textarea, select, dialog, [contenteditable]")) return;
    const onButton = event.target.closest?.("button, a, [role=slider]");
    if (event.code === "Space" && !onButton) {
      event.preventDefault();
      this.setSpace(true);
      return;
    }
    const command = event.ctrlKey || event.metaKey;
    const action = command ? COMMANDS[event.key.toLowerCase()] : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || event.altKey || (onButton && (event.key === "Enter" || event.key.startsWith("Arrow")))) return;
    if (action(wb, event) !== false) event.preventDefault();
  }
}

const tool = (name) => (wb) => wb.setTool(name);
const nudge = (dx, dy) => (wb, event) => wb.nudge(dx * (event.shiftKey ? 10 : 1), dy * (event.shiftKey ? 10 : 1));

export const TOOL_KEYS = { v: "select", m: "hand", p: "pen", h: "highlight", e: "eraser", r: "rect", o: "ellipse", a: "arrow", l: "line", t: "text", n: "sticky", k: "laser" };

const KEYS = {
  ...Object.fromEntries(Object.entries(TOOL_KEYS).map(([key, name]) => [key, tool(name)])),
  Delete: (wb) => wb.deleteSelection(), Backspace: (wb) => wb.deleteSelection(), Escape: (wb) => wb.escape(), Enter: (wb) => wb.editSelection(),
  "+": (wb) => wb.zoomBy(1.25), "=": (wb) => wb.zoomBy(1.25), "-": (wb) => wb.zoomBy(0.8), "0": (wb) => wb.zoomTo(1), "1": (wb) => wb.fit(),
  "?": (wb) => wb.showKeys(), ArrowLeft: nudge(-1, 0), ArrowRight: nudge(1, 0), ArrowUp: nudge(0, -1), ArrowDown: nudge(0, 1),
};

const COMMANDS = {
  z: (wb, event) => (event.shiftKey ? wb.redo() : wb.undo()), y: (wb) => wb.redo(), a: (wb) => wb.selectAll(), d: (wb) => wb.duplicate(),
  "+": (wb) => wb.zoomBy(1.25), "=": (wb) => wb.zoomBy(1.25), "-": (wb) => wb.zoomBy(0.8), "0": (wb) => wb.zoomTo(1),
};
