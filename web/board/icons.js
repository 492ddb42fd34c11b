// Line icons, 24 by 24.
import { svg } from "../lib/dom.js";

const PATHS = {
  select: "M5 3l6.5 16 2.2-6.3L20 10.5z",
  hand: "M8 12V6.2a1.4 1.4 0 0 1 2.8 0V11m0-.5V4.6a1.4 1.4 0 0 1 2.8 0v6m0 0V6a1.4 1.4 0 0 1 2.8 0v6m0-1.5a1.4 1.4 0 0 1 2.8 0V15c0 4-2.4 6-6 6-3.2 0-4.6-1.4-6.3-4.4L5 13.2a1.5 1.5 0 0 1 2.5-1.6L9 13.6",
  pen: "M4 20l1-4.5L16.2 4.3a2 2 0 0 1 2.8 0l.7.7a2 2 0 0 1 0 2.8L8.5 19zM14.5 6l3.5 3.5",
  highlight: "M9 14l-3 3v3h4l2-2M9 14l6 5 6-8.5-7-6zM3 21h6",
  line: "M5 19L19 5",
  arrow: "M5 19L18.5 5.5M9 5h10v10",
  rect: "M5 5h14a1 1 0 0 1 1 1v12a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V6a1 1 0 0 1 1-1z",
  ellipse: "M12 19c4.7 0 8.5-3.1 8.5-7S16.7 5 12 5s-8.5 3.1-8.5 7 3.800 7 8.5 7z",
  text: "M5 7V5h14v2M12 5v14M9 19h6",
  sticky: "M5 4h14a1 1 0 0 1 1 1v9l-6 6H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM20 14h-5a1 1 0 0 0-1 1v5",
  eraser: "M8 20h12M5.600 15.600l8.900-9a2 2 0 0 1 2.800 0l2.900 2.900a2 2 0 0 1 0 2.800L12.5 20H9l-3.400-3.400a.7.7 0 0 1 0-1zM10 11l5.5 5.5",
  laser: "M4 20l8-8M14 3v3M14 14v3M7 9h3M18 9h3M17.5 5.5l-1.5 1.5M17.5 12.5L16 11M10.5 5.5L12 7",
  undo: "M8 5L4 9l4 4M4 9h10a5.5 5.5 0 0 1 0 11h-3",
  redo: "M16 5l4 4-4 4M20 9H10a5.5 5.5 0 0 0 0 11h3",
  menu: "M4 7h16M4 12h16M4 17h16",
  back: "M14 6l-6 6 6 6",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  history: "M4 12a8 8 0 1 0 2.600-5.900L4 8.5M4 4v4.5h4.5M12 8v4.5l3 2",
  play: "M7 5l12 7-12 7z",
  pause: "M8 5v14M16 5v14",
  close: "M6 6l12 12M18 6L6 18",
  trash: "M5 7h14M10 4h4M7 7l1 13h8l1-13M10 11v5M14 11v5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  style: "M12 21a9 9 0 1 1 9-9c0 2.5-2 3.5-3.5 3.5H15a2 2 0 0 0-1.5 3.300c.8 1 .2 2.200-1.5 2.200zM7.5 12h.01M9.5 8h.01M14.5 7.5h.01M17.5 11h.01",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9h.01",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
  keys: "M3 7h18v11H3zM7 11h.01M11 11h.01M15 11h.01M18 11h.01M8 14.5h8",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
  down: "M12 4v11M7 11l5 5 5-5M5 20h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
};

/** An icon by name; hidden from readers, since a word stands beside it or names its button. */
export function icon(name) {
  return svg("svg", { class: "wb-icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, svg("path", { d: PATHS[name] }));
}
