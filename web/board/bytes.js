// Bytes in and out: varints, zigzag, texts, and the checksum. What is read is bounded by what is there; what is not the
// one right encoding is refused, so that what was decoded encodes to the same bytes again.

/** Bytes that are not what they should be. */
export class Malformed extends Error {}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

export const utf8 = (text) => encoder.encode(text);

export class Writer {
  constructor() {
    this.bytes = new Uint8Array(256);
    this.length = 0;
  }
  room(n) {
    if (this.length + n <= this.bytes.length) return;
    const more = new Uint8Array(Math.max(this.bytes.length * 2, this.length + n));
    more.set(this.bytes.subarray(0, this.length));
    this.bytes = more;
  }
  u8(value) {
    this.room(1);
    this.bytes[this.length++] = value;
  }
  u32(value) {
    this.u8(value & 255);
    this.u8((value >>> 8) & 255);
    this.u8((value >>> 16) & 255);
    this.u8(value >>> 24);
  }
  /** An unsigned number below 2^53, seven bits a byte, the lowest first. */
  varint(value) {
    while (value >= 128) {
      this.u8((value % 128) | 128);
      value = Math.floor(value / 128);
    }
    this.u8(value);
  }
  zigzag(value) {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }
  raw(bytes) {
    this.room(bytes.length);
    this.bytes.set(bytes, this.length);
    this.length += bytes.length;
  }
  text(string) {
    const bytes = utf8(string);
    this.varint(bytes.length);
    this.raw(bytes);
  }
  done() {
    return this.bytes.slice(0, this.length);
  }
}

export class Reader {
  constructor(bytes, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.at = at;
    this.end = end;
  }
  need(n) {
    if (this.end - this.at < n) throw new Malformed("it ends too early");
  }
  u8() {
    this.need(1);
    return this.bytes[this.at++];
  }
  u32() {
    this.need(4);
    const b = this.bytes, i = this.at;
    this.at += 4;
    return (b[i] | (b[i + 1] << 8) | (b[i + 2] << 16) | (b[i + 3] << 24)) >>> 0;
  }
  varint(max = Number.MAX_SAFE_INTEGER) {
    let value = 0, unit = 1;
    for (let i = 0; ; i++) {
      const byte = this.u8();
      value += (byte & 127) * unit;
      if (byte < 128) {
        if (byte === 0 && i > 0) throw new Malformed("a number is longer than it need be");
        break;
      }
      if (i === 7) throw new Malformed("a number is too long");
      unit *= 128;
    }
    if (value > max) throw new Malformed("a number is above its limit");
    return value;
  }
  /** A signed number, at most @max away from 0. */
  zigzag(max) {
    const value = this.varint(2 * max);
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }
  raw(n) {
    this.need(n);
    this.at += n;
    return this.bytes.slice(this.at - n, this.at);
  }
  /** @lines: whether it may have several. No other control characters, in either case. */
  text(max, lines = false) {
    const length = this.varint(max);
    this.need(length);
    let string;
    try {
      string = decoder.decode(this.bytes.subarray(this.at, this.at + length));
    } catch {
      throw new Malformed("a text is not UTF-8");
    }
    this.at += length;
    if ((lines ? /[\x00-\x09\x0b-\x1f\x7f\ufffe\uffff]/ : /[\x00-\x1f\x7f\ufffe\uffff]/).test(string)) throw new Malformed("a text has control characters");
    return string;
  }
  finish() {
    if (this.at !== this.end) throw new Malformed("something stands behind its end");
  }
}

const HEX = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));

export function hex(bytes) {
  let out = "";
  for (const byte of bytes) out += HEX[byte];
  return out;
}

export function unhex(string) {
  return Uint8Array.from({ length: string.length / 2 }, (_, i) => parseInt(string.slice(2 * i, 2 * i + 2), 16));
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0x82f63b78 : n >>> 1;
  return n;
});

/** CRC-32C (Castagnoli) of @bytes[from, to), going on from @sum. */
export function crc32c(bytes, from = 0, to = bytes.length, sum = 0) {
  let crc = ~sum;
  for (let i = from; i < to; i++) crc = (crc >>> 8) ^ CRC[(crc ^ bytes[i]) & 255];
  return ~crc >>> 0;
}
