// Elements without templates: text is always text, so nothing that a node says can become markup.

/** Makes an element: h("a.button", {href, onclick, hidden, ariaLabel, dataset: {}}, ...children). */
export function h(what, props, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  set(element, props);
  append(element, children);
  return element;
}

/** Sets properties: on* are listeners, aria* and role are attributes, all else a property or an attribute. */
export function set(element, props) {
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key === "class") element.className = value;
    else if (key in element && !key.startsWith("aria") && key !== "list" && key !== "role") element[key] = value;
    else if (value === false || value === null) element.removeAttribute(attribute(key));
    else element.setAttribute(attribute(key), value === true ? "" : value);
  }
}

function attribute(key) {
  return key.startsWith("aria") && key !== "aria" ? `aria-${key.slice(4).toLowerCase()}` : key;
}

export function append(element, children) {
  for (const child of children.flat(Infinity))
    if (child !== null && child !== undefined && child !== false)
      element.append(child instanceof Node ? child : String(child));
}

/** Replaces what is in @element. */
export function fill(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets text only if it is another one, so that nothing is laid out again in vain. */
export function text(element, value) {
  const string = String(value ?? "");
  if (element.textContent !== string) element.textContent = string;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes ?? {}))
    if (value !== undefined) element.setAttribute(key, value);
  append(element, children);
  return element;
}

const PATHS = {
  overview: "M3 13h7V3H3zm11 8h7V11h-7zM3 21h7v-5H3zM14 3v5h7V3z",
  nodes: "M4 5h16v5H4zm0 9h16v5H4zM7.5 7.5h.01M7.5 16.5h.01",
  resources: "M3 17l5-6 4 4 8-9M3 21h18",
  self: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zm-8 9c0-4 3.6-6 8-6s8 2 8 6",
  functions: "M9 20c-3 0-2-6-1-9s1-8 5-7M5 11h7M14 13l6 6m0-6l-6 6",
  variables: "M7 4C4 4 6 10 3 12c3 2 1 8 4 8M17 4c3 0 1 6 4 8-3 2-1 8-4 8M10 9h4M12 9v6",
  locks: "M6 11h12v9H6zm2 0V8a4 4 0 0 1 8 0v3M12 15v2",
  events: "M4 6h16M4 12h10M4 18h13",
  apps: "M4 4h6v6H4zm10 0h6v6h-6zM4 14h6v6H4zm13-1 4 7h-8z",
  help: "M12 17h.01M9.2 9a3 3 0 1 1 4.2 3c-1 .5-1.4 1-1.4 2M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
  files: "M4 20V5h6l2 3h8v12z",
  jobs: "M4 6h10M4 12h16M4 18h7",
  menu: "M4 6h16M4 12h16M4 18h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  up: "M6 15l6-6 6 6",
  down: "M6 9l6 6 6-6",
  close: "M6 6l12 12M18 6L6 18",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.5 1.5m11 11L19 19M5 19l1.5-1.5m11-11L19 5",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  out: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
};

/** A line icon by name; hidden from readers, since a text always stands beside it. */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}
