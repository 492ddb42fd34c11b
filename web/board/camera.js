// Where one looks: the point of the board in the upper left corner, and how large a unit is.
export const ZOOM_MIN = 0.05, ZOOM_MAX = 16;

export class Camera {
  constructor() {
    this.x = 0;
    this.y = 0;
    this.zoom = 1;
    this.width = 1; // of the window, in CSS pixels
    this.height = 1;
    this.ratio = 1; // device pixels to one of those
  }
  get scale() {
    return this.zoom * this.ratio;
  }
  /** The corner, on whole device pixels, so that tiles are copied and never smeared. */
  get dx() {
    return -Math.round(this.x * this.scale);
  }
  get dy() {
    return -Math.round(this.y * this.scale);
  }
  toBoard(px, py) {
    return [this.x + px / this.zoom, this.y + py / this.zoom];
  }
  toScreen(x, y) {
    return [(x - this.x) * this.zoom, (y - this.y) * this.zoom];
  }
  box() {
    return [this.x, this.y, this.x + this.width / this.zoom, this.y + this.height / this.zoom];
  }
  pan(px, py) {
    this.x -= px / this.zoom;
    this.y -= py / this.zoom;
  }
  /** Zooms so that what is under (px, py) stays there. */
  zoomAt(px, py, zoom) {
    const [x, y] = this.toBoard(px, py);
    this.zoom = Math.max(ZOOM_MIN, Math.min(ZOOM_MAX, zoom));
    this.x = x - px / this.zoom;
    this.y = y - py / this.zoom;
  }
  /** All of @box, in the middle, with air around it. */
  fit(box, zoomMax = 1) {
    const w = Math.max(1, box[2] - box[0]), h = Math.max(1, box[3] - box[1]);
    this.zoom = Math.max(ZOOM_MIN, Math.min(zoomMax, (this.width - 96) / w, (this.height - 160) / h));
    this.x = (box[0] + box[2]) / 2 - this.width / this.zoom / 2;
    this.y = (box[1] + box[3]) / 2 - this.height / this.zoom / 2;
  }
}
