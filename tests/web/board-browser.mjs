// The whiteboard in a browser: web/ served with the policy that a node gives its pages, and pages that draw on it.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";

const root = fileURLToPath(new URL("../../web/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml" };

/** The policy of src/http/assets.c, so that what it forbids fails here as well. */
function policy() {
  const source = readFileSync(new URL("../../src/http/assets.c", import.meta.url), "utf8");
  const define = source.match(/#define POLICY\s*((?:\\?\s*"[^"]*"\s*)+)/)[1];
  return [...define.matchAll(/"([^"]*)"/g)].map((match) => match[1]).join("");
}

/** Serves web/ at a port of its own: {url, close()}. */
export async function serve() {
  const headers = { "Content-Security-Policy": policy(), "X-Content-Type-Options": "nosniff" };
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(request.url.split("?")[0]));
    try {
      const body = readFileSync(join(root, path));
      response.writeHead(200, { ...headers, "Content-Type": TYPES[extname(path)] ?? "application/octet-stream" });
      response.end(body);
    } catch {
      response.writeHead(404, headers);
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

export { launch };

/** A page on board @name (the list, if there is none); what goes wrong in it is in page.troubles. */
export async function open(context, server, name = "") {
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && page.troubles.push(message.text()));
  page.setDefaultTimeout(60000);
  await page.goto(`${server.url}/board/index.html?browser#${name}`);
  if (name) await page.waitForFunction(() => window.whiteboard?.session.author && window.whiteboard.stage.frames > 0);
  else await page.waitForSelector(".wb-list .wb-card, .wb-list .wb-quiet:not([role=status])");
  return page;
}

/** Draws through @points [[x, y], ...] of the window with the mouse. */
export async function drag(page, points, { steps = points.length > 3 ? 1 : 4 } = {}) {
  await page.mouse.move(...points[0]);
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...point, { steps });
  await page.mouse.up();
}

/** Until everything in sight is painted, and nothing waits to be sent. */
export const calm = (page) => page.waitForFunction(() => window.whiteboard.stage.settled && window.whiteboard.session.outbox.length === 0);

// In the page: what is finished as it is shown, the tiles where the page has them, as pixels of [x, y, w, h] (all, if there is none).
const painted = (part) => {
  const { layers, camera } = window.whiteboard.stage;
  const [x, y, w, h] = part ?? [0, 0, Math.round(camera.width * camera.ratio), Math.round(camera.height * camera.ratio)];
  const canvas = new OffscreenCanvas(w, h);
  const ctx = canvas.getContext("2d", { alpha: false });
  ctx.fillStyle = layers.style.background;
  ctx.fillRect(0, 0, w, h);
  const area = layers.getBoundingClientRect();
  for (const tile of layers.querySelectorAll(".wb-ground canvas")) {
    const box = tile.getBoundingClientRect();
    ctx.drawImage(tile, Math.round((box.left - area.left) * camera.ratio) - x, Math.round((box.top - area.top) * camera.ratio) - y);
  }
  return ctx.getImageData(0, 0, w, h).data;
};

const summed = (data) => {
  let hash = 0, inked = 0;
  for (let i = 0; i < data.length; i += 4) {
    hash = (Math.imul(hash, 31) + ((data[i] << 16) | (data[i + 1] << 8) | data[i + 2])) | 0;
    if (data[i] !== data[0] || data[i + 1] !== data[1] || data[i + 2] !== data[2]) inked++;
  }
  return { hash, inked };
};

/** What is painted of what is finished: its pixels as hash, and how many are not paper. */
export const pixels = (page) => page.evaluate(`(${summed})((${painted})())`);

/** Where there is ink in @part [x, y, w, h] of the window: of what is finished, or of what is under way. */
export const inkIn = (page, part, { underWay = false } = {}) => page.evaluate(`((data) => {
  const ink = [];
  for (let i = 0; i < data.length; i += 4) ink.push(${underWay} ? data[i + 3] > 200 : data[i] + data[i + 1] + data[i + 2] < 500);
  return ink;
})(${underWay} ? window.whiteboard.stage.liveCtx.getImageData(...${JSON.stringify(part)}).data : (${painted})(${JSON.stringify(part)}))`);

/** Of @part [x, y, w, h] of the window, in CSS pixels: how many device pixels the screen shows otherwise than they are painted, and how many have ink. */
export async function seen(page, [x, y, width, height]) {
  const png = (await page.screenshot({ clip: { x, y, width, height } })).toString("base64");
  return page.evaluate(`(async (png) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0))], { type: "image/png" }));
    const ctx = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    ctx.drawImage(bitmap, 0, 0);
    const { ratio } = window.whiteboard.stage.camera;
    const screen = ctx.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const tiles = (${painted})([${x} * ratio, ${y} * ratio, bitmap.width, bitmap.height]);
    let shown = 0, there = 0;
    for (let i = 0; i < tiles.length; i += 4) {
      if (Math.max(Math.abs(screen[i] - tiles[i]), Math.abs(screen[i + 1] - tiles[i + 1]), Math.abs(screen[i + 2] - tiles[i + 2])) > 1) shown++;
      if (tiles[i] + tiles[i + 1] + tiles[i + 2] < 500) there++;
    }
    return { shown, there };
  })("${png}")`);
}

/** @n strokes over some screens, always the same, @away to the right. Milliseconds until they are on the board, and not painted yet. */
export const scribble = (page, n, away = 0) => page.evaluate(async ([count, right]) => {
  const { STROKE } = await import("/board/ops.js");
  const { session, stage } = window.whiteboard;
  const began = performance.now();
  let seed = 7;
  const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648);
  const ops = [];
  for (let i = 0; i < count; i++) {
    const points = [];
    let x = right + random() * 4200 - 600, y = random() * 2600 - 400, turn = random() * 6;
    for (let k = 0; k < 60; k++) {
      turn += (random() - 0.5) * 0.9;
      x += Math.cos(turn) * 3;
      y += Math.sin(turn) * 3;
      points.push(Math.round(x * 16), Math.round(y * 16));
    }
    ops.push({ writer: "f".repeat(32), counter: right + i + 1, clock: 1e15 + i, kind: STROKE, joined: false, colour: i % 9, width: 48, points: Int32Array.from(points), pressures: null });
  }
  stage.update(session.board.applyAll(ops));
  return performance.now() - began;
}, [n, away]);

