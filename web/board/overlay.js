// What is above the board and not part of it yet: strokes under way, one's own and others', the selection, lasers, named cursors.
import { h, svg, text } from "../lib/dom.js";
import { paint } from "./paint.js";
import { LASER_MS, viewOf } from "./tools.js";

const CURSOR_STALE_MS = 30000;

export class Overlay {
  constructor(wb) {
    this.wb = wb;
    this.cursors = new Map(); // from -> {element, x, y}
    wb.paintSelection = (ctx, frame, fields) => this.paintSelection(ctx, frame, fields);
  }

  /** Whether there was something to paint. */
  paint(ctx, camera) {
    const { wb } = this;
    const frame = { scale: camera.scale, dx: camera.dx, dy: camera.dy };
    const inked = !wb.history && this.paintUnderWay(ctx, frame);
    const glow = this.paintLasers(ctx, frame);
    const gliding = this.placeCursors(camera);
    if (glow || gliding) wb.stage.want();
    if (wb.input?.drawing) wb.tell();
    return inked || glow;
  }

  paintUnderWay(ctx, frame) {
    const { wb } = this;
    let inked = false;
    for (const peer of wb.session.peers.all.values())
      for (const draft of peer.drafts.values()) {
        this.paintDraft(ctx, draft, frame);
        inked = true;
      }
    const tool = wb.tools[wb.tool], other = wb.input?.drawing?.tool;
    inked = tool.paint(ctx, frame) || inked;
    if (other && other !== tool) inked = other.paint(ctx, frame) || inked;
    return inked;
  }

  paintDraft(ctx, draft, frame) {
    const { op } = draft;
    if (op.points && op.points.length < 2) return;
    draft.view ??= viewOf(op);
    paint(ctx, { op }, draft.view, frame, this.wb.stage.colours);
  }

  /** Whether there is one. */
  paintSelection(ctx, frame, fields) {
    const { wb } = this;
    const box = wb.selectionBox();
    if (!box) return false;
    const { ratio } = wb.stage.camera;
    const on = (x, y) => {
      const bx = fields ? (fields.a / 65536) * x + fields.e / 16 : x, by = fields ? (fields.d / 65536) * y + fields.f / 16 : y;
      return [bx * frame.scale + frame.dx, by * frame.scale + frame.dy];
    };
    const [x0, y0] = on(box[0], box[1]), [x1, y1] = on(box[2], box[3]);
    const air = 4 * ratio;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.globalAlpha = 1;
    ctx.lineWidth = 1.5 * ratio;
    ctx.strokeStyle = wb.accent;
    ctx.strokeRect(x0 - air, y0 - air, x1 - x0 + 2 * air, y1 - y0 + 2 * air);
    ctx.fillStyle = wb.stage.colours.paper;
    for (const [x, y] of [[x0 - air, y0 - air], [x1 + air, y0 - air], [x1 + air, y1 + air], [x0 - air, y1 + air]]) {
      ctx.beginPath();
      ctx.roundRect(x - 4 * ratio, y - 4 * ratio, 8 * ratio, 8 * ratio, 2 * ratio);
      ctx.fill();
      ctx.stroke();
    }
    return true;
  }

  /** Whether there is one that fades. */
  paintLasers(ctx, frame) {
    const { wb } = this;
    const now = performance.now();
    let any = false;
    for (const trail of [wb.tools.laser.trail, ...[...wb.session.peers.all.values()].map((peer) => peer.laser)]) {
      while (trail.length && now - trail[0].at > LASER_MS) trail.shift();
      if (trail.length < 2) continue;
      any = true;
      this.paintTrail(ctx, trail, now, frame);
    }
    return any;
  }

  paintTrail(ctx, trail, now, { scale, dx, dy }) {
    const { ratio } = this.wb.stage.camera;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.lineCap = "round";
    ctx.strokeStyle = "#e5262b";
    for (let i = 1; i < trail.length; i++) {
      const left = 1 - (now - trail[i].at) / LASER_MS;
      if (trail[i].at - trail[i - 1].at > 250) continue; // it was lifted in between
      ctx.globalAlpha = Math.max(0, left);
      ctx.lineWidth = (1.5 + 4.5 * left) * ratio;
      ctx.beginPath();
      ctx.moveTo(trail[i - 1].x * scale + dx, trail[i - 1].y * scale + dy);
      ctx.lineTo(trail[i].x * scale + dx, trail[i].y * scale + dy);
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
  }

  /** Each where its owner is, gliding there. Whether one still glides. */
  placeCursors(camera) {
    const { wb } = this;
    const now = performance.now();
    let gliding = false;
    const shown = new Set();
    for (const peer of wb.session.peers.all.values()) {
      if (!peer.cursor || wb.hideCursors || wb.history || now - peer.cursor.at > CURSOR_STALE_MS) continue;
      shown.add(peer.from);
      const cursor = this.cursors.get(peer.from) ?? this.makeCursor(peer);
      cursor.x += (peer.cursor.x - cursor.x) * 0.45;
      cursor.y += (peer.cursor.y - cursor.y) * 0.45;
      if (Math.abs(peer.cursor.x - cursor.x) + Math.abs(peer.cursor.y - cursor.y) > 0.3 / camera.zoom) gliding = true;
      const [sx, sy] = camera.toScreen(cursor.x, cursor.y);
      cursor.element.style.transform = `translate(${sx.toFixed(1)}px, ${sy.toFixed(1)}px)`;
      cursor.element.dataset.colour = peer.colour;
      text(cursor.element.lastChild, peer.name || "somebody");
    }
    for (const [from, { element }] of this.cursors)
      if (!shown.has(from)) {
        element.remove();
        this.cursors.delete(from);
      }
    return gliding;
  }

  makeCursor(peer) {
    const element = h("div.wb-cursor", { ariaHidden: "true" }, svg("svg", { viewBox: "0 0 20 20" }, svg("path", { d: "M2 2l5.500 15 2.700-6.300L16.500 8z" })), h("span"));
    this.wb.overlay.append(element);
    const cursor = { element, x: peer.cursor.x, y: peer.cursor.y };
    this.cursors.set(peer.from, cursor);
    return cursor;
  }
}
