// The boards of this browser: drawn on by all its pages at once. The page of a node does the same with a transport over that node.
import { fill, h } from "../lib/dom.js";
import { boardList } from "./list.js";
import { goodBoardName } from "./log.js";
import { TITLE } from "./ops.js";
import { browserStore, claimWriter, Session } from "./session.js";
import { BroadcastTransport } from "./transport.js";
import { Whiteboard } from "./whiteboard.js";

const transport = new BroadcastTransport();
const store = browserStore();
let shown = null;
let turn = 0;

function person() {
  const kept = JSON.parse(sessionStorage.getItem("kith.board.person") ?? "null");
  if (kept) return kept;
  const made = { name: `Guest ${Math.floor(100 + Math.random() * 900)}`, machine: "this browser", colour: 2 + Math.floor(Math.random() * 8) };
  keepPerson(made);
  return made;
}
const keepPerson = ({ name, machine, colour }) => sessionStorage.setItem("kith.board.person", JSON.stringify({ name, machine, colour }));

function sorry(error) {
  fill(document.body, h("main.wb-list", null, h("h1", null, "The board cannot be loaded"), h("p", { role: "alert" }, `${error.message}.`),
    h("p", null, h("button.wb-primary", { type: "button", onclick: show }, "Try again"))));
}

async function show() {
  const mine = ++turn;
  shown?.close();
  shown = null;
  const name = decodeURIComponent(location.hash.slice(1));
  if (!goodBoardName(name)) {
    document.title = "Boards · kith";
    shown = boardList({ place: document.body, transport, open: (to, title) => {
      if (title) sessionStorage.setItem(`kith.board.title.${to}`, title);
      location.hash = to;
    } });
    return;
  }
  const session = new Session({ transport, board: name, writer: await claimWriter(name, store), person: person(), store });
  try {
    await session.open();
  } catch (error) {
    session.close();
    if (mine === turn) sorry(error);
    return;
  }
  if (mine !== turn) return session.close();
  shown = new Whiteboard({ place: document.body, session, leave: () => { location.hash = ""; }, rename: (to) => keepPerson({ ...session.person, name: to }) });
  const title = sessionStorage.getItem(`kith.board.title.${name}`);
  if (title) {
    sessionStorage.removeItem(`kith.board.title.${name}`);
    session.commit(TITLE, { text: title });
  }
  window.whiteboard = shown;
}

addEventListener("hashchange", show);
show();
