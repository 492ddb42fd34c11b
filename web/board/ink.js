// The outline of a stroke of a pen: perfect-freehand with our settings. apps/whiteboard/ink.c does the same in C.
import { getStroke } from "../vendor/perfect-freehand/perfect-freehand.min.js";
import { HIGHLIGHT, UNIT } from "./ops.js";

/** Points around the stroke [[x, y], ...] in units. @last: it is finished, so that its end is where the pen was. */
export function outline({ kind, points, pressures }, width, last = true) {
  const input = [];
  for (let i = 0; i < points.length; i += 2) input.push([points[i] / UNIT, points[i + 1] / UNIT, pressures ? pressures[i / 2] / 255 : 0.5]);
  const flat = kind === HIGHLIGHT;
  return getStroke(input, {
    size: flat ? width / UNIT : (width / UNIT) * 1.45, thinning: flat ? 0 : 0.5, smoothing: 0.5, streamline: 0.5,
    simulatePressure: !pressures && !flat, last,
  });
}

/** Walks the smooth line through the middles between points: to(x, y), then curve(cx, cy, x, y) for each. */
export function smooth(around, to, curve) {
  const n = around.length;
  if (n < 2) return;
  const [fx, fy] = around[0], [lx, ly] = around[n - 1];
  to((lx + fx) / 2, (ly + fy) / 2);
  for (let i = 0; i < n; i++) {
    const [x, y] = around[i], [nx, ny] = around[(i + 1) % n];
    curve(x, y, (x + nx) / 2, (y + ny) / 2);
  }
}
