// What can be done to a node: connect, disconnect, drain, tag, forget. Each asks, does it, and says that it was done.
import { h } from "../lib/dom.js";
import { api } from "../lib/session.js";
import { dialog, failed, field, note } from "../lib/ui.js";

const at = (name, what = "") => `/v1/nodes/${encodeURIComponent(name)}${what}`;

/** Does @work and says @done, or what went wrong; true if it was done. */
async function act(work, done) {
  try {
    await work();
    note(done);
    return true;
  } catch (error) {
    failed(error);
    return false;
  }
}

export async function connect() {
  const answer = await dialog({
    title: "Connect to a node", text: "It must belong to this cluster: it needs the same secret. kith join on the other machine does the same from there.", action: "Connect",
    fields: [field("Address", h("input", { name: "address", required: true, placeholder: "10.0.0.5:7117 or [fe80::1%eth0]:7117", spellcheck: false }))],
  });
  if (answer) await act(() => api("/v1/nodes", { method: "POST", json: { address: answer.address.trim() } }), `Connected to ${answer.address}`);
}

export async function disconnect(name) {
  const sure = await dialog({ title: `Disconnect ${name}?`, text: "Its streams to this node close in order. It goes on running and stays a member; its next call or the next echo connects again.", action: "Disconnect", kind: "danger" });
  if (sure) await act(() => api(at(name), { method: "DELETE" }), `Disconnected ${name}`);
}

export async function forget(name) {
  const sure = await dialog({ title: `Forget ${name}?`, text: "Every node drops it from its list. If it comes back it joins as new.", action: "Forget", kind: "danger" });
  if (sure && await act(() => api(at(name, "/forget"), { method: "POST" }), `Forgot ${name}`)) location.hash = "#/nodes";
}

export async function drain(name) {
  const sure = await dialog({ title: `Drain ${name}?`, text: "From now on no node or program chooses it for a call, and maps give it nothing. What it runs goes on, and a call that names it is served. It stays drained, over restarts too, until it is taken back.", action: "Drain" });
  if (sure) await act(() => api(at(name, "/drain"), { method: "POST" }), `Drained ${name}`);
}

export async function undrain(name) {
  const sure = await dialog({ title: `Take ${name} back?`, text: "It is chosen for calls and items of maps again.", action: "Take back" });
  if (sure) await act(() => api(at(name, "/undrain"), { method: "POST" }), `${name} is chosen again`);
}

/** The tags of "key=value" lines; throws a sentence. */
export function readTags(text) {
  const tags = {};
  for (const line of text.split("\n").map((one) => one.trim()).filter(Boolean)) {
    const equals = line.indexOf("=");
    if (equals < 1) throw new Error(`"${line}" is no tag: write KEY=VALUE, such as zone=b.`);
    const key = line.slice(0, equals).trim();
    if (key in tags) throw new Error(`${key} is there twice.`);
    tags[key] = line.slice(equals + 1).trim();
  }
  return tags;
}

export const tagLines = (tags) => Object.entries(tags ?? {}).sort().map(([key, value]) => `${key}=${value}`);

export async function editTags(name, tags) {
  const area = h("textarea", { name: "tags", spellcheck: false, rows: 6, value: tagLines(tags).join("\n"), oninput: check });
  function check() {
    try {
      readTags(area.value);
      area.setCustomValidity("");
    } catch (error) {
      area.setCustomValidity(error.message);
    }
  }
  const answer = await dialog({ title: `Tags of ${name}`, text: "What people say of a node: where it stands, what it is for. Every node knows them.", action: "Save",
    fields: [field("One a line, KEY=VALUE", area, "kith tag set does the same.")] });
  if (!answer) return;
  const wanted = readTags(answer.tags);
  const changes = {};
  for (const [key, value] of Object.entries(wanted)) if ((tags ?? {})[key] !== value) changes[key] = value;
  for (const key of Object.keys(tags ?? {})) if (!(key in wanted)) changes[key] = null;
  if (Object.keys(changes).length) await act(() => api(at(name, "/tags"), { method: "POST", json: { tags: changes } }), `Tags of ${name} saved`);
}

/** Tags as small labels. */
export function tagLabels(tags) {
  return tagLines(tags).map((one) => h("span.tag", null, one));
}
