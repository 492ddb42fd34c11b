// The board on the screen. What is finished is baked into bitmaps of a fixed size (tiles), so that moving the board copies bitmaps
// and no more; a new element is painted onto the tiles it touches, and only what changed beneath others is baked again. What
// is under way (the stroke of a pen, a selection, others' strokes) is on a second canvas above, painted anew each frame.
import { Camera } from "./camera.js";
import { paint, prepare } from "./paint.js";
import { theme } from "./palette.js";
import { Places } from "./places.js";
import { IMAGE } from "./ops.js";
import { meet, roughBox } from "./shapes.js";

const TILE = 512; // device pixels
const TILES_MAX = 160; // bitmaps of 1 MiB
const BAKE_MS = 5; // of a frame, for tiles; the rest is for the pen
const SPARE_MAX = 32;
const SETTLE_MS = 140; // after zooming, until tiles are baked in the new size

const whenIdle = window.requestIdleCallback ?? ((fn) => setTimeout(() => fn({ timeRemaining: () => 3 }), 30));
const cancelIdle = window.cancelIdleCallback ?? clearTimeout;

export class Stage {
  /** @layers: an element into which both canvases go. @over(ctx, camera): paints what is under way. */
  constructor(layers, { over, pictures = () => null, moved = () => {} }) {
    this.layers = layers;
    this.base = layers.appendChild(document.createElement("canvas"));
    this.live = layers.appendChild(document.createElement("canvas"));
    this.base.className = "wb-base";
    this.live.className = "wb-live";
    this.baseCtx = this.base.getContext("2d", { alpha: false });
    this.liveCtx = this.live.getContext("2d");
    this.camera = new Camera();
    this.places = new Places();
    // "x,y" of this.scale -> {x, y, canvas, ctx: what is shown or null, good: whether it is up to date, next: what is being baked, used}
    this.tiles = new Map();
    this.former = []; // tiles of another scale, shown until there are new ones
    this.scale = 0; // of the tiles
    this.lifted = new Set(); // elements that are being moved, which are not in the tiles
    this.over = over;
    this.pictures = pictures;
    this.moved = moved;
    this.dark = false;
    this.wanted = 0;
    this.frames = 0;
    this.baked = 0; // tiles, ever
    this.needBase = this.needLive = true;
    this.zoomedAt = 0;
    this.spare = [];
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(layers);
    this.watchRatio();
  }

  // The window went to a screen with other pixels, or the browser zoomed.
  watchRatio() {
    this.ratio = matchMedia(`(resolution: ${window.devicePixelRatio || 1}dppx)`);
    this.onRatio = () => {
      this.resize();
      this.watchRatio();
    };
    this.ratio.addEventListener("change", this.onRatio, { once: true });
  }

  close() {
    this.observer.disconnect();
    this.ratio.removeEventListener("change", this.onRatio);
    cancelAnimationFrame(this.wanted);
    cancelIdle(this.warming);
    clearTimeout(this.settling);
    this.wanted = -1;
  }

  /** Shows @board from now on. */
  show(board) {
    this.board = board;
    this.places = new Places();
    for (const element of board.elements) this.replace(element);
    this.forgetTiles();
    this.warmAt = 0;
    this.warm();
  }

  /** Outlines of strokes that were never in sight, while there is nothing else to do: they cost the most of a tile. */
  warm() {
    cancelIdle(this.warming);
    this.warming = whenIdle((idle) => {
      const { elements } = this.board;
      while (this.warmAt < elements.length && idle.timeRemaining() > 1) {
        const element = elements[this.warmAt++];
        const view = this.board.view(element);
        if (view) prepare(element, view);
      }
      if (this.warmAt < elements.length) this.warm();
    });
  }