/** The board as text, to be compared. */
export const dumpOf = (page) => page.evaluate(async () => (await import("/board/merge.js")).dump(window.whiteboard.session.board));

/** What the files of tests of the whiteboard share: a server, a browser, and pages that are closed after each case and had no trouble. */
export function bench({ before, after, afterEach }) {
  const it = { server: null, browser: null, context: null, opened: [], boards: 0 };
  before(async () => {
    it.server = await serve();
    it.browser = await launch();
  }, { timeout: 120000 });
  after(async () => {
    await it.browser?.close();
    it.server?.close();
  });
  afterEach(async () => {
    const troubles = it.opened.flatMap((page) => page.troubles);
    for (const page of it.opened) await page.close();
    it.opened = [];
    await it.context?.close();
    it.context = null;
    if (troubles.length) throw new Error(`in the console: ${troubles.join("; ")}`);
  });
  /** @n pages on one new board of one browser. */
  it.pages = async (n = 1, options = {}) => {
    it.context ??= await it.browser.newContext({ viewport: { width: 1100, height: 720 }, ...options });
    const name = `test-${++it.boards}`;
    for (let i = 0; i < n; i++) it.opened.push(await open(it.context, it.server, name));
    return it.opened;
  };
  /** One more page, on board @name, or the list. */
  it.more = async (name = "") => {
    it.context ??= await it.browser.newContext({ viewport: { width: 1100, height: 720 } });
    const page = await open(it.context, it.server, name);
    it.opened.push(page);
    return page;
  };
  return it;
}

export const kinds = (page) => page.evaluate(() => window.whiteboard.session.board.shown().map((element) => element.op.kind));
export const shown = (page, n) => page.waitForFunction((count) => window.whiteboard.session.board.shown().length === count, n);
export const wave = (x, y, n = 16) => Array.from({ length: n }, (_, i) => [x + 12 * i, y + 40 * Math.sin(i / 2)]);
