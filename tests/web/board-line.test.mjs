// The live socket of a page, without a browser and without waiting: nodes that refuse it.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

globalThis.document ??= { hidden: false, addEventListener() {} };
globalThis.location ??= { origin: "http://one" };

const sockets = []; // all that were opened, in order
class Socket {
  static OPEN = 1;
  constructor(url) {
    Object.assign(this, { url, readyState: 0 });
    sockets.push(this);
  }
  close() {}
  send() {}
  opens() {
    this.readyState = Socket.OPEN;
    this.onopen();
  }
  refuses(reason) {
    this.opens(); // as lws does: the handshake is over before the module is asked
    this.readyState = 3;
    this.onclose({ code: 4503, reason });
  }
}
globalThis.WebSocket = Socket;

const timers = []; // {run, ms}, of which each is run by hand
globalThis.setTimeout = (run, ms) => timers.push({ run, ms });
globalThis.clearTimeout = (no) => { if (timers[no - 1]) timers[no - 1].run = null; };
globalThis.setInterval = () => 0;
globalThis.clearInterval = () => {};

const logins = [];
globalThis.fetch = async (url) => {
  const { pathname, origin } = new URL(url, location.origin);
  const answer = (body) => new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
  if (pathname === "/v1/session") return answer({ logged_in: true, handover: "h" });
  if (pathname === "/v1/nodes") return answer({ nodes: members, self: origin === "http://one" ? "1" : "2" });
  logins.push(origin);
  return answer({ token: "t" });
};
let members = [];

const { NodeTransport } = await import("../../web/board/node.js");
const { loadSession, session } = await import("../../web/lib/session.js");

const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
/** The pause until the next socket, which then is opened. */
async function next() {
  await settled();
  const timer = timers.findLast(({ run, ms }) => run && ms <= 4000 && String(run).includes("connect"));
  const { run, ms } = timer;
  timer.run = null;
  run();
  await settled();
  return ms;
}

let states;
beforeEach(async () => {
  sockets.length = timers.length = logins.length = 0;
  members = [];
  session.base = session.bearer = "";
  session.members = new Map();
  await loadSession();
  states = [];
});

const line = () => new NodeTransport().subscribe("plan", { state: (text) => states.push(text), missed() {}, live() {}, log() {} });
const FULL = "128 pages of this node are on this board, the limit: open it at another node";

test("what a node refuses with is shown, and pauses grow though each socket opens", async () => {
  const mine = line();
  const pauses = [];
  for (let i = 0; i < 7; i++) {
    sockets.at(-1).refuses(FULL);
    assert.equal(states.at(-1), FULL);
    pauses.push(await next());
  }
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 4000, 4000]);
  assert.equal(sockets.length, 8);
  sockets.at(-1).opens();
  assert.equal(states.at(-1), "live");
  sockets.at(-1).onmessage({ data: new ArrayBuffer(0) }); // it is in: all is as before
  sockets.at(-1).onclose({ code: 1006, reason: "" });
  assert.equal(states.at(-1), "connecting again");
  assert.equal(await next(), 100);
  mine.close();
});

test("a page that is refused goes on at another node at once", async () => {
  members = [{ id: "1", name: "one", status: "alive", web: "http://one" }, { id: "2", name: "two", status: "alive", web: "http://two" }];
  const mine = line();
  await settled();
  sockets[0].refuses(FULL);
  await next();
  assert.deepEqual(logins, ["http://two"]);
  assert.equal(sockets[1].url, "ws://two/v1/boards/plan/live");
  sockets[1].opens();
  assert.equal(states.at(-1), "live");
  mine.close();
});

test("where all nodes refuse, a page does not run from one to the other", async () => {
  members = [{ id: "1", name: "one", status: "alive", web: "http://one" }, { id: "2", name: "two", status: "alive", web: "http://two" }];
  const mine = line();
  const pauses = [];
  await settled();
  for (let i = 0; i < 6; i++) {
    sockets.at(-1).refuses(FULL);
    pauses.push(await next());
  }
  assert.deepEqual(pauses, [250, 500, 1000, 2000, 4000, 4000]);
  mine.close();
});
