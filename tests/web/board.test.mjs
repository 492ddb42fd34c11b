// The whiteboard in a browser, one page: what is drawn with the pointer, erased, moved, exported, looked at.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { axe, barriers } from "./browser.mjs";
import { bench, calm, drag, inkIn, kinds, pixels, scribble, seen, wave } from "./board-browser.mjs";

const [STROKE, HIGHLIGHT, LINE, ARROW, RECT, ELLIPSE, TEXT, STICKY, IMAGE] = [1, 2, 3, 4, 5, 6, 7, 8, 9];
const here = bench({ before, after, afterEach });
const { pages, more } = here;
const selected = (page) => page.evaluate(() => window.whiteboard.selection.size);

test("each tool draws its own, by its key and by its button", async () => {
  const [page] = await pages();
  await drag(page, wave(100, 150));
  const at = [[["h"], HIGHLIGHT], [["l"], LINE], [["a"], ARROW], [["r"], RECT], [["o"], ELLIPSE]];
  for (const [i, [[key]]] of at.entries()) {
    await page.keyboard.press(key);
    await drag(page, [[100 + 180 * i, 300], [220 + 180 * i, 380]]);
  }
  await page.keyboard.press("t");
  await page.mouse.click(200, 500);
  await page.keyboard.type("some words");
  await page.keyboard.press("Escape");
  await page.keyboard.press("n");
  await page.mouse.click(500, 560);
  await page.keyboard.type("a note with enough words that its lines have to be broken somewhere");
  await page.keyboard.press("Control+Enter");
  assert.deepEqual(await kinds(page), [STROKE, HIGHLIGHT, LINE, ARROW, RECT, ELLIPSE, TEXT, STICKY]);
  const texts = await page.evaluate(() => window.whiteboard.board.shown().map((element) => window.whiteboard.board.view(element).text).filter(Boolean));
  assert.equal(texts[0], "some words");
  assert.match(texts[1], /\u2028/);
  assert.equal(texts[1].replaceAll("\u2028", ""), "a note with enough words that its lines have to be broken somewhere");
  // a click alone draws no shape, and a dot with the pen
  for (const name of ["Rectangle", "Line", "Pen"]) {
    await page.getByRole("button", { name, exact: true }).click();
    await page.mouse.click(900, 600);
  }
  assert.deepEqual((await kinds(page)).slice(8), [STROKE]);
  await calm(page);
  assert.ok((await pixels(page)).inked > 5000);
});

test("the eraser takes strokes as it goes over them, also fast", async () => {
  const [page] = await pages();
  for (let i = 0; i < 5; i++) await drag(page, [[150 + 100 * i, 150], [150 + 100 * i, 350]]);
  await page.keyboard.press("e");
  await page.mouse.move(100, 250);
  await page.mouse.down();
  await page.mouse.move(480, 250, { steps: 2 });
  assert.equal(await page.evaluate(() => window.whiteboard.stage.lifted.size), 4, "they are faint, and still there");
  assert.equal((await kinds(page)).length, 5);
  await page.mouse.up();
  assert.equal((await kinds(page)).length, 1);
  await page.keyboard.press("Control+z");
  assert.equal((await kinds(page)).length, 5, "one action");
  await calm(page);
});

