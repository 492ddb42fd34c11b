// The whiteboard with 5,000 strokes in a browser: frames while panning and zooming, from the browser's own trace, beside those of an empty board and
// of a page that has one canvas and moves it, which is what this machine can do; how long a stroke's points take to the canvas, and to that of another
// page of the browser. node bench/board_pan.mjs [STROKES] [SECONDS]; KITH_WEB_TOOLS as tests/web/browser.mjs wants it.
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { calm, launch, open, scribble, serve } from "../tests/web/board-browser.mjs";

const strokes = Number(process.argv[2] ?? 5000), seconds = Number(process.argv[3] ?? 4);
const SIZE = { width: 1440, height: 900 };

/** A page with nothing but a canvas that is larger than the window. */
async function bare(context) {
  const page = await context.newPage();
  await page.setContent("<body style='margin: 0; overflow: hidden'><canvas width=2400 height=1600 style='position: absolute; will-change: transform'></canvas>");
  await page.evaluate(() => {
    const ctx = document.querySelector("canvas").getContext("2d", { alpha: false });
    ctx.fillStyle = "#fff";
    ctx.fillRect(0, 0, 2400, 1600);
    ctx.fillStyle = "#123";
    for (let i = 0; i < 600; i++) ctx.fillRect((i * 7919) % 2400, (i * 104729) % 1600, 60, 4);
  });
  return page;
}

/** Moves @page each frame for a while, and for a moment before it is looked at; what its own script took of each. */
const move = (page, how, ms) => page.evaluate(async ([kind, time]) => {
  const stage = window.whiteboard?.stage, canvas = document.querySelector("canvas");
  const work = [];
  const frame = stage?.frame;
  if (stage)
    stage.frame = () => {
      const began = performance.now();
      frame.call(stage);
      work.push(performance.now() - began);
    };
  const to = {
    bare: (t) => (canvas.style.transform = `translate(${Math.round(-400 + 300 * Math.cos(t))}px, ${Math.round(-300 + 200 * Math.sin(t))}px)`),
    pan(t) {
      stage.camera.pan(-12 * Math.cos(t * 0.8), -7 * Math.sin(t * 0.6));
      stage.look();
    },
    zoom(t) {
      stage.camera.zoomAt(720, 450, 1 + 0.4 * Math.sin(t * 2));
      stage.look(true);
    },
  }[kind];
  const began = performance.now();
  const until = async (end) => {
    while (performance.now() - began < end) {
      await new Promise(requestAnimationFrame);
      to((performance.now() - began) / 1000);
    }
  };
  await until(300);
  work.length = 0;
  performance.mark("move-begin");
  await until(time + 300);
  performance.mark("move-end");
  if (stage) delete stage.frame;
  work.sort((a, b) => a - b);
  const at = (p) => Number(work[Math.min(work.length - 1, Math.floor(work.length * p))].toFixed(1));
  return work.length ? { work_p50_ms: at(0.5), work_p99_ms: at(0.99) } : {};
}, [how, ms]);

/** Of a trace: the frames that were drawn between both marks, the time between them, and those that the compositor dropped. */
function framesOf(file) {
  const { traceEvents } = JSON.parse(readFileSync(file, "utf8"));
  const [from, to] = ["move-begin", "move-end"].map((name) => traceEvents.find((event) => event.name === name).ts);
  const times = (name) => traceEvents.filter((event) => event.name === name && event.ts >= from && event.ts <= to).map(({ ts }) => ts).sort((a, b) => a - b);
  const drawn = times("DrawFrame");
  const gaps = drawn.slice(1).map((ts, i) => (ts - drawn[i]) / 1000).sort((a, b) => a - b);
  const at = (p) => Number(gaps[Math.floor(gaps.length * p)].toFixed(1));
  return { frames_per_s: Number(((1e6 * gaps.length) / (drawn.at(-1) - drawn[0])).toFixed(1)), gap_p50_ms: at(0.5), gap_p99_ms: at(0.99), dropped: times("DroppedFrame").length };
}

