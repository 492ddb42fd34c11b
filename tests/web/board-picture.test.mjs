// The picture that `kith board export` makes beside the one of the page: the same logs, the same images, compared pixel by pixel.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Author } from "../../web/board/author.js";
import { encodeLog } from "../../web/board/log.js";
import { Board } from "../../web/board/merge.js";
import * as ops from "../../web/board/ops.js";
import { toSvg } from "../../web/board/svg.js";
import { launch, serve } from "./board-browser.mjs";
import { chance, history, writerHex } from "./board-random.mjs";

// Of 255, mean over all channels: of the whole picture, and of those pixels that are not paper in one of the two. Edges are smoothed by two renderers, and
// the browser puts level lines of letters on whole pixels, which counts where little else is drawn.
const DIFFERENCE_MAX = 0.3, INK_DIFFERENCE_MAX = 2, LETTERS_DIFFERENCE_MAX = 6;

let server, browser, page;
before(async () => {
  server = await serve();
  browser = await launch();
  page = await browser.newPage();
  await page.goto(`${server.url}/board/index.html`);
}, { timeout: 120000 });
after(async () => {
  await browser?.close();
  server?.close();
});

/** The files of a board as kith-board takes them. */
function bundle(logs, images = []) {
  const parts = [Buffer.from("kith-board/1 picture\n")];
  logs.forEach((bytes, i) => parts.push(Buffer.from(`log ${bytes.length} log-${i}\n`), Buffer.from(bytes)));
  for (const { hash, bytes } of images) parts.push(Buffer.from(`image ${bytes.length} ${hash}\n`), Buffer.from(bytes));
  return Buffer.concat(parts);
}

function kithBoard(args, input) {
  const { status, stdout, stderr } = spawnSync(join(process.env.KITH_BUILD ?? "build", "kith-board"), args, { input, maxBuffer: 1 << 28 });
  return { status, out: stdout, said: stderr.toString() };
}

const logsOf = (all) => [...new Set(all.map((op) => op.writer))].map((writer) => encodeLog({ board: "picture", writer, name: "x" }, all.filter((op) => op.writer === writer)));

/** Mean difference of the page's picture and of @png, both with @images. */
const compare = (logs, images, png, scale) => page.evaluate(async ([logs64, files, png64, pixelsAUnit]) => {
  const unpack = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const { canvasOf } = await import("/board/export.js");
  const { decodeLog } = await import("/board/log.js");
  const { Board: PageBoard } = await import("/board/merge.js");
  const board = new PageBoard();
  for (const log of logs64) board.applyAll(decodeLog(unpack(log)).ops);
  const byHash = new Map(files.map(({ hash, type, bytes }) => [hash, new Blob([unpack(bytes)], { type })]));
  const getImage = async (hash) => byHash.get(hash) ?? Promise.reject(new Error("it is not there"));
  const ours = await canvasOf(board, board.shown(), { scale: pixelsAUnit, getImage });
  const theirs = await createImageBitmap(new Blob([unpack(png64)], { type: "image/png" }));
  const said = { ours: [ours.width, ours.height], theirs: [theirs.width, theirs.height], inked: 0, all: 0, sum: 0 };
  if (String(said.ours) !== String(said.theirs)) return said;
  const canvas = new OffscreenCanvas(ours.width, ours.height);
  const other = canvas.getContext("2d", { alpha: false });
  other.drawImage(theirs, 0, 0);
  const a = ours.getContext("2d").getImageData(0, 0, ours.width, ours.height).data, b = other.getImageData(0, 0, ours.width, ours.height).data;
  for (let i = 0; i < a.length; i += 4) {
    const apart = (Math.abs(a[i] - b[i]) + Math.abs(a[i + 1] - b[i + 1]) + Math.abs(a[i + 2] - b[i + 2])) / 3;
    said.sum += apart;
    said.all++;
    if (Math.min(a[i], a[i + 1], a[i + 2], b[i], b[i + 1], b[i + 2]) < 255) said.inked++;
  }
  return { ...said, mean: said.sum / said.all, inkedMean: said.sum / Math.max(1, said.inked) };
}, [logs.map((bytes) => Buffer.from(bytes).toString("base64")), images.map((image) => ({ ...image, bytes: Buffer.from(image.bytes).toString("base64") })), png.toString("base64"), scale]);

function isThePageS(said, what, inkMax = INK_DIFFERENCE_MAX) {
  assert.deepEqual(said.theirs, said.ours, what);
  assert.ok(said.inked > 1000, what);
  assert.ok(said.mean <= DIFFERENCE_MAX && said.inkedMean <= inkMax, `${what}: ${said.mean.toFixed(3)} of 255 apart, ${said.inkedMean.toFixed(3)} where there is ink`);
}

/** A picture of four colours in each type, as a camera that was held upright would store it. */
const madeImages = () => page.evaluate(async () => {
  const canvas = new OffscreenCanvas(60, 40);
  const ctx = canvas.getContext("2d");
  ["#c02020", "#20a040", "#2040c0", "#e0c020"].forEach((colour, i) => {
    ctx.fillStyle = colour;
    ctx.fillRect(30 * (i % 2), 20 * Math.floor(i / 2), 30, 20);
  });
  const files = [];
  for (const type of ["image/png", "image/jpeg", "image/webp"]) {
    const bytes = new Uint8Array(await (await canvas.convertToBlob({ type, quality: 1 })).arrayBuffer());
    files.push({ type, bytes: [...bytes] });
  }
  return files;
});

/** A JPEG with a note that it is to be turned. */
function turned(jpeg, way) {
  const exif = [0xff, 0xe1, 0, 34, ...Buffer.from("Exif\0\0"), ...Buffer.from("MM\0*"), 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, way, 0, 0, 0, 0, 0, 0];
  return [...jpeg.slice(0, 2), ...exif, ...jpeg.slice(2)];
}