test("select, move, size, restyle, duplicate and delete", async () => {
  const [page] = await pages();
  await page.keyboard.press("r");
  await drag(page, [[200, 200], [300, 300]]);
  await drag(page, [[400, 200], [500, 300]]);
  await page.keyboard.press("v");
  await drag(page, [[150, 150], [550, 350]]);
  assert.equal(await selected(page), 2);
  const boxes = () => page.evaluate(async () => {
    const { boxOf } = await import("/board/shapes.js");
    const { board } = window.whiteboard;
    return board.shown().map((element) => boxOf(element, board.view(element)).map(Math.round));
  });
  const before = await boxes();
  await drag(page, [[200, 250], [260, 290]]); // by an edge
  assert.deepEqual(await boxes(), before.map(([x0, y0, x1, y1]) => [x0 + 60, y0 + 40, x1 + 60, y1 + 40]));
  // by a corner, from which the whole gets wider
  const [x, y] = await page.evaluate(() => {
    const box = window.whiteboard.selectionBox();
    return window.whiteboard.stage.camera.toScreen(box[2], box[3]);
  });
  await drag(page, [[x + 2, y + 2], [x + 102, y + 2]]);
  const wider = await boxes();
  assert.ok(wider[1][2] - before[1][2] > 150 && Math.abs(wider[0][1] - before[0][1] - 40) <= 1, JSON.stringify(wider));
  await page.getByRole("button", { name: "Colour: red" }).click();
  await page.getByRole("button", { name: "Full fill" }).click();
  await page.getByRole("button", { name: "Very thick" }).click();
  assert.equal(await page.evaluate(() => document.activeElement === document.body), true, "the keys mean the board, and not the button");
  assert.deepEqual(await page.evaluate(() => window.whiteboard.board.shown().map((element) => (({ colour, fill, width }) => [colour, fill, width])(window.whiteboard.board.view(element)))), [[2, 2, 192], [2, 2, 192]]);
  await page.keyboard.press("Control+d");
  assert.equal((await kinds(page)).length, 4);
  assert.equal(await selected(page), 2, "the copies");
  await page.keyboard.press("Control+z");
  assert.equal((await kinds(page)).length, 2);
  await page.keyboard.press("Control+a");
  await page.keyboard.press("ArrowRight");
  assert.equal((await boxes())[0][0], wider[0][0] + 1 - 5, "one to the right; the line is 10 wider");
  await page.keyboard.press("Delete");
  assert.equal((await kinds(page)).length, 0);
  // a click beside everything selects nothing, one on an outline its shape
  await page.keyboard.press("Control+z");
  await page.mouse.click(1000, 600);
  assert.equal(await selected(page), 0);
});

test("a selection of many moves as a bitmap, and arrives where it was shown", async () => {
  const [page] = await pages();
  await page.evaluate(async () => {
    const { STROKE: kind } = await import("/board/ops.js");
    const { session, stage } = window.whiteboard;
    const ops = Array.from({ length: 400 }, (_, i) => ({ writer: "f".repeat(32), counter: i + 1, clock: 1e15 + i, kind, joined: false, colour: i % 9, width: 48, points: Int32Array.from([1600 + 480 * (i % 20), 2400 + 320 * Math.floor(i / 20), 1900 + 480 * (i % 20), 2600 + 320 * Math.floor(i / 20)]), pressures: null }));
    stage.update(session.board.applyAll(ops));
  });
  await page.keyboard.press("Control+a");
  assert.equal(await selected(page), 400);
  const [x, y] = await page.evaluate(() => window.whiteboard.stage.camera.toScreen(...window.whiteboard.selectionBox()));
  await page.mouse.move(x + 20, y + 20);
  await page.mouse.down();
  await page.mouse.move(x + 110, y + 60, { steps: 3 });
  await page.waitForFunction(() => window.whiteboard.tools.select.bitmap && !window.whiteboard.stage.wanted);
  const box = [Math.round(x) + 150, Math.round(y) + 80, 300, 200];
  const moving = await inkIn(page, box, { underWay: true });
  await page.mouse.up();
  await calm(page);
  const there = await inkIn(page, box);
  const differ = moving.filter((value, i) => value !== there[i]).length, all = there.filter(Boolean).length;
  assert.ok(all > 1500 && differ < all / 4, `${differ} of ${all}`); // edges are painted a little differently
  assert.equal(await page.evaluate(() => window.whiteboard.session.board.count), 401);
});

test("cut and paste of elements, of text and of an image", async () => {
  const [page] = await pages();
  await page.keyboard.press("r");
  await drag(page, [[200, 200], [300, 300]]);
  await page.keyboard.press("v");
  await page.keyboard.press("Control+a");
  const clip = (type, fill) => page.evaluate(async ([kind, what]) => {
    const data = new DataTransfer();
    if (what === "last") data.setData("text/plain", window.clip);
    else if (what === "image") {
      const canvas = new OffscreenCanvas(40, 20);
      canvas.getContext("2d").fillRect(0, 0, 40, 20);
      data.items.add(new File([await canvas.convertToBlob({ type: "image/png" })], "dot.png", { type: "image/png" }));
    } else if (what) data.setData("text/plain", what);
    document.body.dispatchEvent(new ClipboardEvent(kind, { clipboardData: data, bubbles: true, cancelable: true }));
    if (kind !== "paste") window.clip = data.getData("text/plain");
  }, [type, fill]);
  await clip("cut");
  assert.equal((await kinds(page)).length, 0);
  await clip("paste", "last");
  await clip("paste", "last");
  assert.deepEqual(await kinds(page), [RECT, RECT]);
  await clip("paste", "plain\ttext <b>");
  await clip("paste", "image");
  await page.waitForFunction(() => window.whiteboard.board.shown().length === 4);
  assert.deepEqual(await kinds(page), [RECT, RECT, TEXT, IMAGE]);
  // another page gets the image from where it is kept
  const name = await page.evaluate(() => window.whiteboard.session.name);
  const other = await more(name);
  await other.waitForFunction(() => [...window.whiteboard.images.values()].some(Boolean));
  await calm(other);
  const { hash, inked } = await pixels(other);
  assert.ok(inked > 800 && hash);
});

