// How another machine joins: the command, and a QR code of it for who has no way to copy it over.
import { h, svg } from "../lib/dom.js";
import { qr } from "../lib/qr.js";
import { api } from "../lib/session.js";
import { commandLine, failed, sheet } from "../lib/ui.js";

const QUIET = 4; // modules of light around, which readers need

/** A picture of @text for phones, dark on light in either theme; null if it is too long. */
export function qrCode(text, label) {
  const rows = qr(text);
  if (!rows) return null;
  const size = rows.length + 2 * QUIET;
  const d = rows.map((row, y) => row.map((dark, x) => (dark ? `M${x + QUIET} ${y + QUIET}h1v1h-1z` : "")).join("")).join("");
  return svg("svg", { class: "qr", viewBox: `0 0 ${size} ${size}`, role: "img", "aria-label": label, "shape-rendering": "crispEdges" },
    svg("rect", { width: size, height: size, fill: "#fff" }), svg("path", { d, fill: "#000" }));
}

export async function invite() {
  try {
    const { token, addresses, cluster } = await api("/v1/invite", { method: "POST" });
    const command = `kith join ${token}`;
    sheet(`Invite a machine to ${cluster}`,
      h("p", null, "Run this on the other machine. It joins by ", addresses.join(", "), "."),
      commandLine(command),
      qrCode(command, "QR code of the command"),
      h("p.quiet", null, "The token holds the secret of the cluster and does not expire: whoever has it, or a picture of it, can join."));
  } catch (error) {
    failed(error);
  }
}
