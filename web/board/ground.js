// What is finished, in bitmaps of a fixed size (tiles), of one scale. Each is an element of the page, all of them in one: moving the
// board moves that one, which paints nothing and copies nothing; the browser puts the bitmaps where they belong. They are shown by a
// "bitmaprenderer": what a 2D context shows Chromium copies in every frame without a graphics processor, even if nothing was painted.
export const TILE = 512; // device pixels
const TILES_MAX = 160; // bitmaps of 1 MiB
const SHEETS_MAX = 8;
const FLUSH_POINTS = 500;
const FAR_TILES = 32; // from where places within the element count; a browser has few digits for them

// What tiles are painted on, one after the other.
const sheets = [];
const giveSheet = (ctx) => sheets.length < SHEETS_MAX && sheets.push(ctx);
function takeSheet() {
  const ctx = sheets.pop() ?? new OffscreenCanvas(TILE, TILE).getContext("2d", { alpha: false, willReadFrequently: true });
  ctx.globalAlpha = 1;
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  return ctx;
}

/** Work of a frame: so many points, and not beyond a time. */
export class Budget {
  constructor(points, ms) {
    this.points = points;
    this.until = performance.now() + ms;
  }
  get over() {
    return this.points <= 0 || performance.now() >= this.until;
  }
}

/** About how much work it is to paint @op, in points of a stroke. */
const costOf = (op) => 8 + (op.points ? op.points.length / 2 : (op.text?.length ?? 56));

export class Ground {
  /** @stage: has what is to be painted. */
  constructor(stage, scale) {
    Object.assign(this, { stage, scale });
    this.element = document.createElement("div");
    this.element.className = "wb-ground";
    // "x,y" -> {x, y, canvas: what is shown or null, good: whether it is up to date, next: what is being baked, used}
    this.tiles = new Map();
    this.from = { x: 0, y: 0 }; // the tile in the element's corner
    this.whole = false; // all that was in sight in the last frame is good
  }

  close() {
    for (const tile of this.tiles.values()) this.drop(tile);
    this.tiles.clear();
    this.element.remove();
  }

  boxOf({ x, y }) {
    const size = TILE / this.scale;
    return [x * size, y * size, (x + 1) * size, (y + 1) * size];
  }
  /** Columns and rows of the tiles in which @box is: [x0, y0, x1, y1]. */
  rangeOf(box) {
    const size = TILE / this.scale;
    return box.map((edge) => Math.floor(edge / size));
  }

  tile(x, y) {
    const key = `${x},${y}`;
    let tile = this.tiles.get(key);
    if (!tile) this.tiles.set(key, (tile = { x, y, canvas: null, good: false, next: null, used: 0 }));
    tile.used = this.stage.frames;
    return tile;
  }

  // ---- in the page ----

  /**
   * Moves all of it to where @camera looks: on whole device pixels if it has the camera's scale, so that nothing is smeared. Within the element a
   * pixel is one of a tile, whatever the screen's are: places that are no whole numbers are rounded when they are laid out.
   */
  move(camera) {
    const k = camera.scale / this.scale, { ratio } = camera;
    this.element.style.transform = `matrix(${k / ratio}, 0, 0, ${k / ratio}, ${(this.from.x * TILE * k + camera.dx) / ratio}, ${(this.from.y * TILE * k + camera.dy) / ratio})`;
  }

  /** Tiles of these columns and rows are in the page, as far as they are there, and no others. */
  show([x0, y0, x1, y1]) {
    if (Math.max(Math.abs(x0 - this.from.x), Math.abs(y0 - this.from.y)) > FAR_TILES) {
      this.from = { x: x0, y: y0 };
      for (const tile of this.tiles.values()) if (tile.canvas?.parentNode) this.put(tile);
    }
    for (const tile of this.tiles.values()) {
      if (!tile.canvas) continue;
      const wanted = tile.x >= x0 && tile.x <= x1 && tile.y >= y0 && tile.y <= y1;
      if (wanted === Boolean(tile.canvas.parentNode)) continue;
      if (wanted) this.put(tile);
      else tile.canvas.remove();
    }
  }

