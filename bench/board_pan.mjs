// The whiteboard with 5,000 strokes in a browser: frames while panning and zooming, from the browser's own trace, how long a
// stroke's points take to the canvas, and to that of another page of the browser. node bench/board_pan.mjs [STROKES] [SECONDS]; KITH_WEB_TOOLS as tests/web/browser.mjs wants it.
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch, open, serve } from "../tests/web/board-browser.mjs";

const strokes = Number(process.argv[2] ?? 5000), seconds = Number(process.argv[3] ?? 4);

/** Fills the board with handwriting all over some screens. */
const fillBoard = (page, n) => page.evaluate(async (count) => {
  const { STROKE } = await import("/board/ops.js");
  const wb = window.whiteboard;
  const began = performance.now();
  let seed = 7;
  const random = () => ((seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648);
  const ops = [];
  for (let i = 0; i < count; i++) {
    const points = [];
    let x = random() * 4200 - 600, y = random() * 2600 - 400, turn = random() * 6;
    for (let k = 0; k < 60; k++) {
      turn += (random() - 0.5) * 0.9;
      x += Math.cos(turn) * 3;
      y += Math.sin(turn) * 3;
      points.push(Math.round(x * 16), Math.round(y * 16));
    }
    ops.push({ writer: "f".repeat(32), counter: i + 1, clock: 1e15 + i, kind: STROKE, joined: false, colour: i % 9, width: 48, points: Int32Array.from(points), pressures: null });
  }
  wb.session.board.applyAll(ops);
  const merged = performance.now();
  wb.stage.show(wb.session.board);
  while (!wb.stage.settled) await new Promise(requestAnimationFrame);
  return { merge_ms: Math.round(merged - began), first_picture_ms: Math.round(performance.now() - merged) };
}, n);

/** Moves the camera each frame for a while; the times between frames. */
const move = (page, how, ms) => page.evaluate(async ([kind, time]) => {
  const { camera } = window.whiteboard.stage;
  const { stage } = window.whiteboard;
  const gaps = [], work = [];
  const frame = stage.frame.bind(stage);
  stage.frame = () => {
    const began = performance.now();
    frame();
    work.push(performance.now() - began);
  };
  const began = performance.now();
  let last = began;
  await new Promise((resolve) => {
    const step = (now) => {
      if (now > last) gaps.push(now - last);
      last = now;
      const t = (performance.now() - began) / 1000;
      if (kind === "pan") {
        camera.pan(-12 * Math.cos(t * 0.8), -7 * Math.sin(t * 0.6));
        stage.look();
      } else {
        camera.zoomAt(720, 450, 1 + 0.4 * Math.sin(t * 2));
        stage.look(true);
      }
      if (performance.now() - began < time) requestAnimationFrame(step);
      else resolve();
    };
    requestAnimationFrame(step);
  });
  delete stage.frame;
  const sorted = (list) => [...list].sort((a, b) => a - b);
  const at = (list, p) => Number(sorted(list)[Math.min(list.length - 1, Math.floor(list.length * p))].toFixed(1));
  return { frames_per_s: Number(((1000 * gaps.length) / (performance.now() - began)).toFixed(1)), gap_p50_ms: at(gaps, 0.5), gap_p99_ms: at(gaps, 0.99), work_p50_ms: at(work, 0.5), work_p99_ms: at(work, 0.99) };
}, [how, ms]);

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

/** Of a trace: frames that reached the screen, and those that the compositor dropped. */
function framesOf(file) {
  const { traceEvents } = JSON.parse(readFileSync(file, "utf8"));
  const count = (name) => traceEvents.filter((event) => event.name === name).length;
  return { trace_drawn: count("DrawFrame"), trace_dropped: count("DroppedFrame") };
}

const server = await serve();
const browser = await launch();
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await open(context, server, "bench");
  console.log(JSON.stringify({ strokes, ...(await fillBoard(page, strokes)) }));
  for (const how of ["pan", "zoom"]) {
    const file = join(tmpdir(), `board-${process.pid}.json`);
    await browser.startTracing(page, { path: file, categories: ["disabled-by-default-devtools.timeline.frame", "devtools.timeline.frame"] });
    const measured = await move(page, how, seconds * 1000);
    await browser.stopTracing();
    console.log(JSON.stringify({ move: how, ...measured, ...framesOf(file) }));
    rmSync(file, { force: true });
  }
  console.log(JSON.stringify(await ink(page)));
  const other = [await open(context, server, "two"), await open(context, server, "two")];
  await other[1].waitForFunction(() => window.whiteboard.session.peers.all.size > 0);
  console.log(JSON.stringify(await remote(...other)));
} finally {
  await browser.close();
  server.close();
}
