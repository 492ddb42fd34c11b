// Graphs over time: uPlot with the colours of the page; loaded when the first one is drawn.
import { h, text } from "./dom.js";

let loading = null;
/** Fetches the program that draws, once. */
export function load() {
  loading ??= new Promise((resolve, reject) => {
    const style = h("link", { rel: "stylesheet", href: "/vendor/uplot/uPlot.min.css" });
    const script = h("script", { src: "/vendor/uplot/uPlot.iife.min.js", onload: resolve, onerror: () => {
      loading = null; // the next who wants one tries again
      style.remove();
      script.remove();
      reject(new Error("The program that draws graphs could not be loaded."));
    } });
    document.head.append(style, script);
  });
  return loading;
}

let probe = null;
// What a colour of the style sheet is in the theme that holds: a canvas knows no variables.
function colour(name) {
  probe ??= document.body.appendChild(h("i", { hidden: true }));
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}
const SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 14400, 21600, 43200, 86400];
const POWERS = Array.from({ length: 50 }, (_, i) => 2 ** i);
const SERIES = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6", "--series-7", "--series-8"];

/**
 * A graph: series [{label, colour: "--series-1", fill, dash}], format(value), min, max (of the scale; may be absent), floor
 * (the scale reaches at least so far above min), binary (its steps are powers of two), stepped (a value holds until the next).
 * Returns {element, readout, data([times in s, values, ...]), close}; the readout has the newest values, or those pointed at.
 */
export function chart({ label, series, format, min = 0, max, floor = 1, binary = false, stepped = false, height = 150, sync }) {
  const element = h("div.chart", { role: "img", ariaLabel: label });
  element.style.height = `${height}px`;
  let plot = null;
  let data = null;
  let closed = false;
  const when = h("span.when");
  const values = series.map((one, i) => h("b", null, "–"));
  const readout = h("div.readout", null, when, series.map((one, i) => {
    const key = h("i", { ariaHidden: "true" });
    key.style.background = `var(${one.colour ?? SERIES[i % SERIES.length]})`;
    return h("span", null, series.length > 1 && [key, `${one.label} `], values[i]);
  }));

  function read() {
    const at = plot?.cursor.idx ?? null;
    const i = at ?? (data?.[0].length ?? 0) - 1;
    text(when, at === null || !data ? "" : new Date(data[0][at] * 1000).toLocaleTimeString("en-GB"));
    values.forEach((element, k) => {
      const value = data?.[k + 1]?.[i];
      text(element, value === null || value === undefined ? "–" : format(value));
    });
  }

  function make() {
    plot?.destroy();
    const grid = { stroke: colour("--line"), width: 1 };
    plot = new window.uPlot({
      width: Math.max(120, element.clientWidth),
      height,
      cursor: { sync: sync && { key: sync }, y: false, points: { size: 7 } },
      legend: { show: false },
      hooks: { setCursor: [read] },
      padding: [8, 22, 0, 0], // room for half of the last time
      scales: { x: { time: true }, y: { range: (_, low, high) => (min === null ? [low - (high - low || 1) * 0.08, high + (high - low || 1) * 0.08] : [min, max ?? Math.max(high * 1.08, min + floor)]) } },
      axes: [
        { stroke: colour("--quiet"), grid: { show: false }, ticks: grid, font: "11px system-ui, sans-serif", size: 28, space: 84, incrs: SECONDS,
          values: (_, splits, __, ___, step) => splits.map((s) => new Date(s * 1000).toLocaleTimeString("en-GB", step < 60 ? undefined : { hour: "2-digit", minute: "2-digit" })) },
        { stroke: colour("--quiet"), grid, ticks: { show: false }, font: "11px system-ui, sans-serif", size: 64, values: (_, splits) => splits.map(format), space: 32, ...(binary && { incrs: POWERS }) },
      ],
      series: [
        { value: (_, s) => (s === null ? "" : new Date(s * 1000).toLocaleTimeString("en-GB")) },
        ...series.map((one, i) => ({
          label: one.label, stroke: colour(one.colour ?? SERIES[i % SERIES.length]), width: one.width ?? 1.5, dash: one.dash, ...(stepped && { paths: window.uPlot.paths.stepped({ align: 1 }) }), points: { show: false }, spanGaps: false,
          fill: one.fill ? `color-mix(in srgb, ${colour(one.colour ?? SERIES[i % SERIES.length])} 14%, transparent)` : undefined,
          value: (_, value) => (value === null || value === undefined ? "–" : format(value)),
        })),
      ],
    }, data, element);
  }

  function fit() {
    if (plot && element.clientWidth > 0) plot.setSize({ width: element.clientWidth, height });
  }
  const seen = new ResizeObserver(fit);
  const themed = new MutationObserver(() => turned());
  seen.observe(element);
  themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const system = matchMedia("(prefers-color-scheme: dark)");
  const turned = () => plot && (make(), fit());
  system.addEventListener("change", turned);

  return {
    element, readout,
    async data(newest) {
      data = newest;
      read();
      if (plot) {
        plot.setData(newest);
        return;
      }
      try {
        await load();
      } catch (error) {
        text(when, error.message);
        return;
      }
      if (closed || plot) return;
      make();
      fit();
    },
    close() {
      closed = true;
      seen.disconnect();
      themed.disconnect();
      system.removeEventListener("change", turned);
      plot?.destroy();
      plot = null;
    },
  };
}
