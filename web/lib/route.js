// The address of a page is #/path?query, so that any node can serve it and any part can be linked to.

/** {path: ["nodes", NAME], query} of the address. */
export function here() {
  const [path, rest = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(rest) };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export const query = () => here().query;

/** Sets some keys of the query without a new page and without a new step in the history; "" removes. */
export function setQuery(values) {
  const { path, query: all } = here();
  for (const [key, value] of Object.entries(values))
    if (value === "" || value === undefined || value === null) all.delete(key);
    else all.set(key, value);
  const tail = all.toString();
  history.replaceState(null, "", `#/${path.map(encodeURIComponent).join("/")}${tail ? `?${tail}` : ""}`);
}

export const link = (...path) => `#/${path.map(encodeURIComponent).join("/")}`;
