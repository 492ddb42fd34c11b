// Boards of a node, drawn on by the pages of all nodes at once; with ?browser those of this browser alone, which need none.
import { fill, h } from "../lib/dom.js";
import { loadSession, login, may, onSession, session as node } from "../lib/session.js";
import { boardList } from "./list.js";
import { goodBoardName } from "./log.js";
import { NodeTransport } from "./node.js";
import { TITLE } from "./ops.js";
import { browserStore, claimWriter, Session } from "./session.js";
import { BroadcastTransport } from "./transport.js";
import { Whiteboard } from "./whiteboard.js";

const alone = new URLSearchParams(location.search).has("browser");
const transport = alone ? new BroadcastTransport() : new NodeTransport();
const store = browserStore();
let shown = null;
let session = null;
let turn = 0;

const machine = () => (alone ? "this browser" : node.info?.node || "a node");

function person() {
  const kept = JSON.parse(sessionStorage.getItem("kith.board.person") ?? "null");
  if (kept) return { ...kept, machine: machine() };
  const made = { name: node.info?.user || `Guest ${Math.floor(100 + Math.random() * 900)}`, machine: machine(), colour: 2 + Math.floor(Math.random() * 8) };
  keepPerson(made);
  return made;
}
const keepPerson = ({ name, colour }) => sessionStorage.setItem("kith.board.person", JSON.stringify({ name, colour }));

function sorry(error) {
  fill(document.body, h("main.wb-list", null, h("h1", null, "The board cannot be loaded"), h("p", { role: "alert" }, `${error.message}${/[.!?]$/.test(error.message) ? "" : "."}${error.hint ? ` (${error.hint})` : ""}`),
    h("p", null, h("button.wb-primary", { type: "button", onclick: show }, "Try again"))));
}

function notLoggedIn() {
  document.title = "Boards · kith";
  fill(document.body, h("main.wb-list", null, h("h1", null, "Boards"), h("p", null, "Nobody is logged in at this node."),
    h("p", null, h("a.wb-primary", { href: "/#/boards" }, "Log in"))));
}

/** A link of the kind #login=LINK/BOARD logs in first. */
async function begin() {
  if (alone) return true;
  const link = location.hash.match(/^#login=([^/]+)\/?(.*)$/);
  if (link) {
    history.replaceState(null, "", `${location.pathname}${location.search}#${link[2]}`);
    await loadSession();
    if (!node.info.logged_in) await login({ link: decodeURIComponent(link[1]) });
  } else await loadSession();
  return node.info.logged_in;
}

async function show() {
  const mine = ++turn;
  shown?.close();
  shown = null;
  session = null;
  const name = decodeURIComponent(location.hash.slice(1));
  if (!goodBoardName(name)) {
    document.title = "Boards · kith";
    shown = boardList({ place: document.body, transport, readOnly: !alone && !may("operator"), open: (to, title) => {
      if (title) sessionStorage.setItem(`kith.board.title.${to}`, title);
      location.hash = to;
    } });
    return;
  }
  const opening = new Session({ transport, board: name, writer: await claimWriter(name, store), person: person(), store, readOnly: !alone && !may("operator") });
  try {
    await opening.open();
  } catch (error) {
    opening.close();
    if (mine === turn) sorry(error);
    return;
  }
  if (mine !== turn) return opening.close();
  session = opening;
  shown = new Whiteboard({ place: document.body, session, leave: () => { location.hash = ""; }, rename: (to) => keepPerson({ ...session.person, name: to }) });
  const title = sessionStorage.getItem(`kith.board.title.${name}`);
  if (title) {
    sessionStorage.removeItem(`kith.board.title.${name}`);
    session.commit(TITLE, { text: title });
  }
  window.whiteboard = shown;
}

onSession(() => {
  if (session) session.person.machine = machine(); // the page may have moved
});

try {
  if (await begin()) {
    addEventListener("hashchange", show);
    show();
  } else notLoggedIn();
} catch (error) {
  sorry(error);
}
