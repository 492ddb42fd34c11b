// The board on the screen. What is finished is baked into bitmaps (ground.js), so that moving the board moves bitmaps and paints
// nothing; a new element is painted onto the tiles it touches, and only what changed beneath others is baked again. What is under
// way (the stroke of a pen, a selection, others' strokes) is on a canvas above, painted anew each frame; it is not there if it is empty.
import { Camera } from "./camera.js";
import { Budget, Ground } from "./ground.js";
import { paint, prepare } from "./paint.js";
import { theme } from "./palette.js";
import { Places } from "./places.js";
import { IMAGE } from "./ops.js";
import { meet, roughBox } from "./shapes.js";

// Of a frame, for tiles, in points and milliseconds: at rest, while something is under way, while the board moves, and then for what is
// not in sight yet, which matters less than the next frame.
const BAKE = { calm: [40000, 12], drawing: [12000, 5], moving: [6000, 4], ahead: [2000, 2] };
const CALM_MS = 100;
const SETTLE_MS = 140; // after zooming, until tiles are baked in the new size

const whenIdle = window.requestIdleCallback ?? ((fn) => setTimeout(() => fn({ timeRemaining: () => 3 }), 30));
const cancelIdle = window.cancelIdleCallback ?? clearTimeout;

export class Stage {
  /** @layers: an element into which the bitmaps go. @over(ctx, camera): paints what is under way; whether there was something. */
  constructor(layers, { over, pictures = () => null, moved = () => {} }) {
    this.layers = layers;
    this.live = layers.appendChild(document.createElement("canvas"));
    this.live.className = "wb-live";
    this.liveCtx = this.live.getContext("2d");
    this.camera = new Camera();
    this.places = new Places();
    this.ground = null;
    this.former = null; // the ground of another scale, shown below until there is all of the new one
    this.lifted = new Set(); // elements that are being moved, which are not in the tiles
    this.over = over;
    this.pictures = pictures;
    this.moved = moved;
    this.dark = false;
    this.wanted = 0;
    this.frames = 0;
    this.baked = 0; // tiles, ever
    this.painted = 0; // for them, in points, ever
    this.needBase = this.needLive = true;
    this.inked = false; // there is something on the canvas of what is under way
    this.zoomedAt = this.movedAt = 0;
    this.heading = { x: 0, y: 0, dx: 0, dy: 0 }; // where the camera was, and where it goes
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
    this.layers.style.background = this.colours.paper;
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
    this.live.width = Math.round(width * ratio); // which empties it
    this.live.height = Math.round(height * ratio);
    this.live.style.width = `${width}px`;
    this.live.style.height = `${height}px`;
    this.inked = false;
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
    this.ground?.soil(box, meet);
    this.needBase = true;
  }

  addToTiles(element, box) {
    this.ground?.add(element, box, meet);
    this.needBase = true;
  }

  forgetTiles() {
    this.ground?.close();
    this.former?.close();
    this.ground = this.former = null;
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
    this.movedAt = performance.now();
    this.moved(this.camera);
    this.want(true);
  }

  frame() {
    if (this.wanted < 0) return;
    cancelAnimationFrame(this.wanted);
    this.wanted = 0;
    this.frames++;
    if (this.needLive) {
      this.needLive = false;
      this.paintLive();
    }
    if (this.needBase && this.board) {
      this.needBase = false;
      this.paintGround();
    }
  }

  // An empty canvas is not in the page: it would be copied and blended over everything in each frame.
  paintLive() {
    const { liveCtx: ctx } = this;
    if (this.inked) {
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, this.live.width, this.live.height);
    }
    this.inked = this.over(ctx, this.camera);
    const visibility = this.inked ? "visible" : "hidden";
    if (this.live.style.visibility !== visibility) this.live.style.visibility = visibility;
  }

  // Tiles are of the size that is looked at, unless it changes right now by less than a factor of two.
  chooseScale() {
    const { scale } = this.camera;
    const { ground } = this;
    if (ground?.scale === scale) return;
    const change = ground ? scale / ground.scale : 0;
    if (change > 0.5 && change < 2 && performance.now() - this.zoomedAt < SETTLE_MS) return;
    // of two that are not whole the one before them shows more
    if (this.former && !ground.whole) ground.close();
    else {
      this.former?.close();
      this.former = ground;
    }
    this.ground = new Ground(this, scale);
    this.layers.insertBefore(this.ground.element, this.live);
  }

  paintGround() {
    this.chooseScale();
    const { camera, ground, former } = this;
    const sight = ground.rangeOf(camera.box());
    const [x0, y0, x1, y1] = sight;
    const moving = performance.now() - this.movedAt < CALM_MS;
    const budget = new Budget(...(moving ? BAKE.moving : this.inked ? BAKE.drawing : BAKE.calm));
    let missing = 0;
    for (let y = y0; y <= y1; y++) for (let x = x0; x <= x1; x++) if (!ground.bake(ground.tile(x, y), budget)) missing++;
    ground.whole = !missing;
    if (former && ground.whole) {
      former.close();
      this.former = null;
    }
    if (!ground.whole || !this.bakeAround(sight, moving || this.inked ? new Budget(...BAKE.ahead) : budget)) this.want(true);
    ground.show([x0 - 1, y0 - 1, x1 + 1, y1 + 1]);
    ground.move(camera);
    this.former?.show(this.former.rangeOf(camera.box()));
    this.former?.move(camera);
    ground.trim();
  }

  // What comes into sight next, as far as this frame has time: first of all where the board moves. Whether all of it is there.
  bakeAround([x0, y0, x1, y1], budget) {
    const { ground, camera, heading } = this;
    if (camera.dx !== heading.x || camera.dy !== heading.y) Object.assign(heading, { x: camera.dx, y: camera.dy, dx: heading.x - camera.dx, dy: heading.y - camera.dy });
    const ring = [];
    for (let y = y0 - 1; y <= y1 + 1; y++)
      for (let x = x0 - 1; x <= x1 + 1; x++) {
        const side = x < x0 ? -1 : x > x1 ? 1 : 0, above = y < y0 ? -1 : y > y1 ? 1 : 0;
        const tile = (side || above) && ground.tile(x, y);
        if (tile && !tile.good) ring.push({ tile, ahead: side * heading.dx + above * heading.dy });
      }
    ring.sort((a, b) => b.ahead - a.ahead);
    return ring.every(({ tile }) => ground.bake(tile, budget));
  }

  paintOn(ctx, element, frame) {
    const view = this.board.view(element);
    if (view) paint(ctx, element, view, frame, this.colours, this.pictures);
  }

  /** Whether everything in sight is baked as it is now. */
  get settled() {
    return !this.needBase && this.ground?.scale === this.camera.scale && !this.wanted;
  }
}
