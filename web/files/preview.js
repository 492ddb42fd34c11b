// What is in a file, as far as a browser shows it: text and pictures. Fetched only up to a bound without being asked.
import { fill, h } from "../lib/dom.js";
import { bytes, count } from "../lib/format.js";
import { content } from "../lib/files.js";
import { errorState } from "../lib/ui.js";
import { nameOf } from "./store.js";

const TEXT_BYTES = 64 * 1024; // as much of a text is shown
const IMAGE_BYTES = 8 * 1024 * 1024; // larger ones are asked for by a click
const LINES = 2000;
const TYPES = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", svg: "image/svg+xml", avif: "image/avif", bmp: "image/bmp", ico: "image/x-icon" };
const BINARY = /\.(zip|gz|xz|zst|bz2|7z|tar|tgz|iso|img|mp[34]|m4[av]|mkv|webm|mov|avi|flac|ogg|opus|wav|pdf|exe|so|o|a|bin|deb|rpm|jar|class|pyc|sqlite|db|mdb|docx?|xlsx?|pptx?|od[tsp]|ttf|otf|woff2?)$/i;

const typeOf = (path) => TYPES[nameOf(path).split(".").at(-1).toLowerCase()] ?? "";

/** The text that @raw is, or null: bytes that are none. What was cut at the end of @raw does not count. */
export function asText(raw) {
  if (raw.includes(0)) return null;
  let end = raw.length;
  // a character of several bytes may be cut
  for (let back = 1; back <= 3 && back <= raw.length; back++) {
    const byte = raw[raw.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    if (byte >= 0xc0 && back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2)) end = raw.length - back;
    break;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(raw.subarray(0, end));
  } catch {
    return null;
  }
}

/** The first bytes of @entry, as text, or null if they are none. */
export async function textOf(entry, signal) {
  const response = await content(entry.path, { hash: entry.hash, bytes: TEXT_BYTES, signal });
  return asText(new Uint8Array(await response.arrayBuffer()).subarray(0, TEXT_BYTES));
}

/** @source as lines; those not in the Set @known (if there is one) are marked. */
export function textBlock(source, label, known) {
  const lines = source.split("\n");
  if (lines.at(-1) === "") lines.pop();
  const cut = lines.slice(0, LINES);
  return h("pre.preview-text", { tabIndex: 0, role: "region", ariaLabel: label },
    known ? cut.map((line) => (known.has(line) ? `${line}\n` : h("mark", null, `${line}\n`))) : cut.join("\n"));
}

/** {element, close}: of @entry, a file. */
export function preview(entry) {
  const leaving = new AbortController();
  const element = h("div.preview");
  let url = "";
  const size = Number(entry.size);
  const type = typeOf(entry.path);

  const words = (...what) => fill(element, h("p.preview-none", null, what));
  const offer = () => words(`A picture of ${bytes(size)}. `, h("button.plain", { onclick: picture }, "Show it"));

  async function picture() {
    try {
      const response = await content(entry.path, { hash: entry.hash, signal: leaving.signal });
      const blob = new Blob([await response.arrayBuffer()], { type });
      if (leaving.signal.aborted) return;
      url = URL.createObjectURL(blob);
      const image = h("img", { alt: `Picture: ${nameOf(entry.path)}`, src: url, onload: () => {
        image.title = `${image.naturalWidth} × ${image.naturalHeight}`;
      }, onerror: () => words("This browser cannot show it.") });
      fill(element, h("div.preview-image", null, image));
    } catch (error) {
      if (!leaving.signal.aborted) fill(element, errorState(error, picture));
    }
  }

  async function readText() {
    try {
      const source = await textOf(entry, leaving.signal);
      if (leaving.signal.aborted) return;
      if (source === null) return words("Its bytes are no text that could be shown.");
      fill(element, textBlock(source, `Content of ${nameOf(entry.path)}`), size > TEXT_BYTES && h("p.quiet.small", null, `The first ${bytes(TEXT_BYTES)} of ${bytes(size)}.`));
    } catch (error) {
      if (!leaving.signal.aborted) fill(element, errorState(error, readText));
    }
  }

  if (entry.kind === "symlink") words("A link to ", h("code", null, entry.target ?? ""), ". It is never followed.");
  else if (size === 0) words("It is empty.");
  else if (type && size > IMAGE_BYTES) offer();
  else if (type) {
    words("Loading the picture");
    picture();
  } else if (BINARY.test(entry.path)) words(`${count(size, "byte")}, none of which a browser shows.`);
  else {
    words("Loading the text");
    readText();
  }
  return {
    element,
    close() {
      leaving.abort();
      if (url) URL.revokeObjectURL(url);
    },
  };
}
