// Graphs of the past of a node, or of all nodes together: 10 minutes, 3 hours or 24 hours from the nodes' ring buffers,
// going on live for the shortest.
import { fill, h } from "./dom.js";
import { bytes, percent, rate } from "./format.js";
import { query, setQuery } from "./route.js";
import { api } from "./session.js";
import { chart } from "./chart.js";
import { errorState } from "./ui.js";

const SPANS = ["10m", "3h", "24h"];
const TITLES = { "10m": "10 min", "3h": "3 h", "24h": "24 h" };
const EVERY_MS = { "10m": 4000, "3h": 30000, "24h": 240000 };
const TOTALS_EVERY_MS = { "10m": 10000, "3h": 30000, "24h": 240000 }; // every node is asked for them

/** Buttons and four graphs of @node (a name; "" is the one the page talks to). Returns {element, choices, close}. */
export function histories(node) {
  return graphs({ sync: `history-${node}`, every: EVERY_MS, path: (span) => `/v1/resources/history?span=${span}&cores=false${node ? `&node=${encodeURIComponent(node)}` : ""}` });
}

/** The same of all nodes together; told(the answer) says of how many. */
export function totalHistories(told) {
  return graphs({ sync: "history of all", every: TOTALS_EVERY_MS, told, path: (span) => `/v1/overview/history?span=${span}` });
}

function graphs({ sync, every, path, told }) {
  let span = SPANS.includes(query().get("span")) ? query().get("span") : "10m";
  let timer = 0;
  let closed = false;
  const cpu = chart({ label: "CPU over time", series: [{ label: "CPU", fill: true }], format: percent, max: 100, sync });
  const memory = chart({ label: "Memory in use over time", series: [{ label: "in use", colour: "--series-3", fill: true }], format: bytes, floor: 1024, binary: true, sync });
  const network = chart({ label: "Network over time", series: [{ label: "in", colour: "--series-2" }, { label: "out", colour: "--series-6" }], format: rate, floor: 1024, binary: true, sync });
  const load = chart({ label: "Load over time", series: [{ label: "load", colour: "--series-4" }], format: (value) => value.toFixed(2), sync });
  const charts = [cpu, memory, network, load];
  const titles = ["CPU", "Memory", "Network", "Load"];
  const trouble = h("div", { class: "whole", hidden: true });
  const cards = charts.map((one, i) => h("section.card", null, h("div.card-head", null, h("h2", null, titles[i]), one.readout), one.element));
  const element = [trouble, cards];
  const choices = h("div.choices", { role: "group", ariaLabel: "Span of time" });

  function drawChoices() {
    fill(choices, SPANS.map((one) => h("button", { ariaPressed: String(one === span), onclick: () => {
      span = one;
      setQuery({ span: one === "10m" ? "" : one });
      drawChoices();
      fetchOnce();
    } }, TITLES[one])));
  }

  async function fetchOnce() {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(fetchOnce, 1000);
      return;
    }
    try {
      const past = await api(path(span));
      if (closed) return;
      told?.(past);
      trouble.hidden = true;
      const [times, rows] = withGaps(past);
      cpu.data([times, rows.cpu_percent]);
      memory.data([times, rows.memory_used_bytes]);
      cards[2].hidden = past.net_in_bytes_per_s === null; // of many nodes it is not known
      network.data([times, rows.net_in_bytes_per_s, rows.net_out_bytes_per_s]);
      load.data([times, rows.load]);
    } catch (error) {
      if (closed) return;
      trouble.hidden = false;
      fill(trouble, errorState(error, fetchOnce));
    }
    timer = setTimeout(fetchOnce, every[span]);
  }

  drawChoices();
  fetchOnce();
  return {
    element, choices,
    close() {
      closed = true;
      clearTimeout(timer);
      for (const one of charts) one.close();
    },
  };
}

// Where steps are missing the machine slept: a hole in the line, not a line across.
function withGaps(past) {
  const keys = ["cpu_percent", "memory_used_bytes", "net_in_bytes_per_s", "net_out_bytes_per_s", "load"];
  const times = [];
  const rows = Object.fromEntries(keys.map((key) => [key, []]));
  past.time_ms.forEach((time, i) => {
    const before = past.time_ms[i - 1];
    if (before && time - before > past.step_ms * 2.5) {
      times.push((before + past.step_ms) / 1000);
      for (const key of keys) rows[key].push(null);
    }
    times.push(time / 1000);
    for (const key of keys) rows[key].push(past[key]?.[i] ?? null);
  });
  return [times, rows];
}