  setDark(dark) {
    this.dark = dark;
    this.forgetTiles();
  }
  get colours() {
    return theme(this.dark);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.layers;
    const ratio = window.devicePixelRatio || 1;
    if (!width || !height) return;
    Object.assign(this.camera, { width, height, ratio });
    for (const canvas of [this.base, this.live]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    this.look();
    this.frame();
  }

  // ---- what changes ----

  /** @changed: elements that look different now. */
  update(changed) {
    if (this.board.rebuilt) {
      this.board.rebuilt = false;
      this.show(this.board);
      return;
    }
    const last = this.board.elements[this.board.elements.length - 1];
    for (const element of changed) {
      const before = this.places.remove(element);
      const box = this.replace(element);
      // the usual case: a new one, above all others
      if (!before && box && element === last && changed.size === 1) this.addToTiles(element, box);
      else {
        if (before) this.soil(before);
        if (box) this.soil(box);
      }
    }
    this.want(true);
  }

  replace(element) {
    const view = this.board.view(element);
    const box = view && roughBox(element, view);
    if (box) this.places.put(element, box);
    return box;
  }

  /** These are shown above, and not in the tiles; nothing if null. */
  lift(elements) {
    const before = this.lifted;
    this.lifted = new Set(elements ?? []);
    for (const element of [...before, ...this.lifted]) {
      const box = this.places.boxOf(element);
      if (box) this.soil(box);
    }
    this.want(true);
  }

  /** What lies within @box must be baked again. */
  soil(box) {
    for (const tile of this.tiles.values())
      if ((tile.good || tile.next) && meet(this.boxOfTile(tile.x, tile.y), box)) {
        tile.good = false;
        this.dropNext(tile);
      }
    this.needBase = true;
  }

  addToTiles(element, box) {
    for (const tile of this.tiles.values()) {
      if (!(tile.good || tile.next) || !meet(this.boxOfTile(tile.x, tile.y), box)) continue;
      if (tile.good) this.paintOn(tile.ctx, tile, element);
      tile.next?.list.push(element);
    }
    this.needBase = true;
  }

  dropNext(tile) {
    if (tile.next) this.spare.push(tile.next.canvas);
    tile.next = null;
  }

  forgetTiles() {
    for (const tile of this.tiles.values()) {
      this.dropNext(tile);
      if (tile.canvas) this.spare.push(tile.canvas);
    }
    for (const { canvas } of this.former) this.spare.push(canvas);
    this.spare.length = Math.min(this.spare.length, SPARE_MAX);
    this.tiles.clear();
    this.former = [];
    this.scale = 0;
    this.want(true);
  }

  /** A picture that was not there has come. */
  pictureCame(hash) {
    for (const element of this.board.elements)
      if (element.op.kind === IMAGE && element.op.hash === hash) {
        const box = this.places.boxOf(element);
        if (box) this.soil(box);
      }
    this.want(true);
  }

  // ---- frames ----

  /** A frame is wanted; @base: of the tiles too. */
  want(base = false) {
    this.needLive = true;
    this.needBase ||= base;
    if (!this.wanted) this.wanted = requestAnimationFrame(() => this.frame());
  }

  /** The camera has moved. */
  look(zoomed = false) {
    if (zoomed) {
      this.zoomedAt = performance.now();
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.want(true), SETTLE_MS + 10);
    }
    this.moved(this.camera);
    this.want(true);
  }

  frame() {
    if (this.wanted < 0) return;
    cancelAnimationFrame(this.wanted);
    this.wanted = 0;
    this.frames++;
    if (this.needBase && this.board) {
      this.needBase = false;
      this.paintBase();
    }
    if (this.needLive) {
      this.needLive = false;
      this.liveCtx.setTransform(1, 0, 0, 1, 0, 0);
      this.liveCtx.clearRect(0, 0, this.live.width, this.live.height);
      this.over(this.liveCtx, this.camera);
    }
  }

  boxOfTile(x, y) {
    const size = TILE / this.scale;
    return [x * size, y * size, (x + 1) * size, (y + 1) * size];
  }

  // Tiles are of the size that is looked at, unless it changes right now by less than a factor of two.
  chooseScale() {
    const { scale } = this.camera;
    if (scale === this.scale) return;
    const ratio = scale / this.scale;
    if (this.scale && ratio > 0.5 && ratio < 2 && performance.now() - this.zoomedAt < SETTLE_MS) return;
    for (const tile of this.former) this.spare.push(tile.canvas);
    for (const tile of this.tiles.values()) this.dropNext(tile);
    this.spare.length = Math.min(this.spare.length, SPARE_MAX);
    this.former = [...this.tiles.values()].filter((tile) => tile.canvas).map((tile) => ({ canvas: tile.canvas, box: this.boxOfTile(tile.x, tile.y) }));
    this.tiles = new Map();
    this.scale = scale;
  }