test("history goes to any moment and back, and draws nothing there", async () => {
  const [page] = await pages();
  for (let i = 0; i < 4; i++) await drag(page, [[200, 150 + 80 * i], [500, 170 + 80 * i]]);
  await page.keyboard.press("Control+z");
  await calm(page);
  const now = await pixels(page);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("menuitem", { name: "History" }).click();
  const slider = page.getByRole("slider", { name: "Moment" });
  const at = async (n) => {
    await slider.fill(String(n));
    return page.evaluate(() => window.whiteboard.board.shown().length);
  };
  assert.deepEqual([await at(0), await at(2), await at(4), await at(5), await at(1)], [0, 2, 4, 3, 1]);
  await drag(page, wave(300, 300));
  await page.keyboard.press("Control+z");
  assert.equal(await page.evaluate(() => window.whiteboard.session.board.count), 5);
  await at(0);
  await page.getByRole("button", { name: "Play" }).click();
  await page.waitForFunction(() => window.whiteboard.history.at === 5);
  await page.getByRole("button", { name: "Back to now" }).click();
  await calm(page);
  assert.deepEqual(await pixels(page), now);
});

test("wheel, keys and buttons move and zoom, and the point under the pointer stays", async () => {
  const [page] = await pages();
  const camera = () => page.evaluate(() => (({ x, y, zoom }) => ({ x, y, zoom }))(window.whiteboard.stage.camera));
  await page.mouse.move(300, 200);
  await page.mouse.wheel(50, 30);
  await page.waitForFunction(() => window.whiteboard.stage.camera.x === 50);
  assert.deepEqual(await camera(), { x: 50, y: 30, zoom: 1 });
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -40);
  await page.keyboard.up("Control");
  await page.waitForFunction(() => window.whiteboard.stage.camera.zoom > 1);
  const zoomed = await camera();
  assert.ok(Math.abs(zoomed.x + 300 / zoomed.zoom - 350) < 1e-6 && Math.abs(zoomed.y + 200 / zoomed.zoom - 230) < 1e-6);
  await page.keyboard.press("0");
  assert.equal((await camera()).zoom, 1);
  await page.keyboard.press("+");
  assert.equal((await camera()).zoom, 1.25);
  assert.equal(await page.textContent(".wb-zoom"), "125 %");
  await page.keyboard.press("-");
  const before = await camera();
  await page.keyboard.down("Space");
  await drag(page, [[400, 400], [340, 430]]);
  await page.keyboard.up("Space");
  const moved = await camera();
  assert.ok(Math.abs(moved.x - before.x - 60) < 1e-6 && Math.abs(moved.y - before.y + 30) < 1e-6);
  assert.equal((await kinds(page)).length, 0, "space moves, and does not draw");
  await drag(page, [[5, 300], [1190, 310]]);
  await page.mouse.wheel(4000, 0);
  await page.keyboard.press("1");
  const box = await page.evaluate(() => window.whiteboard.stage.camera.box());
  const bounds = await page.evaluate(() => window.whiteboard.stage.places.bounds());
  assert.ok(box[0] <= bounds[0] && box[2] >= bounds[2]);
});

