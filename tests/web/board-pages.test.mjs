// Two pages on one whiteboard: they draw at once, undo, clear and edit, and see the same to the pixel; one that cannot send keeps what it has.
import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import { bench, calm, drag, dumpOf, kinds, pixels, shown, wave } from "./board-browser.mjs";

const setup = bench({ before, after, afterEach });
const pages = (n) => setup.pages(n, { viewport: { width: 960, height: 640 } });
const same = async (a, b) => {
  const known = (page) => page.evaluate(() => window.whiteboard.session.board.count);
  for (const until = Date.now() + 60000; await known(a) !== await known(b) || await dumpOf(a) !== await dumpOf(b);)
    assert.ok(Date.now() < until, "the pages do not come to know the same"); // each may be the one that waits
  await calm(a);
  await calm(b);
  assert.equal(await dumpOf(a), await dumpOf(b));
  const [pa, pb] = [await pixels(a), await pixels(b)];
  assert.deepEqual(pa, pb);
  return pa;
};

test("two pages draw at once, and see the same to the pixel", async () => {
  const [a, b] = await pages(2);
  await Promise.all([drag(a, wave(100, 200)), drag(b, wave(600, 400))]);
  await b.keyboard.press("r");
  await Promise.all([drag(a, wave(120, 500)), drag(b, [[200, 150], [700, 600]])]);
  await b.keyboard.press("h");
  await Promise.all([drag(a, wave(300, 300)), drag(b, [[100, 250], [900, 260]])]);
  await shown(a, 6);
  await shown(b, 6);
  assert.ok((await same(a, b)).inked > 3000);
});

test("what others draw, move and take back while a page moves is where it belongs", async () => {
  const [a, b] = await pages(2);
  for (let i = 0; i < 4; i++) await drag(b, wave(120 + 90 * i, 140 + 90 * i, 24));
  await shown(a, 4);
  // there and back, between sizes too, until it is told to stop
  const moving = a.evaluate(async () => {
    const { stage } = window.whiteboard, { camera } = stage;
    for (let i = 0; !window.enough; window.turns = ++i) {
      Object.assign(camera, { x: 700 * Math.sin(i / 25), y: 400 * Math.sin(i / 17), zoom: i % 60 < 40 ? 1 : 1.6 });
      stage.look(i % 60 === 0 || i % 60 === 40);
      await new Promise(requestAnimationFrame);
    }
    Object.assign(camera, { x: 0, y: 0, zoom: 1 });
    stage.look(true);
  });
  await drag(b, wave(200, 400, 30));
  await b.keyboard.press("v");
  await b.mouse.click(880, 40);
  await drag(b, [[120, 140], [330, 260]]); // the first one, by its beginning
  await b.keyboard.press("Control+z");
  await b.keyboard.press("Control+a");
  await b.keyboard.press("ArrowRight");
  await b.keyboard.press("r");
  await drag(b, [[400, 80], [800, 560]]);
  await shown(a, 6);
  await a.waitForFunction(() => window.turns > 60);
  await a.evaluate(() => { window.enough = true; });
  await moving;
  await b.keyboard.press("Escape");
  assert.ok((await same(a, b)).inked > 3000);
});

test("what is being drawn is seen on the other page before it is done, with the cursor and the name", async () => {
  const [a, b] = await pages(2);
  await a.mouse.move(200, 200);
  await a.mouse.down();
  for (let i = 1; i < 20; i++) await a.mouse.move(200 + 15 * i, 200 + 5 * i);
  await b.waitForFunction(() => [...window.whiteboard.session.peers.all.values()].some((peer) => [...peer.drafts.values()].some((draft) => draft.points.length >= 30)));
  assert.equal((await kinds(b)).length, 0);
  const live = () => b.evaluate(() => {
    const { live: canvas } = window.whiteboard.stage;
    return canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((value) => value);
  });
  await b.waitForFunction(() => document.querySelector(".wb-cursor"));
  assert.ok(await live(), "the draft is painted");
  assert.equal(await b.textContent(".wb-cursor span"), await a.evaluate(() => window.whiteboard.session.person.name));
  await a.mouse.up();
  await shown(b, 1);
  await b.waitForFunction(() => [...window.whiteboard.session.peers.all.values()].every((peer) => peer.drafts.size === 0));
  // cursors can be hidden
  await b.getByRole("button", { name: "Menu" }).click();
  await b.getByRole("menuitemcheckbox", { name: "Hide others' cursors" }).click();
  await a.mouse.move(600, 500);
  await b.waitForFunction(() => !document.querySelector(".wb-cursor"));
  // and the list says who is there, and on which machine
  await b.locator(".wb-people-button").click();
  await b.waitForFunction(() => document.querySelectorAll(".wb-people li").length === 2);
  assert.match(await b.textContent(".wb-people"), /this browser/);
  // one's own name can be changed there, and the others see it
  await b.getByLabel("Your name").fill("Björn B.");
  await b.keyboard.press("Enter");
  await a.waitForFunction(() => [...window.whiteboard.session.peers.all.values()][0].name === "Björn B.");
  // who leaves is gone
  await a.close();
  setup.opened = [b];
  await b.waitForFunction(() => window.whiteboard.session.peers.all.size === 0);
});