  put(tile) {
    tile.canvas.style.left = `${(tile.x - this.from.x) * TILE}px`;
    tile.canvas.style.top = `${(tile.y - this.from.y) * TILE}px`;
    if (!tile.canvas.parentNode) this.element.append(tile.canvas);
  }

  // ---- what changes ----

  /** What lies within @box must be baked again. */
  soil(box, meet) {
    for (const tile of this.tiles.values())
      if ((tile.good || tile.next) && meet(this.boxOf(tile), box)) {
        tile.good = false;
        this.dropNext(tile);
      }
  }

  /** @element, which is above all others, is painted onto the tiles that it touches. */
  add(element, box, meet) {
    for (const tile of this.tiles.values()) {
      if (!(tile.good || tile.next) || !meet(this.boxOf(tile), box)) continue;
      tile.next?.list.push(element);
      if (!tile.good) continue;
      const sheet = takeSheet();
      sheet.drawImage(tile.canvas, 0, 0);
      this.paintOn(sheet, tile, element);
      this.hand(tile, sheet);
    }
  }

  // ---- baking ----

  /** Goes on with a tile until it is done or @budget is spent; what was there is shown until then. Whether it is done. */
  bake(tile, budget) {
    if (tile.good) return true;
    if (!tile.next) {
      if (budget.over) return false;
      tile.next = this.begin(tile);
    }
    const { next } = tile;
    let points = 0;
    while (next.at < next.list.length) {
      if (budget.over) return false;
      const element = next.list[next.at++];
      if (this.stage.lifted.has(element)) continue;
      this.paintOn(next.ctx, tile, element);
      const cost = costOf(element.op);
      budget.points -= cost;
      this.stage.painted += cost;
      if ((points += cost) < FLUSH_POINTS && budget.points > 0) continue;
      // until it is asked for a pixel a browser only notes what is to be painted, and the clock would see nothing of the work
      next.ctx.getImageData(0, 0, 1, 1);
      points = 0;
    }
    this.finish(tile);
    return true;
  }

  begin(tile) {
    const ctx = takeSheet();
    ctx.fillStyle = this.stage.colours.paper;
    ctx.fillRect(0, 0, TILE, TILE);
    return { ctx, at: 0, list: this.stage.places.within(this.boxOf(tile)) };
  }

  finish(tile) {
    this.hand(tile, tile.next.ctx);
    Object.assign(tile, { good: true, next: null });
    this.stage.baked++;
  }

  /** What is on @sheet is what @tile shows. */
  hand(tile, sheet) {
    if (!tile.canvas) {
      tile.canvas = document.createElement("canvas");
      tile.canvas.width = tile.canvas.height = TILE;
    }
    const bitmap = sheet.canvas.transferToImageBitmap();
    tile.canvas.getContext("bitmaprenderer", { alpha: false }).transferFromImageBitmap(bitmap);
    giveSheet(sheet);
  }

  paintOn(ctx, tile, element) {
    this.stage.paintOn(ctx, element, { scale: this.scale, dx: -tile.x * TILE, dy: -tile.y * TILE });
  }

  // ---- what nobody needs any more ----

  dropNext(tile) {
    if (tile.next) giveSheet(tile.next.ctx);
    tile.next = null;
  }
  drop(tile) {
    this.dropNext(tile);
    tile.canvas?.remove();
    tile.canvas?.getContext("bitmaprenderer").transferFromImageBitmap(null); // not when somebody collects it
    tile.canvas = null;
  }

  trim() {
    if (this.tiles.size <= TILES_MAX) return;
    const old = [...this.tiles].filter(([, tile]) => tile.used < this.stage.frames).sort(([, a], [, b]) => a.used - b.used).slice(0, this.tiles.size - TILES_MAX);
    for (const [key, tile] of old) {
      this.tiles.delete(key);
      this.drop(tile);
    }
  }
}