test("a pen has pressure; once it was seen fingers move the board, and the palm does nothing", async () => {
  const [page] = await pages(1, { hasTouch: true });
  const fire = (type, id, pointer, x, y, pressure = 0) => page.evaluate(([t, pointerId, pointerType, clientX, clientY, force]) => {
    const { area } = window.whiteboard;
    area.setPointerCapture = () => {};
    area.dispatchEvent(new PointerEvent(t, { pointerId, pointerType, clientX, clientY, pressure: force, button: t === "pointermove" ? -1 : 0, buttons: 1, bubbles: true, cancelable: true }));
  }, [type, id, pointer, x, y, pressure]);
  const line = async (id, pointer, from, to) => {
    await fire("pointerdown", id, pointer, ...from, 0.2);
    for (let i = 1; i <= 6; i++) await fire("pointermove", id, pointer, from[0] + ((to[0] - from[0]) * i) / 6, from[1] + ((to[1] - from[1]) * i) / 6, 0.2 + i / 10);
    await fire("pointerup", id, pointer, ...to);
  };
  const camera = () => page.evaluate(() => [window.whiteboard.stage.camera.x, window.whiteboard.stage.camera.y, window.whiteboard.stage.camera.zoom]);
  // a finger draws, two zoom, and what the first of them had begun is dropped
  await line(11, "touch", [100, 100], [300, 120]);
  assert.deepEqual(await kinds(page), [STROKE]);
  await fire("pointerdown", 12, "touch", 300, 300);
  await fire("pointermove", 12, "touch", 320, 300);
  await fire("pointerdown", 13, "touch", 400, 300);
  await fire("pointermove", 13, "touch", 480, 300);
  await fire("pointerup", 13, "touch", 480, 300);
  await fire("pointerup", 12, "touch", 320, 300);
  assert.equal((await kinds(page)).length, 1);
  assert.ok(Math.abs((await camera())[2] - 2) < 1e-6, "twice as far apart, twice as large");
  await page.keyboard.press("0");
  // the pen
  await line(21, "pen", [200, 300], [500, 320]);
  assert.equal((await kinds(page)).length, 2);
  const pressures = await page.evaluate(() => [...window.whiteboard.board.shown()[1].op.pressures]);
  assert.deepEqual(pressures.slice(0, 3), [51, 77, 102]);
  // while it is down the palm is nothing
  const before = await camera();
  await fire("pointerdown", 22, "pen", 300, 500, 0.5);
  await line(31, "touch", [600, 600], [700, 700]);
  await fire("pointermove", 22, "pen", 400, 500, 0.5);
  await fire("pointerup", 22, "pen", 400, 500);
  assert.equal((await kinds(page)).length, 3);
  assert.deepEqual(await camera(), before);
  // later a finger moves the board
  await page.waitForFunction(() => performance.now() - window.whiteboard.input.penAt > 450);
  await line(32, "touch", [600, 600], [660, 580]);
  assert.equal((await kinds(page)).length, 3);
  const after = await camera();
  assert.ok(Math.abs(after[0] - before[0] + 60) < 1e-6 && Math.abs(after[1] - before[1] - 20) < 1e-6, JSON.stringify([before, after]));
});

test("a stroke longer than an operation can be goes on, and is undone as one", async () => {
  const [page] = await pages();
  await page.evaluate(() => {
    const { tools, stage } = window.whiteboard;
    const at = (i) => ({ x: 300 + 200 * Math.cos(i / 500), y: 300 + 0.02 * i, sx: 0, sy: 0, pressure: null });
    tools.pen.down(at(0));
    for (let i = 1; i < 9000; i++) tools.pen.move(at(i));
    tools.pen.up(at(9000));
    stage.want();
  });
  assert.deepEqual(await kinds(page), [STROKE, STROKE, STROKE]);
  await page.keyboard.press("Control+z");
  assert.deepEqual(await kinds(page), []);
});