const canPng = () => {
  const { said } = kithBoard(["png"], bundle([]));
  return !said.includes("built without");
};

async function everything() {
  const author = new Author(new Board(), writerHex(1));
  const made = [];
  const make = (kind, fields) => made.push(author.make(kind, fields).op);
  const wave = (n, x, y) => Int32Array.from({ length: 2 * n }, (_, i) => (i % 2 ? y + Math.round(900 * Math.sin(i / 7)) : x + 60 * i));
  make(ops.STROKE, { colour: 7, width: 64, points: wave(80, 0, 0), pressures: Uint8Array.from({ length: 80 }, (_, i) => 40 + 2 * i) });
  make(ops.STROKE, { colour: 0, width: 112, points: wave(60, 0, 2400), pressures: null });
  make(ops.RECT, { colour: 5, width: 64, fill: 1, x: 0, y: 4800, w: 4000, h: 2400 });
  make(ops.HIGHLIGHT, { colour: 4, width: 512, points: wave(50, -400, 5800), pressures: null });
  make(ops.HIGHLIGHT, { colour: 2, width: 320, points: Int32Array.from([0, 5200, 4800, 6000, 600, 6600]), pressures: null });
  make(ops.ELLIPSE, { colour: 8, width: 112, fill: 0, x: 5000, y: 4800, w: 3200, h: -1600 });
  make(ops.ELLIPSE, { colour: 3, width: 32, fill: 2, x: 9000, y: 4800, w: 1600, h: 3200 });
  make(ops.LINE, { colour: 6, width: 192, fill: 0, x: 12000, y: 0, w: -2400, h: 3200 });
  make(ops.ARROW, { colour: 2, width: 64, fill: 0, x: 12600, y: 0, w: 1600, h: 3200 });
  make(ops.TEXT, { colour: 0, size: 384, x: 0, y: 9000, w: 6000, h: 1000, text: "Quick brown fox\njumps over: ÄÖ (fi) 1,234" });
  make(ops.STICKY, { colour: 4, size: 320, x: 7000, y: 9000, w: 3200, h: 3200, text: "a note\u2028that was broken\n\nthird" });
  make(ops.STICKY, { colour: 9, size: 256, x: 11000, y: 9000, w: 3200, h: 3200, text: "" });
  const plain = await madeImages();
  const files = [...plain, { type: "image/jpeg", bytes: turned(plain[1].bytes, 6) }, { type: "image/jpeg", bytes: turned(plain[1].bytes, 3) }];
  const images = files.map((file, i) => ({ ...file, hash: `${i}`.repeat(64) }));
  images.forEach(({ hash, type }, i) => make(ops.IMAGE, { x: 3000 * i, y: 13000, w: i === 3 ? 1600 : 2400, h: i === 3 ? 2400 : 1600, type: ops.IMAGE_TYPES.indexOf(type), hash }));
  make(ops.IMAGE, { x: 15000, y: 13000, w: 900, h: 900, type: 0, hash: "9".repeat(64) });
  const all = made.map((op) => [op.writer, op.counter]);
  const move = (targets, matrix) => make(ops.TRANSFORM, { targets: ops.idSet(targets), ...matrix });
  move([all[2], all[10], all[12]], { a: 60000, b: 20000, c: -20000, d: 60000, e: 900, f: -400 });
  move([all[9]], { a: 98304, b: 0, c: 16000, d: 65536, e: 0, f: 0 });
  make(ops.STYLE, { targets: ops.idSet([all[8]]), colour: 1, width: 160 });
  return { logs: logsOf(made), images };
}

test("every kind of element, in both", async (t) => {
  if (!canPng()) return t.skip("kith-board was built without Pango");
  const { logs, images } = await everything();
  for (const scale of [1, 2]) {
    const { status, out, said } = kithBoard(["png", "--scale", String(scale)], bundle(logs, images));
    assert.equal(status, 8, said); // one image is not there
    assert.match(said, /1 images are not there/);
    const result = await compare(logs, images, out, scale);
    t.diagnostic(`scale ${scale}: mean ${result.mean.toFixed(3)}, of ink ${result.inkedMean.toFixed(3)} of 255`);
    isThePageS(result, `scale ${scale}`);
  }
  // and what is not the same is told apart
  const bare = kithBoard(["png"], bundle(logs));
  await assert.rejects(async () => isThePageS(await compare(logs, images, bare.out, 2), "without its images"), /apart/);
});

test("boards that are made up, as they are and as they were at a moment", async (t) => {
  if (!canPng()) return t.skip("kith-board was built without Pango");
  let compared = 0;
  for (let seed = 1; compared < 3; seed++) {
    const all = history(seed, { writers: 3, n: 140 });
    const clocks = all.map((op) => op.clock).sort((a, b) => a - b);
    const at = seed % 2 ? clocks[100] : clocks.at(-1);
    const then = all.filter((op) => op.clock <= at);
    const board = new Board();
    board.applyAll(then);
    assert.equal(kithBoard(["svg", "--at", String(at)], bundle(logsOf(all))).out.toString(), toSvg(board), `seed ${seed}`);
    if (board.shown().length < 5) continue; // its writers cleared it
    const { out } = kithBoard(["png", "--at", String(at), "--scale", "1"], bundle(logsOf(all)));
    const result = await compare(logsOf(then), [], out, 1);
    t.diagnostic(`seed ${seed}: mean ${result.mean.toFixed(3)}, of ink ${result.inkedMean.toFixed(3)} of 255`);
    isThePageS(result, `seed ${seed}`, LETTERS_DIFFERENCE_MAX);
    compared++;
  }
});