  paintBase() {
    this.chooseScale();
    const { camera } = this;
    const until = performance.now() + BAKE_MS;
    const size = TILE / this.scale;
    const [bx0, by0, bx1, by1] = camera.box();
    const x0 = Math.floor(bx0 / size), y0 = Math.floor(by0 / size), x1 = Math.floor(bx1 / size), y1 = Math.floor(by1 / size);
    const shown = [];
    let missing = 0;
    for (let y = y0; y <= y1; y++)
      for (let x = x0; x <= x1; x++) {
        const tile = this.tile(x, y);
        if (!tile.good && !this.bake(tile, until)) missing++;
        if (tile.canvas) shown.push(tile);
      }
    this.copy(shown, missing > 0);
    if (missing) this.want(true);
    else {
      for (const tile of this.former) this.spare.push(tile.canvas);
      this.former = [];
      this.bakeAround(x0, y0, x1, y1, until);
      this.trim();
    }
  }

  copy(shown, withFormer) {
    const { baseCtx: ctx, camera } = this;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.fillStyle = this.colours.paper;
    ctx.fillRect(0, 0, this.base.width, this.base.height);
    if (withFormer)
      for (const { canvas, box } of this.former)
        ctx.drawImage(canvas, box[0] * camera.scale + camera.dx, box[1] * camera.scale + camera.dy, (box[2] - box[0]) * camera.scale, (box[3] - box[1]) * camera.scale);
    const same = this.scale === camera.scale;
    for (const tile of shown) {
      tile.used = this.frames;
      if (same) ctx.drawImage(tile.canvas, tile.x * TILE + camera.dx, tile.y * TILE + camera.dy);
      else {
        const [tx0, ty0, tx1, ty1] = this.boxOfTile(tile.x, tile.y);
        ctx.drawImage(tile.canvas, tx0 * camera.scale + camera.dx, ty0 * camera.scale + camera.dy, (tx1 - tx0) * camera.scale, (ty1 - ty0) * camera.scale);
      }
    }
  }

  // What comes into sight next, as far as this frame has time.
  bakeAround(x0, y0, x1, y1, until) {
    for (let y = y0 - 1; y <= y1 + 1; y++)
      for (let x = x0 - 1; x <= x1 + 1; x++) {
        if (x >= x0 && x <= x1 && y >= y0 && y <= y1) continue;
        const tile = this.tile(x, y);
        if (tile.good || this.bake(tile, until)) continue;
        this.want(true);
        return;
      }
  }

  tile(x, y) {
    const key = `${x},${y}`;
    let tile = this.tiles.get(key);
    if (!tile) this.tiles.set(key, (tile = { x, y, canvas: null, ctx: null, good: false, next: null, used: this.frames }));
    return tile;
  }

  // Goes on with a tile until it is done or the frame has no more time; what was there is shown until then. Whether it is done.
  bake(tile, until) {
    if (!tile.next) {
      if (performance.now() >= until) return false;
      const canvas = this.spare.pop() ?? document.createElement("canvas");
      if (canvas.width !== TILE) canvas.width = canvas.height = TILE;
      const ctx = canvas.getContext("2d", { alpha: false });
      ctx.globalAlpha = 1;
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.fillStyle = this.colours.paper;
      ctx.fillRect(0, 0, TILE, TILE);
      tile.next = { canvas, ctx, at: 0, list: this.places.within(this.boxOfTile(tile.x, tile.y)) };
    }
    const { next } = tile;
    while (next.at < next.list.length) {
      if (performance.now() >= until) return false;
      const element = next.list[next.at++];
      if (!this.lifted.has(element)) this.paintOn(next.ctx, tile, element);
    }
    if (tile.canvas && this.spare.length < SPARE_MAX) this.spare.push(tile.canvas);
    Object.assign(tile, { canvas: next.canvas, ctx: next.ctx, good: true, next: null, used: this.frames });
    this.baked++;
    return true;
  }

  paintOn(ctx, tile, element) {
    const view = this.board.view(element);
    if (view) paint(ctx, element, view, { scale: this.scale, dx: -tile.x * TILE, dy: -tile.y * TILE }, this.colours, this.pictures);
  }

  trim() {
    if (this.tiles.size <= TILES_MAX) return;
    const old = [...this.tiles].sort(([, a], [, b]) => a.used - b.used).slice(0, this.tiles.size - TILES_MAX);
    for (const [key, tile] of old) {
      this.tiles.delete(key);
      this.dropNext(tile);
      if (tile.canvas && this.spare.length < SPARE_MAX) this.spare.push(tile.canvas);
    }
  }

  /** Whether everything in sight is baked as it is now. */
  get settled() {
    return !this.needBase && this.scale === this.camera.scale && !this.wanted;
  }
}