test("5,000 strokes: panning moves bitmaps and bakes only what comes into sight", async () => {
  const [page] = await pages();
  const result = await page.evaluate(async () => {
    const { STROKE: kind } = await import("/board/ops.js");
    const { session, stage } = window.whiteboard;
    const ops = Array.from({ length: 5000 }, (_, i) => {
      const x = (i * 7919) % 60000, y = (i * 104729) % 40000;
      return { writer: "f".repeat(32), counter: i + 1, clock: 1e15 + i, kind, joined: false, colour: i % 9, width: 48, points: Int32Array.from({ length: 40 }, (__, k) => (k % 2 ? y + 300 * Math.sin(k / 5) : x + 60 * k)), pressures: null };
    });
    stage.update(session.board.applyAll(ops));
    const calmed = async () => {
      while (!stage.settled) await new Promise(requestAnimationFrame);
    };
    await calmed();
    const { clientWidth, clientHeight } = stage.layers;
    const inSight = (Math.ceil(clientWidth / 512) + 1) * (Math.ceil(clientHeight / 512) + 1);
    const first = stage.baked;
    // to the edge of the ring that is baked ahead, and back: nothing is baked twice
    for (let i = 0; i < 20; i++) {
      stage.camera.pan(i < 10 ? -12 : 12, 0);
      stage.look();
      await new Promise(requestAnimationFrame);
    }
    await calmed();
    const back = stage.baked;
    stage.camera.pan(-2000, -1500);
    stage.look();
    await calmed();
    return { n: session.board.shown().length, first, back, far: stage.baked, inSight, tiles: stage.ground.tiles.size };
  });
  assert.equal(result.n, 5000);
  assert.ok(result.back - result.first <= 6, JSON.stringify(result)); // a column that came into the ring
  assert.ok(result.far - result.back <= 2 * (result.inSight + 20), JSON.stringify(result));
  assert.ok(result.tiles <= 161);
  // a new stroke is painted onto the tiles it touches: none is baked again
  const before = await page.evaluate(() => window.whiteboard.stage.baked);
  await drag(page, wave(300, 300));
  await calm(page);
  assert.equal(await page.evaluate(() => window.whiteboard.stage.baked), before);
  assert.ok((await pixels(page)).inked > 1000);
});

test("panning over baked ground paints nothing, and what is above is not in the page while it is empty", async () => {
  const [page] = await pages();
  await scribble(page, 2000);
  await calm(page);
  const did = await page.evaluate(async () => {
    const { stage } = window.whiteboard;
    const before = [stage.baked, stage.painted];
    const calls = {};
    const watched = [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D, ImageBitmapRenderingContext].flatMap(({ prototype }) =>
      ["drawImage", "fill", "stroke", "fillRect", "clearRect", "fillText", "getImageData", "transferFromImageBitmap"].filter((name) => prototype[name]).map((name) => [prototype, name, prototype[name]]));
    for (const [prototype, name, real] of watched)
      prototype[name] = function (...args) {
        calls[name] = (calls[name] ?? 0) + 1;
        return real.apply(this, args);
      };
    const frames = stage.frames;
    const move = async (steps, dx, dy) => {
      for (let i = 0; i < steps; i++) {
        stage.camera.pan(dx, dy);
        stage.look();
        await new Promise(requestAnimationFrame);
      }
    };
    // within the tiles of the corner, so that no others come into the ring
    const { x, y } = stage.camera;
    stage.camera.x = stage.camera.y = 100;
    await move(20, -4, -3);
    await move(20, 4, 3);
    for (const [prototype, name, real] of watched) prototype[name] = real;
    const shown = getComputedStyle(stage.live).visibility;
    Object.assign(stage.camera, { x, y });
    return { calls, more: [stage.baked - before[0], stage.painted - before[1]], frames: stage.frames - frames, shown };
  });
  assert.deepEqual(did.calls, {});
  assert.deepEqual(did.more, [0, 0]);
  assert.ok(did.frames >= 40);
  assert.equal(did.shown, "hidden");
  // it comes with the first thing that is under way, and goes with the last
  const above = () => page.evaluate(() => getComputedStyle(window.whiteboard.stage.live).visibility);
  await page.mouse.move(300, 300);
  await page.mouse.down();
  await page.mouse.move(400, 340, { steps: 3 });
  await calm(page);
  assert.equal(await above(), "visible");
  await page.mouse.up();
  await calm(page);
  assert.equal(await above(), "hidden");
});

