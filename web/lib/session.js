// Which node these pages talk to and as whom. When that node dies they go on at another one: a token
// fetched beforehand (handover) is exchanged there for a bearer token.

const HANDOVER_EVERY_MS = 4 * 60 * 1000;

export const session = {
  base: "", // origin of the node talked to; "" is the one the page came from
  bearer: "", // only at another node than that
  info: null, // what GET /v1/session said
  members: new Map(), // id -> {name, web}: where one could go on
};

let handover = "";
let timer = 0;
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
export async function api(path, { method = "GET", json, body, headers = {}, signal, raw = false } = {}) {
  const all = { ...headers };
  if (method !== "GET") all["X-Kith"] = "1";
  if (session.bearer) all.Authorization = `Bearer ${session.bearer}`;
  if (json !== undefined) {
    all["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  let response;
  try {
    response = await fetch(session.base + path, {
      method, headers: all, body, signal, cache: "no-store",
      credentials: session.base ? "omit" : "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, null, "The node does not answer. It may have stopped, or the network between is down.");
  }
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

export async function loadSession() {
  session.info = await api("/v1/session");
  handover = session.info.handover ?? "";
  clearInterval(timer);
  timer = setInterval(freshHandover, HANDOVER_EVERY_MS);
  changed();
  return session.info;
}

async function freshHandover() {
  if (document.hidden || !session.info?.logged_in) return;
  try {
    handover = (await api("/v1/session")).handover ?? handover;
  } catch {
    /* the old one may do for a while */
  }
}

/**
 * Asks the node whether the session still holds; false, and everybody hears of it, if it says that it is over. A node
 * that does not answer has not said so.
 */
export async function stillLoggedIn() {
  try {
    const info = await api("/v1/session");
    if (info.logged_in || !session.info?.logged_in) return true;
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
  await api(register ? "/v1/register" : "/v1/login", { method: "POST", json: how });
  return loadSession();
}

export async function logout() {
  try {
    await api("/v1/logout", { method: "POST" });
  } finally {
    session.base = "";
    session.bearer = "";
    handover = "";
    await loadSession().catch(() => changed());
  }
}

/**
 * Goes on at another member, with the roles it had: tries each address that was heard of. Returns the name of the node it
 * found, or "" if none would have it.
 */
export async function goElsewhere() {
  if (!handover) return "";
  for (const [, member] of session.members) {
    if (!member.web || member.web === (session.base || location.origin)) continue;
    try {
      const response = await fetch(`${member.web}/v1/login`, {
        method: "POST", credentials: "omit", cache: "no-store",
        headers: { "Content-Type": "application/json", "X-Kith": "1" },
        body: JSON.stringify({ handover, bearer: true }),
        signal: AbortSignal.timeout(3000),
      });
      if (!response.ok) continue;
      session.bearer = (await response.json()).token;
      session.base = member.web === location.origin ? "" : member.web;
      await loadSession();
      return member.name;
    } catch {
      /* the next one */
    }
  }
  return "";
}

const ROLES = ["viewer", "operator", "admin"];
/** May whoever is logged in do what needs @role? */
export function may(role) {
  return ROLES.indexOf(session.info?.role ?? "") >= ROLES.indexOf(role);
}
