// Files over HTTP: the one place that knows the routes (docs/protocols/http.md, Files).
import { api, ApiError, session, stillLoggedIn } from "./session.js";
import { subscribe } from "./stream.js";

const PAGE = 1000;
const asQuery = (query) => {
  const all = new URLSearchParams(Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== "" && value !== false));
  return all.size ? `?${all}` : "";
};
const at = (path, query) => `/v1/files${path && `/${path.split("/").map(encodeURIComponent).join("/")}`}${asQuery(query)}`;

/* ---- looking ---- */

/** A page of what is in a folder: {entries, next}; next: give it as @cursor. */
export const list = (path, cursor) => api(at(path, { list: true, cursor, limit: PAGE }));
export const find = (path, pattern, cursor, signal) => api(at(path, { search: pattern, any_case: true, cursor, limit: PAGE }), { signal });
/** Each file under @path with several versions, and those behind it. */
export const conflicts = (path, cursor) => api(at(path, { conflicts: true, cursor, limit: PAGE }));
/** Deleted paths under @path. */
export const trash = (path, cursor) => api(at(path, { trash: true, cursor, limit: PAGE }));
export const stat = async (path, signal) => (await api(at(path, { stat: true }), { signal })).entry;

/** What is shared, with the state of this node's folders. */
export const shares = async () => (await api("/v1/shares")).shares;

/* ---- content ---- */

/** A Response with the content of @path; hash: of that content, whatever @path has by now; bytes: only the first. */
export async function content(path, { hash, bytes, signal } = {}) {
  const response = await api(at(path, { hash }), { raw: true, signal, headers: bytes ? { Range: `bytes=0-${bytes - 1}` } : {} });
  if (response.ok) return response;
  if (response.status === 416) return new Response(""); // an empty file has no first byte
  throw new ApiError(response.status, await response.json().catch(() => null), `The node answered ${response.status}.`);
}

/** Where a browser itself can fetch @path from, to be saved; "" at a node where only these pages are logged in. */
export const address = (path, hash) => (session.base ? "" : at(path, { hash, download: true }));

/**
 * Sends @file to become @path. Options: fresh: only if there is nothing, signal, progress(bytes sent). Resolves to the entry.
 */
export function upload(path, file, { fresh = false, progress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", session.base + at(path, { modified_ns: file.lastModified ? `${file.lastModified}000000` : "" }));
    request.responseType = "json";
    request.setRequestHeader("X-Kith", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    if (session.bearer) request.setRequestHeader("Authorization", `Bearer ${session.bearer}`);
    if (fresh) request.setRequestHeader("If-None-Match", "*");
    request.upload.onprogress = (event) => progress?.(event.loaded);
    request.onload = () => {
      if (request.status === 401) stillLoggedIn();
      if (request.status < 300) resolve(request.response?.entry);
      else reject(new ApiError(request.status, request.response, `The node answered ${request.status}.`));
    };
    request.onerror = () => reject(new ApiError(0, null, "The node does not answer, or ended the upload. It may have stopped, or the network between is down."));
    request.onabort = () => reject(new DOMException("given up", "AbortError"));
    signal?.addEventListener("abort", () => request.abort());
    if (signal?.aborted) return reject(new DOMException("given up", "AbortError"));
    request.send(file);
  });
}

/* ---- doing ---- */

const act = (path, what, query) => api(at(path, { [what]: true, ...query }), { method: "POST" });
/** hash: only if that is what it has; recursive: a folder; many: even if it is much of the share. */
export const remove = (path, { hash, recursive, many } = {}) => api(at(path, { recursive, many }), { method: "DELETE", headers: hash ? { "If-Match": `"${hash}"` } : {} });
export const restore = (path) => act(path, "restore");
/** The version shown as @path stays; both: beside it that one becomes a file of its own. */
export const keep = (path, both) => act(path, "keep", { both });
export const pin = (path) => act(path, "pin");
export const unpin = (path) => act(path, "unpin");
export const evict = (path) => act(path, "evict");
export const verify = (path) => act(path, "verify");
export const confirm = (share) => api(`/v1/shares/${encodeURIComponent(share)}/confirm`, { method: "POST" });

/* ---- being told ---- */

/**
 * Changes under @path ("": everywhere): @listener gets {changes: [{type, path, from, author, entry}], again}; again: some were
 * missed, so look anew. Returns {close}.
 */
export function watch(path, listener) {
  let last = null;
  let missed = 0;
  return subscribe("changes", { path }, ({ doc, rows, full }) => {
    if (!doc) return;
    const before = last;
    const lost = Number(doc.missed ?? 0) > missed;
    missed = Number(doc.missed ?? 0);
    last = Number(doc.last_no ?? 0);
    if (before === null) return; // what was before is listed
    listener({ changes: full ? [] : rows.filter((row) => row.no > before).sort((a, b) => a.no - b.no), again: full || lost });
  });
}

const follow = (topic) => (listener) => subscribe(topic, {}, ({ doc, rows, error }) => (doc || error) && listener(rows, doc, error));
/** As shares(): @listener gets (list, document, error). */
export const followShares = follow("shares");
/** What goes on now, and what has ended lately: @listener gets (list of {id, what, path, user, state, done_bytes, all_bytes, bytes_per_s, left_ms, from, text}). */
export const transfers = follow("transfers");
/** The caches of this node: @listener gets (nothing, document, error). */
export const cache = follow("cache");