test("the work of a frame is bounded while the board moves over ground that is not baked", async () => {
  const [page] = await pages();
  await scribble(page, 5000);
  await calm(page);
  const work = await page.evaluate(async () => {
    const { stage } = window.whiteboard;
    const frames = [];
    for (let i = 0; i < 90; i++) {
      const before = stage.painted;
      stage.camera.pan(-31, -17);
      stage.look();
      stage.movedAt += 1e6; // it moves still, however late the frame comes
      await new Promise(requestAnimationFrame);
      frames.push({ points: stage.painted - before, whole: stage.ground.whole });
    }
    return frames;
  });
  // of one frame: BAKE.moving of stage.js for what is in sight and BAKE.ahead for what is not, and of each the stroke that went beyond
  const [ahead, sight, stroke] = [2000, 6000, 70];
  assert.ok(work.some(({ points }) => points > 0));
  for (const { points, whole } of work) assert.ok(points <= (whole ? sight + ahead : sight) + 2 * stroke, JSON.stringify({ points, whole }));
});

test("the screen shows the tiles pixel for pixel once the board is at rest, at each ratio, after moving and zooming", async () => {
  for (const deviceScaleFactor of [1, 1.25, 1.5, 2]) {
    here.context = await here.browser.newContext({ viewport: { width: 900, height: 600 }, deviceScaleFactor });
    const page = (await pages()).at(-1);
    await scribble(page, 600);
    const at = async (change) => {
      await page.evaluate(change);
      await calm(page);
      const { shown, there } = await seen(page, [120, 160, 320, 240]);
      assert.ok(there > 500, `${there} pixels of ink`);
      assert.equal(shown, 0, `${shown} pixels are others, at ${deviceScaleFactor}, ${change}`);
    };
    await at(() => {});
    await at(() => {
      window.whiteboard.stage.camera.pan(-333, -121);
      window.whiteboard.stage.look();
    });
    await at(() => window.whiteboard.zoomBy(1.25));
    await at(() => window.whiteboard.zoomBy(0.8)); // as large as before
    await at(async () => {
      const { stage } = window.whiteboard;
      for (let i = 0; i < 12; i++) {
        stage.camera.zoomAt(300, 300, 1 + 0.3 * Math.sin(i / 2));
        stage.look(true);
        await new Promise(requestAnimationFrame);
      }
      stage.camera.zoomAt(300, 300, 1.7);
      stage.look(true);
    });
    await at(() => {
      Object.assign(window.whiteboard.stage.camera, { x: 20, y: 10, zoom: 0.35 });
      window.whiteboard.stage.look(true);
    });
    // far away, where a browser would have no digits left for places that count from the beginning
    await scribble(page, 600, 9e6);
    await at(() => {
      Object.assign(window.whiteboard.stage.camera, { x: 9e6 + 0.5, y: 40, zoom: 1.3 });
      window.whiteboard.stage.look(true);
    });
    await at(() => {
      for (let i = 0; i < 40; i++) window.whiteboard.stage.camera.pan(-13.5, 2);
      window.whiteboard.stage.look();
    });
  }
});

test("what is painted step by step is what is painted at once", async () => {
  const [page] = await pages();
  for (let i = 0; i < 6; i++) await drag(page, wave(100 + 60 * i, 200 + 40 * i));
  await page.keyboard.press("h");
  await drag(page, [[100, 260], [800, 300]]);
  await page.keyboard.press("e");
  await drag(page, [[150, 100], [160, 300]]);
  await calm(page);
  const steps = await pixels(page);
  await page.evaluate(() => window.whiteboard.stage.show(window.whiteboard.session.board));
  await calm(page);
  assert.deepEqual(await pixels(page), steps);
});

