// The whiteboard over nodes: pages of different nodes draw on one board, while nodes die, hang, are cut off and begin anew.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { cluster, launch } from "./browser.mjs";
import { calm, drag, dumpOf, pixels, wave } from "./board-browser.mjs";

let nodes;
let browser;
let pages = [];
let boards = 0;
const board = () => `board-${++boards}`;

before(async () => {
  nodes = cluster(3);
  browser = await launch();
}, { timeout: 120000 });

after(async () => {
  await browser?.close();
  nodes?.stop();
});

afterEach(async () => {
  const troubles = pages.flatMap((page) => page.troubles);
  for (const page of pages) await page.context().close();
  pages = [];
  assert.deepEqual(troubles, []);
});

/** A page of node @k on board @name. What its console says of a node that was killed is no trouble. */
async function open(k, name, { lost = false } = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 720 } });
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  page.on("console", (message) => message.type() === "error" && !(lost && /ERR_|WebSocket connection/.test(message.text())) && page.troubles.push(message.text()));
  page.setDefaultTimeout(60000);
  const link = nodes.link(k);
  await page.goto(link.replace("/#login=", "/board/index.html#login=") + `/${name}`);
  await page.waitForFunction(() => window.whiteboard?.session.author && window.whiteboard.session.link === "live" && window.whiteboard.stage.frames > 0);
  pages.push(page);
  return page;
}

const elements = (page) => page.evaluate(() => window.whiteboard.session.board.shown().length);
const shows = (page, n) => page.waitForFunction((count) => window.whiteboard.session.board.shown().length === count, n);
const sees = (page, n) => page.waitForFunction((count) => window.whiteboard.session.peers.all.size === count, n);

/** All look at the same place: who comes later begins where the drawing is. */
async function same(...all) {
  for (const page of all)
    await page.evaluate(() => {
      const { stage } = window.whiteboard;
      Object.assign(stage.camera, { x: 0, y: 0, zoom: 1 });
      stage.look();
    });
  for (const page of all) await calm(page);
  const [first, ...rest] = await Promise.all(all.map(pixels));
  assert.ok(first.inked > 300, "something is drawn");
  for (const other of rest) assert.deepEqual(other, first);
  const [dump, ...dumps] = await Promise.all(all.map(dumpOf));
  for (const other of dumps) assert.equal(other, dump);
}

test("two pages of two nodes draw at once, and end with the same pixels", async () => {
  const name = board();
  const [a, b] = [await open(1, name), await open(2, name)];
  await Promise.all([sees(a, 1), sees(b, 1)]);
  await Promise.all([
    (async () => { for (let i = 0; i < 4; i++) await drag(a, wave(180, 160 + 60 * i)); })(),
    (async () => { for (let i = 0; i < 4; i++) await drag(b, wave(560, 180 + 60 * i)); })(),
  ]);
  await Promise.all([shows(a, 8), shows(b, 8)]);
  await same(a, b);
  assert.deepEqual(await a.evaluate(() => [...window.whiteboard.session.peers.all.values()].map((peer) => peer.machine)), ["dev-2"]);
});

test("undo takes back one's own work only, on every node", async () => {
  const name = board();
  const [a, b] = [await open(1, name), await open(3, name)];
  for (let i = 0; i < 2; i++) {
    await drag(a, wave(180, 200 + 120 * i));
    await shows(b, 2 * i + 1);
    await drag(b, wave(560, 200 + 120 * i));
    await shows(a, 2 * i + 2);
  }
  for (let i = 0; i < 4; i++) await a.keyboard.press("Control+z"); // two of them have nothing to take back
  await Promise.all([shows(a, 2), shows(b, 2)]);
  const writers = (page) => page.evaluate(() => [...new Set(window.whiteboard.session.board.shown().map((one) => one.op.writer))]);
  const theirs = await b.evaluate(() => window.whiteboard.session.writer);
  assert.deepEqual(await writers(a), [theirs]);
  assert.deepEqual(await writers(b), [theirs]);
  await a.keyboard.press("Control+Shift+z");
  await Promise.all([shows(a, 3), shows(b, 3)]);
  await same(a, b);
});

test("what was not sent stays through a reload", async () => {
  const name = board();
  const [a, b] = [await open(1, name), await open(2, name)];
  await a.route("**/ops", (route) => route.abort("connectionfailed"));
  await drag(a, wave(180, 300));
  await a.waitForFunction(() => window.whiteboard.session.outbox.length > 0);
  a.troubles.splice(0);
  assert.equal(await elements(b), 0);
  await a.unroute("**/ops");
  await a.evaluate(() => { window.whiteboard.session.closed = true; }); // its own trying again would do it as well
  await a.reload();
  await a.waitForFunction(() => window.whiteboard?.session.author);
  await Promise.all([shows(a, 1), shows(b, 1)]);
  await same(a, b);
  a.troubles.splice(0);
});

