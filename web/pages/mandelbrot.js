// The Mandelbrot explorer: the whole cluster draws what one looks at.
import { fill, h, text } from "../lib/dom.js";
import { number } from "../lib/format.js";
import { argument, colours, decode, nodeColour } from "../lib/mandelbrot.js";
import { query, setQuery } from "../lib/route.js";
import { api, may } from "../lib/session.js";
import { subscribe } from "../lib/stream.js";
import { card, dialog, errorState, failed, facts, field, note, pageHead, roleButton } from "../lib/ui.js";

const TILE = 128;
const UNDER_WAY = 6; // as many as a browser has connections to one server
const SPAN_MIN = 1e-13; // below, doubles cannot tell neighbours apart
const SPAN_MAX = 8;
const PLACES = [["Everything", -0.6, 0, 3.4], ["Seahorse valley", -0.7453, 0.1127, 0.0065], ["Elephants", 0.2855, 0.0115, 0.012], ["A spiral", -0.7436438870371587, 0.1318259042053119, 5e-8], ["A small one of its own", -1.7548776662466927, 0.0000002, 0.00012]];

export function explorer() {
  const canvas = h("canvas", { tabIndex: 0, ariaLabel: "The Mandelbrot set. Arrow keys move, plus and minus zoom, 0 shows everything." });
  const paint = canvas.getContext("2d", { alpha: false });
  const where = h("div.where");
  const workers = h("ul.workers");
  const sum = h("p.quiet", { role: "status" }, "");
  const trouble = h("div");
  const speed = h("div");
  const stage = h("div.stage", null, canvas, where);
  const start = query();
  const view = { re: Number(start.get("re") ?? -0.6), im: Number(start.get("im") ?? 0), span: Number(start.get("span") ?? 3.4), iterations: Number(start.get("iterations") ?? 1000), width: 0, height: 0 };
  for (const key of ["re", "im", "span", "iterations"]) if (!Number.isFinite(view[key])) Object.assign(view, { re: -0.6, im: 0, span: 3.4, iterations: 1000 });
  view.span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, view.span));
  const stats = new Map(); // name of a node -> {tiles, recent: [times], us, status}
  let nodes = [];
  let tint = true;
  let generation = 0;
  let queue = [];
  let running = 0;
  let total = 0;
  let began = 0;
  let redrawn = 0;
  let abort = new AbortController();
  let closed = false;

  const numberOf = (name) => {
    const i = nodes.findIndex((node) => node.name === name);
    return i < 0 ? nodes.length : i;
  };

  // ---- drawing ----

  function again(keep) {
    abort.abort();
    abort = new AbortController();
    generation++;
    setQuery({ re: view.re, im: view.im, span: view.span, iterations: view.iterations === 1000 ? "" : view.iterations });
    text(where, `${view.re.toPrecision(12)} ${view.im < 0 ? "−" : "+"} ${Math.abs(view.im).toPrecision(12)} i   width ${view.span.toExponential(2)}${view.span <= SPAN_MIN * 1.01 ? ", as deep as doubles go" : ""}`);
    if (!keep) paint.fillRect(0, 0, view.width, view.height);
    queue = [];
    for (let y = 0; y < view.height; y += TILE)
      for (let x = 0; x < view.width; x += TILE)
        queue.push({ x, y, width: Math.min(TILE, view.width - x), height: Math.min(TILE, view.height - y), tries: 0 });
    const middle = (tile) => Math.hypot(tile.x + TILE / 2 - view.width / 2, tile.y + TILE / 2 - view.height / 2);
    queue.sort((a, b) => middle(a) - middle(b));
    total = queue.length;
    redrawn = 0;
    began = performance.now();
    running = 0;
    fill(trouble);
    if (may("operator")) for (let i = 0; i < UNDER_WAY; i++) pull(generation);
    else fill(trouble, errorState({ message: "Drawing calls a function, and that needs the role operator.", hint: "An admin gives it with: kith user add NAME --role operator" }));
  }

  // No node is named: each tile goes to the one with less to do of two at random, so all who are free get about as many.
  async function pull(mine) {
    while (mine === generation && !closed) {
      const tile = queue.shift();
      if (!tile) return;
      running++;
      try {
        const response = await api("/v1/call/mandelbrot.tile?idempotent=true&timeout_ms=30000", { method: "POST", body: argument(view, tile), headers: { "Content-Type": "application/octet-stream" }, signal: abort.signal, raw: true });
        const data = new Uint8Array(await response.arrayBuffer());
        if (mine !== generation) return;
        if (response.headers.get("X-Kith-Outcome") !== "OK") throw new Error(JSON.parse(new TextDecoder().decode(data)).message);
        const { shades, us } = decode(data, tile.width, tile.height);
        show(tile, shades, response.headers.get("X-Kith-Node-Name") ?? "", us);
      } catch (error) {
        if (mine !== generation || error.name === "AbortError") return;
        // its node died, or this one is busy: the tile goes back, to be drawn elsewhere
        if (++tile.tries < 8) {
          queue.push(tile);
          redrawn++;
          await new Promise((resolve) => setTimeout(resolve, 200 * tile.tries));
        } else {
          total--; // not drawn
          fill(trouble, errorState(error, () => again(true)));
          return;
        }
      } finally {
        if (mine === generation) {
          running--;
          say();
        }
      }
    }
  }

  function show(tile, shades, name, us) {
    const image = new ImageData(tile.width, tile.height);
    const pixels = new Uint32Array(image.data.buffer);
    const table = colours();
    const colour = nodeColour(numberOf(name));
    for (let i = 0; i < shades.length; i++) pixels[i] = table[shades[i]];
    paint.putImageData(image, tile.x, tile.y);
    if (tint) {
      paint.fillStyle = `rgb(${colour.join(" ")} / 16%)`;
      paint.fillRect(tile.x, tile.y, tile.width, tile.height);
      paint.fillStyle = `rgb(${colour.join(" ")} / 90%)`;
      paint.font = "11px system-ui, sans-serif";
      paint.fillText(name, tile.x + 6, tile.y + 15);
    }
    const one = stats.get(name) ?? { tiles: 0, recent: [], us: 0 };
    one.tiles++;
    one.us += us;
    one.recent.push(performance.now());
    stats.set(name, one);
  }

  function say() {
    const left = queue.length + running;
    const took = (performance.now() - began) / 1000;
    if (!left) drawWorkers(); // they add up to what the sum says
    text(sum, left ? `${number(total - left)} of ${number(total)} tiles` : `${number(total)} tiles in ${took.toFixed(2)} s, ${number(total / took, 1)} a second${redrawn ? `; ${redrawn} drawn again elsewhere` : ""}`);
  }

  function drawWorkers() {
    const now = performance.now();
    const names = [...new Set([...nodes.filter((node) => node.status !== "left").map((node) => node.name), ...stats.keys()])];
    const rates = names.map((name) => {
      const one = stats.get(name);
      if (one) one.recent = one.recent.filter((at) => now - at < 5000);
      return (one?.recent.length ?? 0) / 5;
    });
    const most = Math.max(1, ...rates);
    while (workers.children.length > names.length) workers.lastChild.remove();
    names.forEach((name, i) => {
      let row = workers.children[i];
      if (!row) {
        row = h("li", null, h("span.swatch"), h("span"), h("span"), h("span.meter", null, h("i")));
        workers.append(row);
      }
      const dead = nodes.find((node) => node.name === name)?.status !== "alive";
      row.children[0].style.background = `rgb(${nodeColour(numberOf(name)).join(" ")})`;
      row.children[1].className = dead ? "gone" : "";
      text(row.children[1], name);
      text(row.children[2], `${rates[i].toFixed(1)}/s · ${number(stats.get(name)?.tiles ?? 0)}`);
      row.lastChild.firstChild.style.transform = `scaleX(${rates[i] / most})`;
    });
  }

  // ---- moving ----

  function size() {
    const width = Math.round(stage.clientWidth * Math.min(devicePixelRatio, 2));
    const height = Math.round(stage.clientHeight * Math.min(devicePixelRatio, 2));
    if (!width || (width === view.width && height === view.height)) return;
    canvas.width = view.width = width;
    canvas.height = view.height = height;
    again(false);
  }
  const watch = new ResizeObserver(() => {
    clearTimeout(watch.timer);
    watch.timer = setTimeout(size, 120);
  });
  watch.observe(stage);

  // What is there already is moved and stretched, and the new tiles appear over it.
  function moveTo(re, im, span) {
    span = Math.min(SPAN_MAX, Math.max(SPAN_MIN, span));
    re = Math.min(4, Math.max(-4, re));
    im = Math.min(4, Math.max(-4, im));
    const scale = view.span / span;
    const step = view.span / view.width;
    const old = document.createElement("canvas");
    old.width = view.width;
    old.height = view.height;
    old.getContext("2d").drawImage(canvas, 0, 0);
    const x = view.width / 2 - ((re - view.re) / step + view.width / 2) * scale;
    const y = view.height / 2 - ((view.im - im) / step + view.height / 2) * scale;
    paint.fillStyle = "#05070f";
    paint.fillRect(0, 0, view.width, view.height);
    paint.drawImage(old, x, y, view.width * scale, view.height * scale);
    Object.assign(view, { re, im, span });
    clearTimeout(moveTo.timer);
    abort.abort();
    generation++;
    moveTo.timer = setTimeout(() => again(true), 90);
  }

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const step = view.span / view.width;
    return { re: view.re + ((event.clientX - box.left) / box.width - 0.5) * view.span, im: view.im - ((event.clientY - box.top) / box.height - 0.5) * view.height * step };
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const point = at(event);
    const factor = Math.exp(Math.max(-0.5, Math.min(0.5, event.deltaY * 0.002)));
    moveTo(point.re + (view.re - point.re) * factor, point.im + (view.im - point.im) * factor, view.span * factor);
  }, { passive: false });
  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    canvas.classList.add("dragging");
  });
  canvas.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const per = view.span / canvas.clientWidth;
    if (fingers.size === 2) {
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, f]) => f);
      const before = Math.hypot(finger.x - other.x, finger.y - other.y);
      const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
      if (before > 10 && after > 10) {
        const point = at({ clientX: (event.clientX + other.x) / 2, clientY: (event.clientY + other.y) / 2 });
        const factor = before / after;
        moveTo(point.re + (view.re - point.re) * factor, point.im + (view.im - point.im) * factor, view.span * factor);
      }
    } else {
      moveTo(view.re - (event.clientX - finger.x) * per, view.im + (event.clientY - finger.y) * per, view.span);
    }
    Object.assign(finger, { x: event.clientX, y: event.clientY });
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => {
      fingers.delete(event.pointerId);
      if (!fingers.size) canvas.classList.remove("dragging");
    });
  canvas.addEventListener("dblclick", (event) => {
    const point = at(event);
    moveTo(point.re, point.im, view.span / 3);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = view.span * 0.15;
    const moves = { ArrowLeft: [-step, 0, 1], ArrowRight: [step, 0, 1], ArrowUp: [0, step, 1], ArrowDown: [0, -step, 1], "+": [0, 0, 1 / 1.6], "=": [0, 0, 1 / 1.6], "-": [0, 0, 1.6] };
    if (event.key === "0") moveTo(-0.6, 0, 3.4);
    else if (moves[event.key]) moveTo(view.re + moves[event.key][0], view.im + moves[event.key][1], view.span * moves[event.key][2]);
    else return;
    event.preventDefault();
  });

  // ---- the panel ----

  const iterations = h("select", { onchange: () => { view.iterations = Number(iterations.value); again(true); } }, [500, 1000, 5000, 20000, 100000].map((n) => h("option", { value: n, selected: n === view.iterations }, number(n))));
  const tinted = h("input", { type: "checkbox", checked: true, onchange: () => { tint = tinted.checked; again(true); } });
  const places = h("select", { ariaLabel: "Places", onchange: () => {
    const place = PLACES[Number(places.value)];
    if (place) moveTo(place[1], place[2], place[3]);
    places.value = "";
  } }, h("option", { value: "" }, "Go to …"), PLACES.map(([name], i) => h("option", { value: i }, name)));
  const victim = h("select", { ariaLabel: "Node to be killed" });
  const killing = h("div.form", { hidden: true }, field("In this dev cluster", victim, "Its tiles are drawn again elsewhere; the picture is the same to the last bit."), roleButton("admin", "Kill the node", kill, "danger"));

  async function kill() {
    const name = victim.value;
    if (!name || !await dialog({ title: `Kill ${name}?`, text: "Its process ends at once, as by kill -9. kith dev N starts it again.", action: "Kill", kind: "danger" })) return;
    try {
      await api(`/v1/nodes/${encodeURIComponent(name)}/kill`, { method: "POST" });
      note(`Killed ${name}`);
    } catch (error) {
      failed(error);
    }
  }

  async function measure() {
    fill(speed, h("p.quiet", null, "Drawing with 1, 2, … nodes"));
    const names = nodes.filter((node) => node.status === "alive").map((node) => node.name);
    const rows = [];
    const test = { re: -0.7453, im: 0.1127, span: 0.0065, width: 768, height: 768, iterations: 5000 };
    for (let n = 1; n <= names.length && !closed; n++) {
      const tiles = [];
      for (let i = 0; i < 36; i++) tiles.push({ x: (i % 6) * TILE, y: Math.trunc(i / 6) * TILE, width: TILE, height: TILE });
      const from = performance.now();
      let i = 0;
      await Promise.all(Array.from({ length: UNDER_WAY }, async () => {
        while (i < tiles.length) {
          const mine = i++;
          const response = await api(`/v1/call/mandelbrot.tile?idempotent=true&node=${encodeURIComponent(names[mine % n])}`, { method: "POST", body: argument(test, tiles[mine]), headers: { "Content-Type": "application/octet-stream" }, raw: true });
          await response.arrayBuffer();
        }
      })).catch(failed);
      rows.push(performance.now() - from);
      fill(speed, facts(rows.map((ms, k) => [`${k + 1} node${k ? "s" : ""}`, `${number(36000 / ms, 0)} tiles/s · ${(rows[0] / ms).toFixed(2)} ×`])));
    }
  }

  const live = subscribe("nodes", {}, ({ doc, rows }) => {
    if (!doc) return;
    nodes = rows.filter((row) => row.role === "node").sort((a, b) => a.name.localeCompare(b.name, "en", { numeric: true }));
    const others = nodes.filter((node) => node.status === "alive" && node.id !== doc.self).map((node) => node.name);
    killing.hidden = !doc.dev || others.length === 0;
    if ([...victim.options].map((o) => o.value).join() !== others.join()) fill(victim, others.map((name) => h("option", { value: name }, name)));
    drawWorkers();
  });
  const timer = setInterval(() => !document.hidden && drawWorkers(), 500);
  requestAnimationFrame(size);

  return {
    title: "Mandelbrot",
    element: [pageHead("Mandelbrot", { crumbs: [["Apps", "#/apps"]], sub: "Drag to move, turn the wheel or pinch to zoom, double-click to dive. What scrolls out of view is cancelled on the nodes." }),
      h("div.explorer", null, h("div", null, stage, trouble),
        h("div.panel", null, card("Who draws", workers, sum),
          card(null, h("div.form", null, places, field("Iterations", iterations), h("label.check", null, tinted, "Tint by node"), killing)),
          card("Speed-up", h("p.quiet", null, "The same 36 tiles, drawn by one node, two, and so on."), speed, roleButton("operator", "Measure", measure))))],
    close: () => {
      closed = true;
      generation++;
      abort.abort();
      clearInterval(timer);
      watch.disconnect();
      live.close();
    },
  };
}
