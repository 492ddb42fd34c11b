// The log of one writer on one board: a header, then records. Each record has its length, a checksum of that and one of
// itself, so that one that was torn by a power cut is told from one that was damaged: everything before it holds.
import { BOARD_LOG_BYTES_MAX, BOARD_NAME_BYTES_MAX, BOARD_PERSON_BYTES_MAX, BOARD_RECORD_BYTES_MAX } from "./limits.js";
import { crc32c, hex, Malformed, Reader, unhex, Writer } from "./bytes.js";
import { decodeOp, encodeOp } from "./ops.js";

const MAGIC = [0x4b, 0x49, 0x54, 0x48, 0x42, 0x52, 0x44, 1]; // KITHBRD and the version
export const RECORD_HEAD_BYTES = 12;

export const goodBoardName = (name) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(name) && name.length <= BOARD_NAME_BYTES_MAX;

/** {board, writer (32 hex digits), name} as the beginning of a log. */
export function encodeHeader({ board, writer, name }) {
  const w = new Writer();
  w.raw(MAGIC);
  w.text(board);
  w.raw(unhex(writer));
  w.text(name);
  w.u32(crc32c(w.bytes, 0, w.length));
  return w.done();
}

export function encodeRecord(body) {
  const w = new Writer();
  w.u32(body.length);
  w.u32(crc32c(w.bytes, 0, 4));
  w.u32(crc32c(body));
  w.raw(body);
  return w.done();
}

/** A whole log of @ops. The same form carries operations between pages and nodes. */
export function encodeLog(header, ops) {
  const w = new Writer();
  w.raw(encodeHeader(header));
  for (const op of ops) w.raw(encodeRecord(encodeOp(op)));
  return w.done();
}

function decodeHeader(bytes) {
  const r = new Reader(bytes);
  for (const byte of MAGIC) if (r.u8() !== byte) throw new Malformed("it is not the log of a board");
  const board = r.text(BOARD_NAME_BYTES_MAX);
  if (!goodBoardName(board)) throw new Malformed("its board has no good name");
  const writer = hex(r.raw(16));
  const name = r.text(BOARD_PERSON_BYTES_MAX);
  const sum = crc32c(bytes, 0, r.at);
  if (r.u32() !== sum) throw new Malformed("its header is damaged");
  return { board, writer, name, bytes: r.at };
}

/**
 * What is in a log: {board, writer, name, ops, good, state, why}. @good: how many of the bytes hold. state: "whole"; "torn": the
 * last record is not all there, the writer goes on behind @good; "damaged": a record is wrong and others follow it. Throws
 * Malformed if not even the header holds.
 */
export function decodeLog(bytes) {
  if (bytes.length > BOARD_LOG_BYTES_MAX) throw new Malformed("it is above the limit of a log");
  const head = decodeHeader(bytes);
  const log = { board: head.board, writer: head.writer, name: head.name, ops: [], good: head.bytes, state: "whole", why: "" };
  const stop = (state, why) => Object.assign(log, { state, why });
  while (log.good < bytes.length) {
    const left = bytes.length - log.good;
    if (left < RECORD_HEAD_BYTES) return stop("torn", "the head of a record is not all there");
    const r = new Reader(bytes, log.good);
    const length = r.u32(), headSum = r.u32(), sum = r.u32();
    const from = r.at, to = from + length;
    if (crc32c(bytes, log.good, log.good + 4) !== headSum) return stop(emptyFrom(bytes, log.good) ? "torn" : "damaged", "the length of a record is wrong");
    if (length > BOARD_RECORD_BYTES_MAX) return stop("damaged", "a record is above its limit");
    if (to > bytes.length) return stop("torn", "a record is not all there");
    if (crc32c(bytes, from, to) !== sum) return stop(to === bytes.length ? "torn" : "damaged", "the checksum of a record is wrong");
    try {
      log.ops.push(decodeOp(bytes, log.writer, from, to));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return stop("damaged", error.message);
    }
    log.good = to;
  }
  return log;
}

// A file system may have made the file longer without having written to it.
function emptyFrom(bytes, from) {
  for (let i = from; i < bytes.length; i++) if (bytes[i]) return false;
  return true;
}
