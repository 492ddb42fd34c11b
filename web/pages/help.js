// How to do things: by key, by command, by program.
import { h } from "../lib/dom.js";
import { api, login, may, session } from "../lib/session.js";
import { card, commandLine, dialog, failed, field, note, pageHead } from "../lib/ui.js";

const KEYS = [["g 1 … g 0", "go to the pages, in the order of the list beside"], ["/", "filter the table, find a file"], ["↑ ↓ ← →", "in the tree of files: move, open and close; Enter goes in, Backspace out, d saves, Delete deletes"], ["t", "light or dark"], ["?", "this page"], ["Esc", "close a dialog"]];
const COMMANDS = [
  ["Look", ["kith status", "kith nodes", "kith events -f"]],
  ["Call", ["kith call sys.uptime --all", "kith fn serve hello -- echo hi"]],
  ["Share", ["kith var set greeting hello", "kith var watch 'sensor/*'", "kith var incr visits"]],
  ["Lock", ["kith lock run build -- make", "kith lock ls"]],
  ["Files", ["kith share add docs ~/docs", "kith fs ls docs", "kith fs get docs/a.txt"]],
  ["Grow", ["kith invite", "kith join TOKEN"]],
];

export function page() {
  return {
    element: [pageHead("Help", { sub: "Everything here can be done by a command and by a program as well." }),
      h("div.cards", null,
        card("Keys", h("div.keys", null, KEYS.flatMap(([key, what]) => [h("kbd", null, key), h("span", null, what)]))),
        card("Account", h("p", null, session.info.user ? `Logged in as ${session.info.user}, ${session.info.role}.` : `Logged in by a link, as ${session.info.role}.`),
          h("div.form", null, h("div.row", null, session.info.user && h("button", { onclick: password }, "Change password"), may("admin") && h("button", { onclick: () => { location.hash = "#/users"; } }, "Users"), session.info.first && h("button.primary", { onclick: first }, "Make the first user")))),
        card("Commands", COMMANDS.map(([title, list]) => h("div.form", null, h("h3", null, title), list.map(commandLine)))),
        card("Programs", h("p", null, "The same is there for curl, Python and browsers. A token for them:"), commandLine("kith web --token"),
          h("p", null, "For example:"), commandLine(`curl -H "Authorization: Bearer $TOKEN" ${session.base || location.origin}/v1/nodes`),
          h("p", null, h("a", { href: `${session.base}/openapi.json` }, "Description of the API (OpenAPI)"), " · ", h("a", { href: `${session.base}/metrics` }, "Metrics (Prometheus)")),
          h("p.quiet", null, "examples/ of the source has a shell script, a Python client and a page of about 60 lines each.")),
        h("section", { class: "card whole" }, h("h2", null, "Words"), h("dl.facts", null, [
          ["Node", "A machine's agent, a member of the cluster."], ["Suspect, failed", "It did not answer in time; then nobody could reach it."], ["Home", "The node that orders the writes of a variable; the view says which."],
          ["View", "What a majority agreed on: who keeps which part of the shared state."], ["Fence", "A number that grows with each grant of a lock."], ["Lease", "How long one may go on without hearing from the others."]].map(([word, what]) => h("div", null, h("dt", null, word), h("dd", null, what))))))],
  };
}

async function first() {
  const answer = await dialog({ title: "Make the first user", text: "It is an admin, on every node of the cluster.", action: "Make",
    fields: [field("User", h("input", { name: "user", required: true, maxLength: 64, autocomplete: "username" })), field("Password", h("input", { name: "password", type: "password", required: true, minLength: 8, autocomplete: "new-password" }))] });
  if (!answer) return;
  try {
    await login(answer, true);
    if (!session.base) location.reload(); // at another node there may be nothing to load any more
  } catch (error) {
    failed(error);
  }
}

async function password() {
  const answer = await dialog({ title: "Change password", action: "Change",
    fields: [field("Old password", h("input", { name: "old_password", type: "password", required: true, autocomplete: "current-password" })), field("New password", h("input", { name: "password", type: "password", required: true, minLength: 8, autocomplete: "new-password" }))] });
  if (!answer) return;
  try {
    await api(`/v1/users/${encodeURIComponent(session.info.user)}`, { method: "PUT", json: answer });
    note("Changed; other sessions of yours have ended");
  } catch (error) {
    failed(error);
  }
}