async function traced(page, how, of) {
  const file = join(tmpdir(), `board-${process.pid}.json`);
  await browser.startTracing(page, { path: file, categories: ["disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame", "blink.user_timing"] });
  const work = await move(page, how, seconds * 1000);
  await browser.stopTracing();
  console.log(JSON.stringify({ of, move: how, ...framesOf(file), ...work }));
  rmSync(file, { force: true });
}

/** From a move of the pointer to the end of the frame that shows it. */
const ink = (page) => page.evaluate(async () => {
  const wb = window.whiteboard;
  const { left, top } = wb.area.getBoundingClientRect();
  const times = [];
  const fire = (type, x, y) => wb.area.dispatchEvent(new PointerEvent(type, { pointerId: 1, pointerType: "mouse", button: 0, buttons: 1, clientX: left + x, clientY: top + y, bubbles: true }));
  wb.area.setPointerCapture = () => {};
  fire("pointerdown", 300, 300);
  for (let i = 0; i < 120; i++) {
    const began = performance.now();
    fire("pointermove", 300 + 4 * i, 300 + 60 * Math.sin(i / 6));
    await new Promise(requestAnimationFrame); // runs after the stage's own callback of that frame
    times.push(performance.now() - began);
  }
  fire("pointerup", 780, 300);
  times.sort((a, b) => a - b);
  return { ink_p50_ms: Number(times[60].toFixed(1)), ink_p99_ms: Number(times[118].toFixed(1)) };
});

/** From a move of the pointer on @a to the frame of @b that shows its point; both are pages of this browser. */
async function remote(a, b) {
  const seen = b.evaluate(() => new Promise((resolve) => {
    const { stage, session } = window.whiteboard;
    const times = [];
    const frame = stage.frame.bind(stage);
    stage.frame = () => {
      frame();
      const now = performance.timeOrigin + performance.now();
      const draft = [...session.peers.all.values()].flatMap((peer) => [...peer.drafts.values()])[0];
      while (draft && times.length < draft.points.length / 2) times.push(now);
      if (times.length >= 120) resolve(times);
    };
  }));
  const sent = await a.evaluate(async () => {
    const wb = window.whiteboard;
    const { left, top } = wb.area.getBoundingClientRect();
    wb.area.setPointerCapture = () => {};
    const fire = (type, x, y) => wb.area.dispatchEvent(new PointerEvent(type, { pointerId: 1, pointerType: "mouse", button: 0, buttons: 1, clientX: left + x, clientY: top + y, bubbles: true }));
    const times = [];
    for (let i = 0; i < 130; i++) {
      times.push(performance.timeOrigin + performance.now());
      fire(i ? "pointermove" : "pointerdown", 300 + 3 * i, 300 + 60 * Math.sin(i / 6));
      await new Promise((resolve) => setTimeout(resolve, 8));
    }
    return times;
  });
  const got = await seen;
  const late = got.slice(0, 120).map((time, i) => time - sent[i]).sort((x, y) => x - y);
  return { remote_p50_ms: Math.round(late[60]), remote_p99_ms: Math.round(late[118]) };
}

const server = await serve();
const browser = await launch();
try {
  const context = await browser.newContext({ viewport: SIZE });
  const canvas = await bare(context);
  await traced(canvas, "bare", "a bare page");
  await canvas.close();
  const page = await open(context, server, "bench");
  await traced(page, "pan", "an empty board");
  await page.evaluate(() => {
    Object.assign(window.whiteboard.stage.camera, { x: 0, y: 0, zoom: 1 });
    window.whiteboard.stage.look();
  });
  await calm(page);
  const merged = await scribble(page, strokes), began = performance.now();
  await calm(page);
  console.log(JSON.stringify({ strokes, merge_ms: Math.round(merged), first_picture_ms: Math.round(performance.now() - began) }));
  for (const how of ["pan", "zoom"]) await traced(page, how, "the board");
  console.log(JSON.stringify(await ink(page)));
  const other = [await open(context, server, "two"), await open(context, server, "two")];
  await other[1].waitForFunction(() => window.whiteboard.session.peers.all.size > 0);
  console.log(JSON.stringify(await remote(...other)));
} finally {
  await browser.close();
  server.close();
}
