// The first page: logs in with the link of `kith web`, and shows the nodes live.
const app = document.getElementById("app");

async function api(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { "X-Kith": "1", "Content-Type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const doc = await answer.json();
  if (!answer.ok) throw new Error(doc.message);
  return doc;
}

function show(document_) {
  const rows = document_.nodes.map((node) => {
    const row = document.createElement("tr");
    for (const text of [node.name, node.status, node.address, node.version]) {
      const cell = document.createElement("td");
      cell.textContent = text;
      row.append(cell);
    }
    return row;
  });
  const table = document.createElement("table");
  table.append(...rows);
  app.replaceChildren(table);
}

function follow() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`);
  let state = null;
  socket.onopen = () => socket.send(JSON.stringify({ op: "subscribe", id: 1, topic: "nodes", args: {} }));
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.full) state = message.full;
    if (!state) return;
    const nodes = new Map(state.nodes.map((node) => [node.id, node]));
    for (const change of message.set ?? []) nodes.set(change.id, { ...nodes.get(change.id), ...change });
    for (const id of message.removed ?? []) nodes.delete(id);
    state.nodes = [...nodes.values()];
    show(state);
  };
  document.addEventListener("visibilitychange", () => {
    if (socket.readyState === WebSocket.OPEN)
      socket.send(JSON.stringify({ op: document.hidden ? "pause" : "resume" }));
  });
}

async function main() {
  const link = new URLSearchParams(location.hash.slice(1)).get("login");
  if (link) {
    history.replaceState(null, "", "/");
    await api("POST", "/v1/login", { link });
  }
  if ((await api("GET", "/v1/session")).logged_in) follow();
  else app.textContent = "Nobody is logged in. kith web prints a link.";
}

main().catch((error) => { app.textContent = error.message; });
