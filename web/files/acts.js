// What can be done to a path. Each says what became of it; what failed says why and what to do.
import { h } from "../lib/dom.js";
import { bytes, count } from "../lib/format.js";
import { address, content, evict, keep, pin, remove, restore, unpin, verify } from "../lib/files.js";
import { dialog, failed, note } from "../lib/ui.js";
import { isFolder, nameOf } from "./store.js";
import { files } from "./words.js";

/** Runs @what; while it runs @button (if any) is off. What it throws is told. Resolves to whether it went well. */
async function run(button, what) {
  if (button) button.disabled = true;
  try {
    await what();
    return true;
  } catch (error) {
    failed(error);
    return false;
  } finally {
    if (button) button.disabled = false;
  }
}

async function undo(path) {
  await run(null, async () => {
    const { count: n } = await restore(path);
    note(Number(n) === 0 ? `${path} could not be restored: nobody has its content any more` : Number(n) > 1 ? `Restored ${files(n)} of ${path}` : `Restored ${path}`);
  });
}

/** Deletes @entry, and offers to take it back. Resolves to whether it was deleted. */
export async function drop(entry, button) {
  const folder = isFolder(entry);
  if (folder && !await dialog({ title: `Delete ${nameOf(entry.path)} and all that is in it?`, text: "For every node. It can be restored for 7 days.", action: "Delete", kind: "danger" })) return false;
  const options = folder ? { recursive: true } : { hash: entry.hash };
  let done = false;
  await run(button, async () => {
    let answer;
    try {
      answer = await remove(entry.path, options);
    } catch (error) {
      if (error.code !== "KITH_E_AGAIN") throw error;
      if (!await dialog({ title: "Delete that much?", text: `${error.message} ${error.hint}`, action: "Delete all the same", kind: "danger" })) return;
      answer = await remove(entry.path, { ...options, many: true });
    }
    note(folder ? `Deleted ${nameOf(entry.path)}: ${count(Number(answer?.count ?? 0), "entry", "entries")}` : `Deleted ${nameOf(entry.path)}`, "", { label: "Undo", run: () => undo(entry.path) });
    done = true;
  });
  return done;
}

export const bringBack = (entry, button) => run(button, async () => {
  const { count: n } = await restore(entry.path);
  if (Number(n) === 0) throw Object.assign(new Error(`${entry.path} cannot be restored: nobody has its content any more.`), { hint: "" });
  note(`Restored ${Number(n) > 1 ? `${files(n)} of ` : ""}${entry.path}`);
});

export const pinIt = (entry, button) => run(button, async () => {
  const answer = await pin(entry.path);
  note(`Pinned ${nameOf(entry.path)}: ${files(answer.count)}, ${bytes(Number(answer.bytes))}, stay in this node's cache`);
});
export const unpinIt = (entry, button) => run(button, async () => {
  await unpin(entry.path);
  note(`${nameOf(entry.path)} may leave the cache again`);
});
export const evictIt = (entry, button) => run(button, async () => {
  const answer = await evict(entry.path);
  note(Number(answer.count) ? `${files(answer.count)} left the cache, ${bytes(Number(answer.bytes))}` : "Nothing of it was in the cache");
});
export const verifyIt = (entry, button) => run(button, async () => {
  const { count: n, bytes: size, damaged, repaired } = await verify(entry.path);
  if (Number(damaged)) note(`${files(damaged)} of ${Number(n)} damaged, ${Number(repaired)} of them repaired from other nodes`, "error");
  else note(Number(n) ? `${files(n)}, ${bytes(Number(size))}, read again: all as they should be` : "This node holds nothing of it: there is nothing to be verified here");
});
export const keepIt = (path, both, button) => run(button, async () => {
  await keep(path, both);
  note(both ? `${nameOf(path)} is a file of its own now` : "Kept; the other versions are gone");
});

/** Saves the content of @path where the browser puts what it downloads. First a byte is asked for: what cannot be had is said here. */
export const save = (path, { hash, size, name = nameOf(path) } = {}, button) => run(button, async () => {
  if (Number(size) > 0) await (await content(path, { hash, bytes: 1 })).arrayBuffer();
  let url = address(path, hash);
  const here = Boolean(url);
  if (!here) url = URL.createObjectURL(await (await content(path, { hash })).blob());
  const anchor = h("a", { href: url, download: name });
  document.body.append(anchor);
  anchor.click();
  anchor.remove();
  if (!here) setTimeout(() => URL.revokeObjectURL(url), 60000);
});
