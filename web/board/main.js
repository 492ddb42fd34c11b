// The boards of this browser: drawn on by all its pages at once. The page of a node does the same with a transport over that node.
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
  sessionStorage.setItem("kith.board.person", JSON.stringify(made));
  return made;
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
  await session.open();
  if (mine !== turn) return session.close();
  shown = new Whiteboard({ place: document.body, session, leave: () => { location.hash = ""; } });
  const title = sessionStorage.getItem(`kith.board.title.${name}`);
  if (title) {
    sessionStorage.removeItem(`kith.board.title.${name}`);
    session.commit(TITLE, { text: title });
  }
  window.whiteboard = shown;
}

addEventListener("hashchange", show);
show();