test("the SVG is the one that the C side makes of the same logs, and the PNG shows the same", async () => {
  const [page] = await pages();
  await drag(page, wave(100, 200, 30));
  for (const [i, key] of ["h", "l", "a", "r", "o"].entries()) {
    await page.keyboard.press(key);
    if (key === "r") await page.getByRole("button", { name: "Soft fill" }).click();
    await drag(page, [[100 + 150 * i, 300], [200 + 150 * i, 400 + 10 * i]]);
  }
  await page.keyboard.press("n");
  await page.mouse.click(700, 550);
  await page.keyboard.type("words <&> of a note");
  await page.keyboard.press("Escape");
  await page.keyboard.press("v");
  await page.keyboard.press("Control+a");
  await drag(page, [[700, 550], [760, 520]]);
  await page.keyboard.press("Escape");
  await calm(page);
  const made = await page.evaluate(async () => {
    const { svgFile, canvasOf } = await import("/board/export.js");
    const { session, board } = window.whiteboard;
    const logs = await session.transport.load(session.name);
    const svg = await (await svgFile(board, board.shown(), {})).text();
    const canvas = await canvasOf(board, board.shown(), { scale: 1 });
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
    await image.decode();
    const other = new OffscreenCanvas(canvas.width, canvas.height);
    other.getContext("2d").drawImage(image, 0, 0);
    const [p, q] = [canvas.getContext("2d"), other.getContext("2d")].map((ctx) => ctx.getImageData(0, 0, canvas.width, canvas.height).data);
    let differ = 0, inked = 0;
    for (let i = 0; i < p.length; i += 4) {
      if (p[i] < 250 || p[i + 1] < 250 || p[i + 2] < 250) inked++;
      if (Math.abs(p[i] - q[i]) + Math.abs(p[i + 1] - q[i + 1]) + Math.abs(p[i + 2] - q[i + 2]) > 96) differ++;
    }
    return { logs: logs.map((bytes) => [...bytes]), svg, differ, inked };
  });
  const dir = mkdtempSync(join(tmpdir(), "kith-board-"));
  try {
    const files = made.logs.map((bytes, i) => {
      const file = join(dir, String(i));
      writeFileSync(file, Uint8Array.from(bytes));
      return file;
    });
    assert.equal(execFileSync(join(process.env.KITH_BUILD ?? "build", "tests/board_read"), ["svg", ...files], { encoding: "utf8" }), made.svg);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  assert.ok(made.inked > 20000, String(made.inked));
  assert.ok(made.differ < made.inked / 100, `${made.differ} of ${made.inked} pixels differ`);
  // and the menu saves them
  for (const [name, ending] of [["Save as PNG", "png"], ["Save as SVG", "svg"]]) {
    await page.getByRole("button", { name: "Menu" }).click();
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name }).click()]);
    assert.match(download.suggestedFilename(), new RegExp(`\\.${ending}$`));
    const bytes = readFileSync(await download.path());
    if (ending === "svg") assert.equal(bytes.toString(), made.svg);
    else assert.deepEqual([...bytes.subarray(1, 4)], [...Buffer.from("PNG")]);
  }
});

test("the list has the boards with their titles, and makes new ones", async () => {
  const page = await more();
  assert.match(await page.textContent(".wb-boards"), /There is no board yet/);
  await page.fill("[name=title]", "Plan für 2027");
  await page.getByRole("button", { name: "New board" }).click();
  await page.waitForFunction(() => window.whiteboard?.session.author);
  assert.match(page.url(), /#plan-fur-2027-[0-9a-z]{5}$/);
  await page.waitForFunction(() => document.querySelector(".wb-title").value === "Plan für 2027");
  await drag(page, wave(200, 200));
  await calm(page);
  await page.fill(".wb-title", "Another");
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => window.whiteboard.session.board.title() === "Another" && window.whiteboard.session.outbox.length === 0);
  await page.getByRole("button", { name: "All boards" }).click();
  await page.waitForSelector(".wb-card");
  assert.match(await page.textContent(".wb-card"), /Another.*1 writer/s);
  await page.locator(".wb-card").click();
  await page.waitForFunction(() => window.whiteboard?.board.shown().length === 1);
});

test("no serious barrier and nothing wider than the window, by day and at night, on a desk and on a phone", async () => {
  const found = [];
  const [page] = await pages(1);
  const list = await more();
  await drag(page, wave(150, 200, 8));
  for (const [what, one] of [["board", page], ["list", list]]) {
    await one.evaluate(readFileSync(axe(), "utf8"));
    for (const [width, height, theme] of [[390, 844, "dark"], [1440, 900, "light"]]) {
      await one.setViewportSize({ width, height });
      await one.evaluate((to) => {
        document.documentElement.dataset.theme = to;
        if (window.whiteboard) window.whiteboard.applyTheme();
      }, theme);
      const wider = await one.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wider > 0) found.push(`${what}: ${wider} px wider than ${width}`);
      found.push(...(await barriers(one)).map((barrier) => `${what} ${theme}: ${barrier}`));
      if (what === "board")
        for (const name of ["Menu", "1 here"]) {
          await one.getByRole("button", { name, exact: true }).click();
          found.push(...(await barriers(one)).map((barrier) => `${name} ${theme}: ${barrier}`));
          await one.keyboard.press("Escape");
        }
    }
  }
  assert.deepEqual(found, []);
});
