// The frame around the pages: who is logged in, where one is, whether what is shown is fresh.
import { load as loadCharts } from "./lib/chart.js";
import { fill, h, icon, text } from "./lib/dom.js";
import { ago } from "./lib/format.js";
import { here } from "./lib/route.js";
import { addressThere, ApiError, loadSession, login, logout, onSession, session } from "./lib/session.js";
import { connection, onConnection, start, stop, subscribe } from "./lib/stream.js";
import { errorState, failed, loadingState, pageHead } from "./lib/ui.js";
import { door } from "./pages/door.js";

// path -> module of the page; each exports page(path) -> {element, tick?, close?}
const PAGES = {
  "": "overview", nodes: "nodes", resources: "resources", self: "self", functions: "functions", variables: "variables",
  locks: "locks", files: "files", events: "events", apps: "apps", help: "help", users: "users",
};
const LARGE = ["files"]; // fetched when they are gone to, or when there is much time
const MUCH_TIME_MS = 20000;
// In the order of the keys g and a digit; the help, for which no digit is left, has a key of its own.
const ITEMS = [
  ["", "Overview", "overview"], ["nodes", "Nodes", "nodes"], ["resources", "Resources", "resources"], ["self", "This node", "self"],
  ["functions", "Functions", "functions"], ["variables", "Variables", "variables"], ["locks", "Locks", "locks"], ["files", "Files", "files"],
  ["events", "Events", "events"], ["apps", "Apps", "apps"], ["help", "Help", "help"],
];

let frame = null;
let shown = null; // {name, element, title, tick, within, close}
let missing = false; // what is to be shown could not be loaded
let turn = 0;

async function boot() {
  fill(document.body, h("div.door", null, loadingState("kith")));
  try {
    await exchangeLink();
    if (!session.info) await loadSession();
    await takeOver();
  } catch (error) {
    fill(document.body, h("div.door", null, errorState(error, boot)));
    return;
  }
  onSession(enter);
  enter();
}

