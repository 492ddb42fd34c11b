// Who may log in, and as what.
import { fill, h } from "../lib/dom.js";
import { clock } from "../lib/format.js";
import { api, session } from "../lib/session.js";
import { table } from "../lib/table.js";
import { dialog, errorState, failed, field, loadingState, note, pageHead } from "../lib/ui.js";

const ROLES = ["viewer", "operator", "admin"];
const roles = (chosen) => h("select", { name: "role" }, ROLES.map((role) => h("option", { value: role, selected: role === chosen }, role)));

export function page() {
  const body = h("div", null, loadingState("users"));
  body.style.display = "contents";
  const rows = table({
    noun: "user", key: (row) => row.name, sort: "name",
    columns: [
      { key: "name", title: "Name", text: (row) => row.name },
      { key: "role", title: "Role", text: (row) => row.role },
      { key: "created", title: "Created", minor: true, sort: (row) => row.created, text: (row) => clock(row.created) },
      { key: "changed", title: "Changed", minor: true, sort: (row) => row.changed, text: (row) => clock(row.changed) },
      { key: "do", title: "", sort: false, num: true, cell: (row, td) => fill(td, h("button.plain", { onclick: () => change(row) }, "Change"), h("button.plain", { onclick: () => remove(row), disabled: row.name === session.info.user }, "Remove")) },
    ],
    empty: { title: "No users yet", text: "Who has a log-in link is an admin; users make it personal.", command: "kith user add ana --role admin" },
  });

  async function load() {
    try {
      const answer = await api("/v1/users");
      if (!rows.element.isConnected) fill(body, rows.element);
      rows.update(answer.users);
    } catch (error) {
      fill(body, errorState(error, load));
    }
  }
  async function act(work, done) {
    try {
      await work();
      note(done);
    } catch (error) {
      failed(error);
    }
    load();
  }
  async function add() {
    const answer = await dialog({ title: "Add a user", action: "Add",
      fields: [field("Name", h("input", { name: "user", required: true, maxLength: 64, autocomplete: "off" })), field("Password", h("input", { name: "password", type: "password", required: true, minLength: 8, autocomplete: "new-password" })), field("Role", roles("viewer"), "viewer looks; operator changes variables, locks and calls functions; admin does all.")] });
    if (answer) await act(() => api("/v1/users", { method: "POST", json: answer }), `Added ${answer.user}`);
  }
  async function change(row) {
    const answer = await dialog({ title: `Change ${row.name}`, action: "Change",
      fields: [field("Role", roles(row.role)), field("New password", h("input", { name: "password", type: "password", minLength: 8, autocomplete: "new-password" }), "Empty: as it is.")] });
    if (!answer) return;
    const json = { role: answer.role, ...(answer.password && { password: answer.password }) };
    await act(() => api(`/v1/users/${encodeURIComponent(row.name)}`, { method: "PUT", json }), `Changed ${row.name}`);
  }
  async function remove(row) {
    if (await dialog({ title: `Remove ${row.name}?`, text: "Its sessions end at once.", action: "Remove", kind: "danger" }))
      await act(() => api(`/v1/users/${encodeURIComponent(row.name)}`, { method: "DELETE" }), `Removed ${row.name}`);
  }
  load();
  return { element: [pageHead("Users", { crumbs: [["Help", "#/help"]], actions: h("button.primary", { onclick: add }, "Add a user") }), body] };
}
