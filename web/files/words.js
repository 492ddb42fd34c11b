// Words for people that several parts of the page use.
import { clock, count } from "../lib/format.js";

/** The day and the minute; of today the second. */
export const minute = (time) => clock(time).replace(/^(\S+ \d+:\d+):\d+$/, "$1");
export const files = (n) => count(Number(n), "file");
