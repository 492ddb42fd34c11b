// Numbers for people: short, aligned, with the unit; what is not known is a dash, never 0.

export const DASH = "–";

const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

export function bytes(value) {
  if (!known(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let n = Number(value);
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

export const rate = (value) => (known(value) ? `${bytes(value)}/s` : DASH);

export function percent(value) {
  return known(value) ? `${Math.round(value)} %` : DASH;
}

export function number(value, digits = 0) {
  return known(value) ? Number(value).toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits }) : DASH;
}

/** 64-bit numbers travel as text; they stay text, with separators. */
export function big(value) {
  return known(value) ? String(value).replace(/\B(?=(\d{3})+(?!\d))/g, " ") : DASH;
}

export function rtt(ms) {
  if (!known(ms)) return DASH;
  return ms < 0.001 ? "< 1 µs" : ms < 1 ? `${Math.round(ms * 1000)} µs` : ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/** A span of time, one unit: 340 ms, 12 s, 4 min, 3 h, 2 d. */
export function span(ms) {
  if (!known(ms)) return DASH;
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  const s = ms / 1000;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** How long ago, to the second. */
export function ago(ms) {
  if (!known(ms)) return DASH;
  return ms < 1500 ? "now" : ms < 60000 ? `${Math.floor(ms / 1000)} s ago` : `${span(ms).replace(/ \d+ (s|min|h)$/, "")} ago`;
}

/** An RFC 3339 time as the clock of this browser has it; the day too if it is another one. */
export function clock(rfc3339) {
  if (!rfc3339) return DASH;
  const at = new Date(rfc3339);
  const time = at.toLocaleTimeString("en-GB");
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString("en-CA")} ${time}`;
}

/** One more of something: count(1, "node") is "1 node". */
export function count(n, one, many = `${one}s`) {
  return `${number(n)} ${n === 1 ? one : many}`;
}

/** A value that runs by itself since @row came: row.x_age_ms, row.uptime_ms. */
export function running(row, key) {
  return known(row?.[key]) ? row[key] + (performance.now() - (row.$at ?? performance.now())) : undefined;
}
export function left(row, key) {
  return known(row?.[key]) ? Math.max(0, row[key] - (performance.now() - (row.$at ?? performance.now()))) : undefined;
}

/** Quoted for a shell. */
export function shell(argument) {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", `'\\''`)}'`;
}
