// Which node these pages talk to and as whom. When that node dies they go on at another one: a token
// fetched beforehand (handover) is exchanged there for a bearer token.

const HANDOVER_EVERY_MS = 4 * 60 * 1000;
const PATIENCE_MS = 3000; // with a node that may be dead

export const session = {
  base: "", // origin of the node talked to; "" is the one the page came from
  bearer: "", // only at another node than that
  info: null, // what GET /v1/session said
  members: new Map(), // id -> {name, web}: where one could go on
};

let handover = "";
let brought = ""; // the token by which we came to the node talked to; it takes none of its own
let timer = 0;
const underWay = new Set(); // AbortControllers of requests to the node
const listeners = new Set();

/** Runs @listener whenever who we are, or where, has changed. */
export function onSession(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
function changed() {
  for (const listener of listeners) listener(session);
}

export class ApiError extends Error {
  constructor(status, body, fallback) {
    super(body?.message ?? fallback);
    this.status = status;
    this.code = body?.code ?? "";
    this.hint = body?.hint ?? "";
    this.body = body;
  }
}

/**
 * One request to the node. Options as of fetch, and json: a body, raw: true for the Response itself.
 * Throws an ApiError with a sentence for people; status 0 if the node does not answer.
 */
export async function api(path, { method = "GET", json, body, headers = {}, signal, raw = false, again = false } = {}) {
  const all = { ...headers };
  if (method !== "GET") all["X-Kith"] = "1";
  if (session.bearer) all.Authorization = `Bearer ${session.bearer}`;
  if (json !== undefined) {
    all["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  const response = await fetchHere(path, { method, headers: all, body, signal });
  if (response.status === 401 && session.info?.logged_in && !again && (await renewed()))
    return api(path, { method, json, body, headers, signal, raw, again: true });
  if (raw) return response;
  const type = response.headers.get("Content-Type") ?? "";
  const answer = type.includes("json") ? await response.json().catch(() => null) : null;
  if (!response.ok) {
    if (response.status === 401 && session.info?.logged_in) {
      session.info = { ...session.info, logged_in: false, expired: true };
      changed();
    }
    throw new ApiError(response.status, answer, `The node answered ${response.status}.`);
  }
  return answer;
}

// To where we are now. When we leave there it is no longer waited for, as a node that hangs never answers.
async function fetchHere(path, { signal, ...options }) {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  underWay.add(controller);
  try {
    return await fetch(session.base + path, { ...options, signal: controller.signal, cache: "no-store", credentials: session.base ? "omit" : "same-origin" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, null, "The node does not answer. It may have stopped, or the network between is down.");
  } finally {
    underWay.delete(controller);
  }
}

// A node that was started again has lost its sessions, and takes the token that it gave before.
let renewal = null;
function renewed() {
  renewal ??= renew().catch(() => false).finally(() => { renewal = null; });
  return renewal;
}
async function renew() {
  const bearer = session.base !== "";
  let response;
  for (let tries = 0; handover && tries < 3; tries++) {
    if (tries) await new Promise((resolve) => { setTimeout(resolve, 1000); }); // its users come after it
    response = await fetchHere("/v1/login", {
      method: "POST", headers: { "Content-Type": "application/json", "X-Kith": "1" },
      body: JSON.stringify({ handover, bearer }), signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.ok) break;
  }
  if (!response?.ok) return false;
  if (bearer) session.bearer = (await response.json()).token;
  return (await loadSession(AbortSignal.timeout(PATIENCE_MS))).logged_in;
}

export async function loadSession(signal) {
  session.info = await api("/v1/session", { signal });
  handover = session.info.handover ?? "";
  clearInterval(timer);
  timer = setInterval(freshHandover, HANDOVER_EVERY_MS);
  changed();
  return session.info;
}

// A page that nobody sees keeps a fresh one too: else its token would be too old when it is looked at again.
async function freshHandover() {
  if (!session.info?.logged_in) return;
  try {
    handover = (await api("/v1/session")).handover ?? handover;
  } catch {
    /* the old one may do for a while */
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) freshHandover(); // browsers put pages to sleep
});

/**
 * Asks the node whether the session still holds; false, and everybody hears of it, if it says that it is over. A node
 * that does not answer has not said so.
 */
export async function stillLoggedIn() {
  try {
    const info = await api("/v1/session", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (info.logged_in || !session.info?.logged_in || (await renewed())) return true;
    session.info = { ...info, expired: true };
    handover = "";
    changed();
    return false;
  } catch {
    return true;
  }
}

/** Logs in by {link}, {user, password, remember}; register: true makes the user first. */
export async function login(how, register = false) {
  const bearer = session.base !== ""; // no cookie is kept for another node than the one the page came from
  const answer = await api(register ? "/v1/register" : "/v1/login", { method: "POST", json: { ...how, bearer } });
  if (bearer) session.bearer = answer.token;
  return loadSession();
}

/** Logs out here, and where the page came from if that node answers again. Throws if this one does not. */
export async function logout() {
  await api("/v1/logout", { method: "POST" });
  if (session.base) fetch("/v1/logout", { method: "POST", headers: { "X-Kith": "1" }, signal: AbortSignal.timeout(PATIENCE_MS) }).catch(() => {});
  session.bearer = "";
  handover = "";
  session.info = { ...session.info, logged_in: false };
  await loadSession().catch(changed);
}

/**
 * Goes on at another member, with the roles it had: tries each address that was heard of, of those that were alive
 * first. Returns the name of the node it found, or "" if none would have it; then it is where it was.
 */
export async function goElsewhere() {
  if (!handover) return "";
  const here = session.base || location.origin;
  const others = [...session.members.values()].filter((member) => member.web && member.web !== here);
  others.sort((a, b) => (b.status === "alive") - (a.status === "alive"));
  const { base, bearer } = session;
  for (const member of others) {
    try {
      const response = await fetch(`${member.web}/v1/login`, {
        method: "POST", credentials: "omit", cache: "no-store",
        headers: { "Content-Type": "application/json", "X-Kith": "1" },
        body: JSON.stringify({ handover, bearer: true }),
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      if (!response.ok) continue;
      const { token } = await response.json();
      const waiting = [...underWay];
      session.bearer = token;
      session.base = member.web === location.origin ? "" : member.web;
      const how = handover;
      await loadSession(AbortSignal.timeout(PATIENCE_MS));
      brought = how;
      for (const controller of waiting) controller.abort();
      return member.name;
    } catch {
      session.base = base;
      session.bearer = bearer;
    }
  }
  return "";
}

/**
 * The address at which the node talked to serves what is at @hash itself, for who is elsewhere: a part of these pages
 * that was not loaded in time cannot be had any more from where they came from. Logs in there, too; within 10 minutes.
 */
export const addressThere = (hash) => `${session.base}/#handover=${brought}${hash.replace(/^#?/, "&")}`;

const ROLES = ["viewer", "operator", "admin"];
/** May whoever is logged in do what needs @role? */
export function may(role) {
  return ROLES.indexOf(session.info?.role ?? "") >= ROLES.indexOf(role);
}