test("the list has the boards of all nodes, with a picture of each", async () => {
  const name = board();
  const a = await open(1, name);
  await drag(a, wave(180, 300));
  await calm(a);
  const b = await open(2, name);
  await shows(b, 1);
  await b.evaluate(() => { location.hash = ""; });
  await b.waitForFunction((wanted) => [...document.querySelectorAll(".wb-card")].some((one) => one.getAttribute("href") === `#${wanted}` && one.textContent.includes("1 writer")), name);
  const inked = await b.evaluate((wanted) => {
    const canvas = document.querySelector(`.wb-card[href="#${wanted}"] canvas`);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let n = 0;
    for (let i = 0; i < data.length; i += 4) n += data[i] !== data[0];
    return n;
  }, name);
  assert.ok(inked > 50, "the picture shows the stroke");
  await b.evaluate((to) => { location.hash = to; }, name);
  await b.waitForFunction(() => window.whiteboard?.session.board.shown().length === 1);
});

test("a node killed in the middle of a stroke costs nobody anything", async () => {
  const name = board();
  const [a, b] = [await open(1, name, { lost: true }), await open(2, name)];
  await Promise.all([sees(a, 1), sees(b, 1)]);
  await drag(a, wave(180, 160));
  await shows(b, 1);
  const way = wave(180, 300, 40);
  await a.mouse.move(...way[0]);
  await a.mouse.down();
  for (const point of way.slice(1, 20)) await a.mouse.move(...point);
  await b.waitForFunction(() => [...window.whiteboard.session.peers.all.values()].some((peer) => [...peer.drafts.values()].some((draft) => draft.points.length > 10)));
  nodes.kith("dev", "kill", "1");
  for (const point of way.slice(20)) await a.mouse.move(...point);
  await a.mouse.up();
  await drag(b, wave(560, 300));
  await a.waitForFunction(() => window.whiteboard.session.link === "live" && window.whiteboard.session.outbox.length === 0 && window.whiteboard.session.board.shown().length === 3);
  await shows(b, 3);
  await same(a, b);
  await drag(a, wave(180, 420)); // and it draws on there
  await shows(b, 4);
  // who never had the board open gets all of it from the nodes that are left
  const c = await open(3, name, { lost: true });
  await shows(c, 4);
  await same(a, b, c);
  for (const page of [b, c]) page.troubles.splice(0); // that a log is out of reach may have been said meanwhile
});

test("an image pasted at one node is a file of all, and seen at another though it does not come at first", async () => {
  const name = board();
  const [a, b] = [await open(2, name), await open(3, name, { lost: true })];
  let refused = 0;
  await b.route(/\/image\?hash=/, (route) => (refused++ ? route.continue() : route.abort()));
  await a.evaluate(async () => {
    const data = new DataTransfer(), canvas = new OffscreenCanvas(80, 40);
    canvas.getContext("2d").fillRect(0, 0, 80, 40);
    data.items.add(new File([await canvas.convertToBlob({ type: "image/png" })], "dot.png", { type: "image/png" }));
    document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
  });
  await Promise.all([shows(a, 1), shows(b, 1)]);
  await b.waitForFunction(() => [...window.whiteboard.images.values()].some(Boolean));
  assert.ok(refused > 1, "the first answer was kept from it");
  await same(a, b);
  const files = JSON.parse(nodes.at(2, "fs", "find", "*", `boards/${name}/image`, "--json")).entries;
  assert.equal(files.length, 1);
});

test("everything is there when all nodes have begun anew", async () => {
  const name = board();
  nodes.kith("dev", "start", "1");
  const [a, b] = [await open(1, name), await open(2, name)];
  await drag(a, wave(180, 200));
  await drag(b, wave(560, 200));
  await Promise.all([shows(a, 2), shows(b, 2)]);
  await same(a, b);
  const before = await dumpOf(a);
  for (const page of pages.splice(0)) await page.context().close();
  for (const k of [1, 2, 3]) nodes.kith("dev", "kill", String(k));
  for (const k of [1, 2, 3]) nodes.kith("dev", "start", String(k));
  const c = await open(3, name);
  await shows(c, 2);
  assert.equal(await dumpOf(c), before);
  await drag(c, wave(180, 400));
  const d = await open(1, name);
  await shows(d, 3);
  await same(c, d);
});
