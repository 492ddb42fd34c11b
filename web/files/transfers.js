// What is under way: files that this browser sends, and what the node fetches from others; how far, how fast, from whom.
import { fill, h, text } from "../lib/dom.js";
import { bytes, count, rate, span } from "../lib/format.js";
import { transfers as follow, upload as send } from "../lib/files.js";
import { link } from "../lib/route.js";
import { session } from "../lib/session.js";
import { emptyState } from "../lib/ui.js";
import { glyph } from "./icons.js";
import { Queue } from "./queue.js";
import { nameOf } from "./store.js";

/** Uploads of this browser: they go on while other pages are looked at. */
export const queue = new Queue(send);
addEventListener("beforeunload", (event) => {
  if (queue.running.length) event.preventDefault();
});

const STRIP_MAX = 4; // lines above the tree

const known = (value) => value !== null && value !== undefined;
const left = (size, done, speed) => (speed > 0 && done < size ? `${span(((size - done) / speed) * 1000)} left` : "");

/** A line: {element, draw({name, path, size, done, speed, state, words, error, actions})}. */
function line() {
  const name = h("a.name");
  const words = h("span.quiet.words");
  const bar = h("i");
  const meter = h("span.progress", { role: "progressbar", ariaValueMin: "0", ariaValueMax: "100" }, bar);
  const trouble = h("p.trouble", { hidden: true, role: "alert" });
  const acts = h("span.acts");
  const image = h("span.way");
  const element = h("li.transfer", null, image, name, words, acts, meter, trouble);
  return {
    element,
    draw({ up, path, size, done, said, state, error, actions = [] }) {
      if (image.dataset.up !== String(up)) {
        image.dataset.up = String(up);
        fill(image, glyph(up ? "upload" : "download"));
      }
      text(name, nameOf(path));
      name.href = link("files", ...path.split("/"));
      name.title = path;
      text(words, said);
      const share = size > 0 ? Math.min(1, done / size) : state === "done" ? 1 : 0;
      bar.style.transform = `scaleX(${share})`;
      meter.setAttribute("aria-valuenow", String(Math.round(share * 100)));
      meter.setAttribute("aria-label", path);
      element.dataset.state = state;
      trouble.hidden = !error;
      text(trouble, error ? [error.message, error.hint].filter(Boolean).join(" ") : "");
      const key = actions.map(([label]) => label).join();
      if (acts.dataset.key === key) return;
      acts.dataset.key = key;
      fill(acts, actions.map(([label, run]) => h("button.plain", { onclick: run, ariaLabel: `${label}: ${nameOf(path)}` }, label)));
    },
  };
}

function upload(item) {
  const { rate: speed } = item.speed;
  const far = `${bytes(item.done)} of ${bytes(item.size)}`;
  const said = {
    waiting: `${bytes(item.size)}, waits`,
    running: item.done >= item.size && item.size > 0 ? `${bytes(item.size)} sent, being made durable` : [far, speed !== undefined && rate(speed), left(item.size, item.done, speed)].filter(Boolean).join(" · "),
    done: `${bytes(item.size)} · done`, "given up": "given up", exists: "is there already", failed: `failed after ${bytes(item.done)}`,
  }[item.state];
  const actions = {
    waiting: [["Give up", () => queue.cancel(item)]], running: [["Give up", () => queue.cancel(item)]],
    exists: [["Replace", () => queue.again(item, { replace: true })], ["Leave it", () => queue.forget(item)]],
    failed: [["Try again", () => queue.again(item)], ["Dismiss", () => queue.forget(item)]],
  }[item.state];
  return { up: true, path: item.path, size: item.size, done: item.done, said, state: item.state, error: item.state === "failed" ? item.error : null, actions };
}

const DOES = { download: "read", pin: "pinned", verify: "verified", upload: "sent" };

function ofNode(row) {
  const [done, size, speed] = [Number(row.done_bytes), Number(row.all_bytes), Number(row.bytes_per_s ?? 0)];
  const ended = { done: `${bytes(done)} ${DOES[row.what] ?? ""} · done`, failed: `failed after ${bytes(done)}` }[row.state];
  const from = (row.from ?? []).map((one) => (one.bytes_per_s ? `${one.name} (${rate(Number(one.bytes_per_s))})` : one.name)).join(", ");
  const eta = known(row.left_ms) && done < size && `${span(Number(row.left_ms))} left`;
  return { up: row.what === "upload", path: row.path, size, done, state: row.state, error: row.state === "failed" ? { message: row.text } : null,
    said: ended ?? [`${bytes(done)} of ${bytes(size)}`, speed > 0 && rate(speed), eta, from && `from ${from}`, row.user && row.user !== session.info?.user && `by ${row.user}`, row.text].filter(Boolean).join(" · ") };
}

/** {whole, strip, close}: all that is under way, and a few lines of it that are hidden while there is nothing. @tell(n): how many. */
export function transfers(tell) {
  let rows = [];
  let frame = 0;
  const views = [STRIP_MAX, Infinity].map((max) => ({ max, list: h("ul.transfers"), lines: new Map() }));
  const [small, large] = views;
  const none = emptyState({ title: "Nothing is under way", text: "Uploads of this page show here, and what this node fetches from others, with the nodes it comes from.", command: "kith fs get SHARE/dir/file" });
  const more = h("a", { href: "#/files?view=transfers" });
  const strip = h("section.card.strip", { hidden: true, ariaLabel: "Under way" }, small.list, more);
  const whole = h("section.card", null, h("h2", null, "Transfers"), large.list, none);

  function all() {
    return [...queue.items.map((item) => [`up ${item.id}`, upload(item)]), ...rows.map((row) => [`node ${row.id}`, ofNode(row)])];
  }

  function draw() {
    frame = 0;
    const list = all();
    for (const view of views) {
      const wanted = list.slice(0, view.max);
      const keys = new Set(wanted.map(([key]) => key));
      for (const [key, one] of view.lines)
        if (!keys.has(key)) {
          one.element.remove();
          view.lines.delete(key);
        }
      for (const [key, facts] of wanted) {
        if (!view.lines.has(key)) {
          view.lines.set(key, line());
          view.list.append(view.lines.get(key).element);
        }
        view.lines.get(key).draw(facts);
      }
    }
    none.hidden = list.length > 0;
    strip.hidden = list.length === 0;
    more.hidden = list.length <= STRIP_MAX;
    text(more, `${count(list.length - STRIP_MAX, "more transfer")}`);
    tell(queue.running.length + rows.filter((row) => row.state === "running").length);
  }
  const later = () => {
    if (!frame) frame = requestAnimationFrame(draw);
  };
  const deaf = queue.listen(later);
  const live = follow((list) => {
    // what this page sends is known here to the byte, and before the node has heard of it
    const mine = new Set(queue.items.map((item) => item.path));
    rows = list.filter((row) => row.what !== "upload" || !mine.has(row.path));
    later();
  });
  draw();
  return {
    strip, whole, tick: later,
    close() {
      cancelAnimationFrame(frame);
      deaf();
      live.close();
    },
  };
}
