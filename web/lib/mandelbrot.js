// What travels to and from mandelbrot.tile, and its colours: apps/mandelbrot/tile.h and palette.c in this
// language. The same shades give the same colours as a picture that kith-mandelbrot writes.

/** The argument of one tile. view: {re, im, span, width, height, iterations}; rect: {x, y, width, height} in its pixels. */
export function argument(view, rect) {
  const out = new DataView(new ArrayBuffer(64));
  out.setUint32(0, 1, true);
  out.setFloat64(8, view.re, true);
  out.setFloat64(16, view.im, true);
  out.setFloat64(24, view.span, true);
  [view.width, view.height, rect.x, rect.y, rect.width, rect.height, view.iterations, 0].forEach((value, i) => out.setUint32(32 + 4 * i, value, true));
  return out.buffer;
}

/** Shades of a reply, and the microseconds it took; throws if it is none. */
export function decode(data, width, height) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (data.length < 8 || view.getUint32(0, true) !== 1) throw new Error("What came back is no tile.");
  const shades = new Uint16Array(width * height);
  let at = 8;
  for (let y = 0; y < height; y++) {
    const row = y * width;
    let x = 0;
    const put = (difference) => {
      if (x >= width) throw new Error("A row of the tile is too long.");
      shades[row + x] = expected(shades, width, x, y) + difference;
      x++;
    };
    while (x < width) {
      if (at >= data.length) throw new Error("The tile is cut short.");
      const code = data[at++];
      if (code <= 80) {
        for (let n = code, i = 0; i < 4; i++, n = Math.trunc(n / 3)) put((n % 3) - 1);
      } else if (code <= 201) {
        const n = code - 81;
        put((n % 11) - 5);
        put(Math.trunc(n / 11) - 5);
      } else if (code <= 233) {
        put(((code - 202) << 8 | data[at++]) - 4096);
      } else if (code <= 249) {
        for (let n = ((code - 234) << 8 | data[at++]) + 8; n > 0; n--) put(0);
      } else if (code === 250) {
        if (x >= width) throw new Error("A row of the tile is too long.");
        shades[row + x++] = data[at] | data[at + 1] << 8;
        at += 2;
      } else {
        throw new Error("The tile has a code that means nothing.");
      }
    }
  }
  return { shades, us: view.getUint32(4, true) };
}

function expected(shades, width, x, y) {
  const at = y * width + x;
  if (x === 0) return y === 0 ? 0 : shades[at - width];
  if (y === 0) return shades[at - 1];
  return shades[at - 1] + shades[at - width] - shades[at - width - 1];
}

const ROUND = 6144;
const START = 4300;
const STOPS = [[0, 9, 12, 46], [0.16, 22, 58, 138], [0.34, 70, 158, 210], [0.48, 246, 248, 228], [0.62, 252, 184, 60], [0.76, 186, 66, 32], [0.89, 60, 14, 52]];

let palette = null;
/** 65,536 colours as 0xAABBGGRR, by shade. */
export function colours() {
  if (palette) return palette;
  const round = new Uint32Array(ROUND);
  for (let i = 0; i < ROUND; i++) round[i] = onRound(i / ROUND);
  palette = new Uint32Array(65536);
  palette[0] = 0xff000000;
  for (let shade = 1; shade < 65536; shade++) palette[shade] = round[shade < START ? 0 : (shade - START) % ROUND];
  return palette;
}

function onRound(at) {
  let i = STOPS.length - 1;
  while (STOPS[i][0] > at) i--;
  const n = STOPS.length;
  const [a, b, c, d] = [STOPS[(i + n - 1) % n], STOPS[i], STOPS[(i + 1) % n], STOPS[(i + 2) % n]];
  const end = (i + 1) % n ? c[0] : 1;
  const t = (at - b[0]) / (end - b[0]);
  let colour = 0xff000000;
  for (let k = 1; k <= 3; k++) {
    const m = (c[k] - a[k]) * 0.5;
    const o = (d[k] - b[k]) * 0.5;
    const value = ((2 * t ** 3 - 3 * t * t) + 1) * b[k] + ((t ** 3 - 2 * t * t) + t) * m + (3 * t * t - 2 * t ** 3) * c[k] + (t ** 3 - t * t) * o;
    colour |= (value < 2 ? 2 : value > 255 ? 255 : Math.trunc(Math.trunc(value * 2 + 1) / 2)) << (8 * (k - 1));
  }
  return colour >>> 0;
}

/** The colour of node number @n: hues a golden angle apart. */
export function nodeColour(n) {
  const hue = (200 + n * 587) % 1536;
  const rise = hue % 256;
  const levels = [48, 48 + Math.trunc(rise * 207 / 255), 255, 255 - Math.trunc(rise * 207 / 255)];
  return [[2, 1, 0], [3, 2, 0], [0, 2, 1], [0, 3, 2], [1, 0, 2], [2, 0, 3]][Math.trunc(hue / 256)].map((i) => levels[i]);
}