// A log-in link has its token behind #login=, where no log sees it; it goes from the address at once.
async function exchangeLink() {
  const match = location.hash.match(/^#login=([\w-]+)/);
  if (!match) return;
  history.replaceState(null, "", "#/");
  try {
    await login({ link: match[1] });
  } catch (error) {
    await loadSession();
    session.problem = error;
  }
}

// A page of a node that died sends one here with its token (addressThere). Who is logged in stays who it is.
async function takeOver() {
  const match = location.hash.match(/^#handover=([\w.-]+)&?(.*)/);
  if (!match) return;
  history.replaceState(null, "", `#${match[2] || "/"}`);
  if (!session.info.logged_in) await login({ handover: match[1] }).catch(() => {}); // too old: one logs in
}

function enter() {
  if (!session.info?.logged_in) {
    stop();
    leave();
    frame = null;
    door(document.body);
    return;
  }
  if (!frame) {
    frame = makeFrame();
    fill(document.body, frame.element);
    start();
    watchMembers();
    show().then(() => (window.requestIdleCallback ? requestIdleCallback(fetchRest, { timeout: 1000 }) : setTimeout(fetchRest)));
  }
  frame.who();
}

// All the other pages too: when the node dies nothing more can be had from it, and the page lives on at another.
function fetchRest() {
  for (const name of Object.values(PAGES)) setTimeout(() => import(`./pages/${name}.js`).catch(() => {}), LARGE.includes(name) ? MUCH_TIME_MS : 0);
  loadCharts().catch(() => {});
}

let members = null;
// Who else there is: for the tally beside Nodes, and to go on there when this node dies.
function watchMembers() {
  members?.close();
  members = subscribe("nodes", {}, ({ doc, rows }) => {
    if (!doc) return;
    // An address is not told while its node is not there; when it is back it may be the only one left.
    session.members = new Map(rows.filter((row) => row.id !== doc.self).map((row) => [row.id, { ...row, web: row.web ?? session.members.get(row.id)?.web }]));
    const bad = rows.filter((row) => row.status === "failed" || row.status === "suspect").length;
    frame?.tally(rows.filter((row) => row.status === "alive").length, bad);
    frame?.cluster(doc.cluster, rows.find((row) => row.id === doc.self)?.name);
  });
}

function makeFrame() {
  const cluster = h("b", null, session.info.cluster || "kith");
  const node = h("span", null, session.info.node ? `at ${session.info.node}` : "");
  const barCluster = h("b", null, session.info.cluster || "kith");
  const tally = h("span.tally");
  const items = ITEMS.map(([path, title, image]) =>
    h("a.item", { href: `#/${path}`, dataset: { path } }, icon(image), title, path === "nodes" && tally));
  const name = h("span.name");
  const state = h("div.link-state", { role: "status" }, h("span.shape", { ariaHidden: "true" }, "●"), h("span"));
  const side = h("nav.side", { ariaLabel: "Pages", id: "side" },
    h("a.brand", { href: "#/" }, h("img", { src: "/icon.svg", alt: "" }), h("div", null, cluster, node)),
    items,
    h("div.foot", null, state,
      h("div.who", null, name,
        h("button.icon-only", { ariaLabel: "Light or dark", title: "Light or dark", onclick: turnTheme }, icon("moon")),
        h("button.icon-only", { ariaLabel: "Log out", title: "Log out", onclick: () => logout().catch(failed) }, icon("out")))));
  const open = h("button.icon-only", { ariaLabel: "Menu", ariaExpanded: "false", ariaControls: "side", onclick: () => menu(!side.classList.contains("open")) }, icon("menu"));
  const banner = h("div.banner", { hidden: true, role: "status" }, h("span.shape", { ariaHidden: "true" }, "▲"), h("span"));
  const main = h("main", { id: "main", tabIndex: -1 });
  const element = h("div.frame", null,
    h("a.skip", { href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, "Skip to the content"),
    side, h("div", null, h("div.bar", null, h("a.brand", { href: "#/" }, h("img", { src: "/icon.svg", alt: "" }), h("div", null, barCluster)), open), main));
  main.append(banner);

  function menu(on) {
    side.classList.toggle("open", on);
    open.setAttribute("aria-expanded", String(on));
  }

  return {
    element, main, banner,
    menu,
    who: () => text(name, session.info.user ? `${session.info.user} · ${session.info.role}` : `${session.info.role} (by link)`),
    cluster: (title, at) => {
      text(cluster, title);
      text(barCluster, title);
      text(node, at ? `at ${at}` : "");
    },
    tally: (alive, bad) => {
      tally.classList.toggle("bad", bad > 0);
      text(tally, bad ? `${bad} ▲` : alive);
      tally.title = bad ? `${bad} suspect or failed` : `${alive} alive`;
    },
    mark: (path) => {
      for (const item of items)
        if (item.dataset.path === path) item.setAttribute("aria-current", "page");
        else item.removeAttribute("aria-current");
    },
    fresh: () => {
      const words = { live: "live", connecting: "connecting", stale: "reconnecting", lost: "no node answers", off: "" };
      state.className = `link-state ${connection.state}`;
      text(state.lastChild, [words[connection.state], connection.note].filter(Boolean).join(", "));
      const late = connection.state === "stale" || connection.state === "lost";
      const since = performance.now() - (connection.heard || connection.since);
      banner.hidden = !late || since < 1500;
      banner.classList.toggle("lost", connection.state === "lost");
      if (!banner.hidden)
        text(banner.lastChild, `Last update ${ago(since)}: ${connection.state === "lost" ? "this node does not answer, and no other could be reached yet" : "reconnecting"}. What is shown may have changed.`);
    },
  };
}

function leave() {
  try {
    shown?.close?.();
  } catch (error) {
    console.error(error);
  }
  shown = null;
}

async function show() {
  if (!frame) return;
  const { path } = here();
  const key = path.join("/");
  // A page with places within it goes to them by itself.
  if (shown?.within && shown.name === path[0]) {
    frame.menu(false);
    document.title = `${shown.within(path.slice(1))} · kith`;
    return;
  }
  leave();
  const mine = ++turn;
  frame.menu(false);
  frame.mark(path[0] ?? "");
  const place = h("div", { class: "page", hidden: false });
  place.style.display = "contents";
  fill(frame.main, frame.banner, place);
  const name = PAGES[path[0] ?? ""];
  if (!name) {
    fill(place, [pageHead("No such page"), errorState({ message: `There is no page ${key}.`, hint: "The menu has the pages that are." })]);
    return;
  }
  const patience = setTimeout(() => fill(place, loadingState(name)), 150);
  missing = false;
  try {
    const { page } = await import(`./pages/${name}.js`);
    if (mine !== turn) return;
    shown = { name: path[0], ...(await page(path.slice(1))) };
    if (mine !== turn) return leave();
    clearTimeout(patience);
    fill(place, shown.element);
    document.title = `${shown.title ?? ITEMS.find(([p]) => p === (path[0] ?? ""))?.[1] ?? "kith"} · kith`;
    scrollTo(0, 0);
  } catch (error) {
    clearTimeout(patience);
    console.error(error);
    if (mine !== turn) return;
    missing = !(error instanceof ApiError);
    fill(place, errorState(error, () => { shown = null; show(); }));
    goThere();
  }
}

// A page that was not loaded before its node died: the node that we went on at has it.
function goThere() {
  if (missing && session.base && connection.state === "live") location.replace(addressThere(location.hash));
}

function turnTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("kith.theme", root.dataset.theme);
  } catch {
    /* holds until the page is left */
  }
}

// Keys: g and a digit goes to a page, / to the filter, ? to the help.
let went = 0;
addEventListener("keydown", (event) => {
  if (!frame || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, canvas")) return;
  if (event.key === "g") {
    went = performance.now();
  } else if (performance.now() - went < 1500 && /^[0-9]$/.test(event.key)) {
    went = 0;
    location.hash = `#/${ITEMS[(Number(event.key) + 9) % 10][0]}`;
  } else if (event.key === "/") {
    const filter = document.querySelector("main .filter");
    if (filter) {
      event.preventDefault();
      filter.focus();
    }
  } else if (event.key === "?") {
    location.hash = "#/help";
  } else if (event.key === "t") {
    turnTheme();
  }
});

addEventListener("hashchange", () => {
  if (/^#(login|handover)=/.test(location.hash)) boot();
  else show();
});
onConnection(() => {
  frame?.fresh();
  goThere();
});
setInterval(() => {
  if (document.hidden || !frame) return;
  frame.fresh();
  shown?.tick?.();
}, 1000);

boot();
