// The newest lines of a node's log, which go on while they are followed.
import { fill, h, text } from "../lib/dom.js";
import { clock, count } from "../lib/format.js";
import { query, setQuery } from "../lib/route.js";
import { api, may } from "../lib/session.js";
import { copyButton, errorState } from "../lib/ui.js";

const EVERY_MS = 2000;
const KEPT = 2000;
const AT_ONCE = 200;
const LEVELS = ["error", "warn", "info", "debug"];
const SHAPES = { error: ["error", "■"], warn: ["warn", "▲"], info: ["ok", "●"], debug: ["quiet", "·"] };

/** Log lines of the node called @name ("": the one that the page talks to): {element, close}. */
export function logTail(name) {
  if (!may("operator")) return { element: h("section", { class: "card whole" }, h("h2", null, "Log"), h("p.quiet", null, "Log lines are shown to operators.")), close() {} };
  let level = LEVELS.includes(query().get("level")) ? query().get("level") : "info";
  let following = true;
  let lines = [];
  let timer = 0;
  let turn = 0;
  let lost = false; // it did not answer: when it does, it may be another process, whose lines are counted anew
  let closed = false;
  const body = h("div.log", { tabIndex: 0, role: "log", ariaLabel: "Log lines", ariaLive: "off" });
  const state = h("span.sum", { role: "status" });
  const pause = h("button", { ariaPressed: "false", onclick: () => {
    following = !following;
    pause.setAttribute("aria-pressed", String(!following));
    text(pause, following ? "Pause" : "Follow");
    say();
    if (following) ask();
  } }, "Pause");
  const choice = h("select", { ariaLabel: "Least level", onchange: () => {
    level = choice.value;
    setQuery({ level: level === "info" ? "" : level });
    begin();
  } }, LEVELS.map((one) => h("option", { value: one, selected: one === level }, one === "error" ? "errors only" : `${one} and above`)));
  const words = h("input.filter", { type: "search", placeholder: "Filter lines", ariaLabel: "Filter log lines", spellcheck: false, autocomplete: "off", oninput: draw });
  const older = h("button.plain", { onclick: () => earlier() }, "Older lines");
  const trouble = h("div");
  const element = h("section", { class: "table whole" },
    h("div.toolbar", null, h("h2", null, "Log"), words, choice, pause, h("span.grow"), state, copyButton(() => picked().map((one) => one.line).join("\n"), "Copy the lines")), trouble, body, h("div.pager", null, older));

  const path = (more) => `/v1/logs?${new URLSearchParams({ ...(name && { node: name }), level, lines: AT_ONCE, ...more })}`;
  const picked = () => {
    const all = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    return lines.filter((one) => all.every((word) => one.line.toLowerCase().includes(word)));
  };

  function begin() {
    turn++;
    lines = [];
    body.replaceChildren();
    older.disabled = false;
    ask();
  }

  async function ask() {
    clearTimeout(timer);
    if (closed || !following) return;
    const mine = turn;
    if (!document.hidden) {
      try {
        const last = lines.at(-1)?.seq;
        const answer = await api(path(last === undefined ? {} : { after: last }));
        if (closed || mine !== turn) return;
        fill(trouble);
        if (lost) {
          lost = false;
          return begin();
        }
        if (!following) return;
        if (answer.lines.length || last === undefined) {
          lines = [...lines, ...answer.lines].slice(-KEPT);
          draw();
        }
      } catch (error) {
        if (closed || mine !== turn) return;
        lost = true;
        fill(trouble, errorState(error, ask));
      }
    }
    timer = setTimeout(ask, EVERY_MS);
  }

  async function earlier() {
    const mine = turn;
    older.disabled = true;
    try {
      const answer = await api(path(lines.length ? { before: lines[0].seq } : {}));
      if (closed || mine !== turn) return;
      lines = [...answer.lines, ...lines];
      older.disabled = answer.lines.length === 0;
      draw();
    } catch (error) {
      older.disabled = false;
      fill(trouble, errorState(error, earlier));
    }
  }

  function draw() {
    const end = body.scrollTop + body.clientHeight >= body.scrollHeight - 24;
    const list = picked();
    fill(body, list.length ? list.map(line) : h("div.none", null, lines.length ? "No line matches." : "Nothing was logged at this level yet."));
    if (end) body.scrollTop = body.scrollHeight;
    say();
  }
  function say() {
    text(state, `${count(picked().length, "line")}${following ? "" : ", paused"}`);
  }

  function line(one) {
    const [kind, shape] = SHAPES[one.level] ?? SHAPES.debug;
    return h("div.line", null, h("time", { title: one.time }, clock(one.time)), h(`span.level.${kind}`, { title: one.level }, h("span.shape", { ariaHidden: "true" }, shape), h("span.offscreen", null, one.level)), h("code", null, message(one.line)));
  }

  ask();
  return {
    element,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** A logfmt line without the time and the level, which stand beside it. */
export const message = (line) => line.replace(/^time=\S+ /, "").replace(/^level=\S+ /, "").replace(/^msg=/, "");
