// Programs on top of the runtime that have pages of their own.
import { h } from "../lib/dom.js";
import { card, pageHead } from "../lib/ui.js";
import { explorer } from "./mandelbrot.js";

export function page(path) {
  if (path[0] === "mandelbrot") return explorer();
  return {
    element: [pageHead("Apps", { sub: "Programs made with kith. Each is also an example of how to write one." }),
      h("div.app-tiles", null,
        h("a", { href: "#/apps/mandelbrot" }, card("Mandelbrot explorer", h("p.quiet", null, "Zoom into the set while the whole cluster draws: each tile shows which node made it, and a node that dies costs nothing but time."))),
        h("a", { href: "/board/index.html" }, card("Whiteboard", h("p.quiet", null, "Draw together, each at a node of their own. What is drawn lies in the catalogue as logs that only grow, so a node that dies or a cut costs nobody a stroke."))))],
  };
}
