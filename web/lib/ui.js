// Small parts that all pages share: states, badges, buttons, dialogs, notes.
import { fill, h, icon } from "./dom.js";
import { may } from "./session.js";

// A state is a shape and a word as well as a colour.
const SHAPES = { alive: "●", suspect: "▲", failed: "■", left: "○", ok: "●", warn: "▲", error: "■" };

export function badge(status) {
  return h(`span.badge.${status}`, null, h("span.shape", { ariaHidden: "true" }, SHAPES[status] ?? "○"), status);
}
/** Into a cell, only if it is another one. */
export function badgeIn(td, status) {
  if (td.dataset.status === status) return;
  td.dataset.status = status;
  fill(td, badge(status));
}

export function loadingState(what) {
  return h("div.state.loading", { role: "status" }, h("div.bars", { ariaHidden: "true" }, h("i"), h("i"), h("i")), h("p", null, `Loading ${what}`));
}

/** {title, text, command}: what is not there, and the command that would make it be there. */
export function emptyState({ title, text, command }) {
  return h("div.state.empty", null, h("h3", null, title), text && h("p", null, text),
    command && [h("p.hint", null, "Try"), commandLine(command)]);
}

/** {message, hint, code}: with a way to try again. */
export function errorState(error, again) {
  return h("div.state.error", { role: "alert" }, h("h3", null, h("span.shape", { ariaHidden: "true" }, "■"), "That did not work"),
    h("p", null, error.message), error.hint && h("p.hint", null, error.hint),
    again && h("button", { onclick: again }, "Try again"));
}

export function commandLine(command) {
  return h("div.command", null, h("code", { tabIndex: 0 }, command), copyButton(() => command, "Copy the command"));
}

/** A piece of a program, with a button that copies it. */
export function codeBlock(source, label) {
  return h("div.code-block", null, h("pre.reply", { tabIndex: 0, ariaLabel: label, role: "region" }, source), copyButton(() => source, `Copy: ${label}`));
}

export function copyButton(get, label) {
  const button = h("button.icon-only", {
    ariaLabel: label, title: label,
    onclick: async (event) => {
      event.stopPropagation();
      try {
        await navigator.clipboard.writeText(get());
      } catch {
        // no permission, or a page without TLS: the old way
        const area = h("textarea.offscreen", { value: get() });
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
      }
      note("Copied");
    },
  }, icon("copy"));
  return button;
}

/** [[name, value or element], ...] as a list of terms. */
export function facts(pairs) {
  return h("dl.facts", null, pairs.filter(Boolean).map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

export function card(title, ...content) {
  return h("section.card", null, title && h("h2", null, title), content);
}

export function pageHead(title, { sub, actions, crumbs } = {}) {
  return h("header.page-head", null,
    h("div", null, crumbs && h("nav.crumbs", { ariaLabel: "Where this is" }, crumbs.map(([name, href]) => h("a", { href }, name))), h("h1", null, title), sub && h("p.sub", null, sub)),
    actions && h("div.actions", null, actions));
}

/** A button that needs a role: without it, it is there but off, and says why. */
export function roleButton(role, label, onclick, kind = "") {
  const allowed = may(role);
  return h(`button${kind && `.${kind}`}`, { onclick, disabled: !allowed, title: allowed ? "" : `Needs the role ${role}` }, label);
}

let notes = null;
/** A passing note at the foot of the page; kind "error" stays until it is closed. @action: {label, run} of a button in it. */
export function note(message, kind = "", action) {
  notes ??= document.body.appendChild(h("div.notes", { role: "status", ariaLive: "polite" }));
  const close = () => element.remove();
  const element = h(`div.note${kind && `.${kind}`}`, null, h("span", null, message),
    action && h("button.plain", { onclick: () => { close(); action.run(); } }, action.label),
    kind === "error" && h("button.icon-only", { ariaLabel: "Close", onclick: close }, icon("close")));
  notes.append(element);
  while (notes.children.length > 4) notes.firstElementChild.remove();
  if (kind !== "error") setTimeout(close, action ? 12000 : 2600);
}

export const failed = (error) => error.name !== "AbortError" && note([error.message, error.hint].filter(Boolean).join(" "), "error");

/** Asks; resolves to the form's values as an object, or null. fields: elements with a name. */
export function dialog({ title, text, fields = [], action, kind = "" }) {
  return new Promise((resolve) => {
    const form = h("form", { method: "dialog", onsubmit: (event) => {
      event.preventDefault();
      resolve(Object.fromEntries(new FormData(form)));
      box.close();
    } },
    h("h2", null, title), text && h("p", null, text), fields,
    h("div.buttons", null, h("button.plain", { type: "button", onclick: () => box.close() }, "Cancel"), h(`button.primary${kind && `.${kind}`}`, { type: "submit" }, action)));
    const box = h("dialog", { ariaLabel: title, onclose: () => {
      resolve(null);
      box.remove();
    } }, form);
    document.body.append(box);
    box.showModal();
    form.querySelector("input, textarea, select")?.focus();
  });
}

/** Shows @content in a box over the page until it is closed. */
export function sheet(title, ...content) {
  const box = h("dialog", { ariaLabel: title, onclose: () => box.remove() },
    h("div.form", null, h("div.card-head", null, h("h2", null, title), h("button.icon-only", { ariaLabel: "Close", onclick: () => box.close() }, icon("close"))), content));
  document.body.append(box);
  box.showModal();
  return box;
}

export function field(label, control, hint) {
  return h("label.field", null, h("span", null, label), control, hint && h("small", null, hint));
}