test("the laser is seen on the other page, fades, and is not kept", async () => {
  const [a, b] = await pages(2);
  await a.keyboard.press("k");
  // watched from before: on a busy machine it may have faded when one looks
  const seen = b.evaluate(() => new Promise((resolve) => {
    const { over, stage } = window.whiteboard;
    const trail = over.paintTrail.bind(over);
    over.paintTrail = (ctx, points, ...more) => {
      trail(ctx, points, ...more);
      const { x, y } = points.at(-1), { camera } = stage;
      const { data } = ctx.getImageData(Math.round(x * camera.scale + camera.dx) - 3, Math.round(y * camera.scale + camera.dy) - 3, 7, 7);
      if (data.some((value) => value)) resolve(points.length);
    };
  }));
  await drag(a, wave(200, 300));
  assert.ok((await seen) > 1);
  await b.waitForFunction(() => [...window.whiteboard.session.peers.all.values()].every((peer) => peer.laser.length < 2));
  assert.equal(await b.evaluate(() => window.whiteboard.session.board.count), 0);
});

test("undo takes back one's own on either page, never the other's; a storm of both ends the same", async () => {
  const [a, b] = await pages(2);
  for (let i = 0; i < 4; i++) {
    await drag(a, [[100, 100 + 60 * i], [400, 120 + 60 * i]]);
    await drag(b, [[600, 100 + 60 * i], [900, 120 + 60 * i]]);
  }
  await shown(a, 8);
  await shown(b, 8);
  for (let i = 0; i < 3; i++) await a.keyboard.press("Control+z");
  await shown(b, 5);
  assert.equal(await b.evaluate(() => window.whiteboard.board.shown().filter((element) => element.op.writer === window.whiteboard.session.writer).length), 4);
  const storm = async (page, seed) => {
    for (let i = 0; i < 60; i++) await page.keyboard.press((i * seed) % 5 < 3 ? "Control+z" : "Control+Shift+z");
  };
  await Promise.all([storm(a, 3), storm(b, 7)]);
  await same(a, b);
  for (const page of [a, b]) for (let i = 0; i < 60; i++) await page.keyboard.press("Control+y");
  await shown(a, 8);
  await shown(b, 8);
  await same(a, b);
  assert.equal(await a.getByRole("button", { name: "Redo" }).isDisabled(), true);
});

test("a clear is seen by all, and undone by who cleared", async () => {
  const [a, b] = await pages(2);
  await drag(a, wave(100, 200));
  await drag(b, wave(500, 200));
  await shown(a, 2);
  await a.getByRole("button", { name: "Menu" }).click();
  await a.getByRole("menuitem", { name: "Clear the board" }).click();
  await shown(b, 0);
  await calm(b);
  assert.equal((await pixels(b)).inked, 0);
  await b.keyboard.press("Control+z"); // its own stroke, which is cleared as well
  await a.keyboard.press("Control+z");
  await shown(b, 1);
  await same(a, b);
});

test("what is not acknowledged is said, kept through a reload, and sent then", async () => {
  const [a, b] = await pages(2);
  await a.evaluate(() => { window.whiteboard.session.transport.append = () => Promise.reject(new Error("no node")); });
  await drag(a, wave(100, 200));
  await drag(a, wave(100, 400));
  await a.waitForFunction(() => /2 not saved/.test(document.querySelector(".wb-link").textContent));
  assert.equal((await kinds(a)).length, 2);
  assert.equal((await kinds(b)).length, 0);
  const writer = await a.evaluate(() => window.whiteboard.session.writer);
  await a.reload();
  await a.waitForFunction(() => window.whiteboard?.session.author);
  assert.equal((await kinds(a)).length, 2);
  assert.equal(await a.evaluate(() => window.whiteboard.session.writer), writer);
  await shown(b, 2);
  await a.waitForFunction(() => document.querySelector(".wb-link").textContent === "saved");
  await a.keyboard.press("Control+z");
  await shown(b, 1);
  assert.notEqual(await b.evaluate(() => window.whiteboard.session.writer), writer);
});

test("text is edited where it is, and one without words goes", async () => {
  const [a, b] = await pages(2);
  await a.keyboard.press("t");
  await a.mouse.click(300, 300);
  await a.keyboard.type("first");
  await a.mouse.click(700, 600); // beside it: done, and a new one begins
  await a.keyboard.press("Escape");
  await shown(b, 1);
  await b.keyboard.press("v");
  await b.mouse.dblclick(320, 300);
  await b.keyboard.press("End");
  await b.keyboard.type(" and second");
  await b.keyboard.press("Escape");
  const words = (page) => page.evaluate(() => window.whiteboard.board.shown().map((element) => window.whiteboard.board.view(element).text));
  await a.waitForFunction(() => window.whiteboard.session.board.count === 2);
  assert.deepEqual(await words(a), ["first and second"]);
  await same(a, b);
  await a.keyboard.press("v");
  await a.mouse.dblclick(320, 300);
  await a.keyboard.press("Control+a");
  await a.keyboard.press("Delete");
  await a.keyboard.press("Escape");
  await shown(b, 0);
  // keys that are tools are letters while one writes
  await a.keyboard.press("t");
  await a.mouse.click(300, 300);
  await a.keyboard.type("prop");
  await a.keyboard.press("Escape");
  assert.deepEqual(await words(a), ["prop"]);
});
