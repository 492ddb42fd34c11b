// A QR code of a text (ISO/IEC 18004): bytes, error correction M (15 % may be lost), the smallest version that holds it. Knows nothing of pages.

// Of versions 1 to 40: codewords of correction in a block, and blocks.
const CORRECTION = [10, 16, 26, 18, 24, 16, 18, 22, 22, 26, 30, 22, 22, 24, 24, 28, 28, 26, 26, 26, 26, ...Array(19).fill(28)];
const BLOCKS = [1, 1, 1, 2, 2, 4, 4, 4, 5, 5, 5, 8, 9, 9, 10, 10, 11, 13, 14, 16, 17, 17, 18, 20, 21, 23, 25, 26, 28, 29, 31, 33, 35, 37, 38, 40, 43, 45, 47, 49];

// Logarithms of the field of 256 elements, modulo x^8 + x^4 + x^3 + x^2 + 1.
const EXP = new Uint8Array(510);
const LOG = new Uint8Array(256);
for (let i = 0, x = 1; i < 255; i++) {
  EXP[i] = EXP[i + 255] = x;
  LOG[x] = i;
  x = (x << 1) ^ (x & 128 ? 0x11d : 0);
}
const times = (a, b) => (a && b ? EXP[LOG[a] + LOG[b]] : 0);

/** The @n codewords of correction for @data: what is left of it divided by (x - 2^0) ... (x - 2^(n - 1)). */
function correction(data, n) {
  let divisor = [1];
  for (let i = 0; i < n; i++) {
    const next = [...divisor, 0];
    divisor.forEach((one, k) => { next[k + 1] ^= times(one, EXP[i]); });
    divisor = next;
  }
  const rest = new Uint8Array(n);
  for (const byte of data) {
    const factor = byte ^ rest[0];
    rest.copyWithin(0, 1);
    rest[n - 1] = 0;
    for (let k = 0; k < n; k++) rest[k] ^= times(divisor[k + 1], factor);
  }
  return rest;
}

/** Modules of a version that hold codewords. */
function room(version) {
  const lines = Math.floor(version / 7) + 2;
  return (16 * version + 128) * version + 64 - (version > 1 ? (25 * lines - 10) * lines - 55 : 0) - (version > 6 ? 36 : 0);
}
const codewords = (version) => Math.floor(room(version) / 8) - CORRECTION[version - 1] * BLOCKS[version - 1];

function marks(version) {
  if (version === 1) return [];
  const n = Math.floor(version / 7) + 2;
  const step = Math.floor((version * 8 + n * 3 + 5) / (n * 4 - 4)) * 2;
  return [6, ...Array.from({ length: n - 1 }, (_, i) => version * 4 + 10 - i * step).reverse()];
}

/** The codewords of @bytes in @version, with correction, blocks interleaved. */
function encode(bytes, version) {
  const bits = [];
  const put = (value, n) => { for (let i = n - 1; i >= 0; i--) bits.push((value >> i) & 1); };
  put(4, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  const total = codewords(version);
  put(0, Math.min(4, total * 8 - bits.length));
  while (bits.length % 8) bits.push(0);
  const data = Array.from({ length: bits.length / 8 }, (_, i) => parseInt(bits.slice(i * 8, i * 8 + 8).join(""), 2));
  for (let i = 0; data.length < total; i++) data.push(i % 2 ? 0x11 : 0xec);

  const blocks = BLOCKS[version - 1];
  const short = Math.floor(total / blocks);
  const longer = total % blocks; // the last ones have one codeword more
  const parts = Array.from({ length: blocks }, (_, i) => {
    const from = i * short + Math.max(0, i - (blocks - longer));
    return data.slice(from, from + short + (i >= blocks - longer));
  });
  const ends = parts.map((part) => correction(part, CORRECTION[version - 1]));
  const out = [];
  for (let i = 0; i <= short; i++) for (const part of parts) if (i < part.length) out.push(part[i]);
  for (let i = 0; i < CORRECTION[version - 1]; i++) for (const end of ends) out.push(end[i]);
  return out;
}

const MASKS = [
  (x, y) => (x + y) % 2 === 0, (x, y) => y % 2 === 0, (x) => x % 3 === 0, (x, y) => (x + y) % 3 === 0,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2 === 0, (x, y) => ((x * y) % 2) + ((x * y) % 3) === 0,
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2 === 0, (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2 === 0,
];

/** What does not depend on the data: {dark, fixed}, rows of booleans. */
function frame(version) {
  const size = version * 4 + 17;
  const dark = Array.from({ length: size }, () => Array(size).fill(false));
  const fixed = Array.from({ length: size }, () => Array(size).fill(false));
  const set = (x, y, on) => {
    if (x < 0 || y < 0 || x >= size || y >= size) return;
    dark[y][x] = on;
    fixed[y][x] = true;
  };
  for (let i = 0; i < size; i++) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  for (const [cx, cy] of [[3, 3], [size - 4, 3], [3, size - 4]])
    for (let y = -4; y <= 4; y++)
      for (let x = -4; x <= 4; x++) {
        const ring = Math.max(Math.abs(x), Math.abs(y));
        set(cx + x, cy + y, ring !== 2 && ring !== 4);
      }
  const at = marks(version);
  for (const cy of at)
    for (const cx of at) {
      if ((cx === 6 && cy === 6) || (cx === 6 && cy === size - 7) || (cx === size - 7 && cy === 6)) continue;
      for (let y = -2; y <= 2; y++) for (let x = -2; x <= 2; x++) set(cx + x, cy + y, Math.max(Math.abs(x), Math.abs(y)) !== 1);
    }
  if (version > 6) {
    let rest = version;
    for (let i = 0; i < 12; i++) rest = (rest << 1) ^ ((rest >> 11) * 0x1f25);
    const bits = (version << 12) | rest;
    for (let i = 0; i < 18; i++) {
      const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
      set(a, b, Boolean((bits >> i) & 1));
      set(b, a, Boolean((bits >> i) & 1));
    }
  }
  return { size, dark, fixed, set };
}

function format({ size, set }, mask) {
  let rest = mask; // level M is 0
  for (let i = 0; i < 10; i++) rest = (rest << 1) ^ ((rest >> 9) * 0x537);
  const bits = ((mask << 10) | rest) ^ 0x5412;
  const bit = (i) => Boolean((bits >> i) & 1);
  for (let i = 0; i < 6; i++) set(8, i, bit(i));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let i = 9; i < 15; i++) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i++) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i++) set(8, size - 15 + i, bit(i));
  set(8, size - 8, true);
}

function fillIn({ size, dark, fixed }, data, mask) {
  let i = 0;
  for (let right = size - 1; right > 0; right -= 2) {
    if (right === 6) right = 5;
    for (let n = 0; n < size; n++) {
      const y = ((right + 1) & 2) === 0 ? size - 1 - n : n;
      for (const x of [right, right - 1]) {
        if (fixed[y][x]) continue;
        const bit = i < data.length * 8 ? (data[i >> 3] >> (7 - (i & 7))) & 1 : 0;
        dark[y][x] = Boolean(bit) !== MASKS[mask](x, y);
        i++;
      }
    }
  }
}

// How hard it is to read: runs, squares, what looks like a finder, too dark or too light.
function penalty({ size, dark }) {
  let sum = 0;
  let n = 0;
  for (const line of [...dark, ...dark.map((_, x) => dark.map((row) => row[x]))]) {
    const text = line.map((on) => (on ? 1 : 0)).join("");
    for (const [run] of text.matchAll(/0{5,}|1{5,}/g)) sum += run.length - 2;
    for (const pattern of ["10111010000", "00001011101"]) for (let at = text.indexOf(pattern); at >= 0; at = text.indexOf(pattern, at + 1)) sum += 40;
  }
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      n += dark[y][x];
      if (x && y && dark[y][x] === dark[y - 1][x] && dark[y][x] === dark[y][x - 1] && dark[y][x] === dark[y - 1][x - 1]) sum += 3;
    }
  return sum + Math.floor(Math.abs((n * 100) / size / size - 50) / 5) * 10;
}

/** Rows of booleans, true for dark, without the quiet zone of four modules around; null if @text is too long (2,331 bytes). */
export function qr(text) {
  const bytes = new TextEncoder().encode(text);
  let version = 1;
  while (version <= 40 && codewords(version) * 8 < 4 + (version < 10 ? 8 : 16) + bytes.length * 8) version++;
  if (version > 40) return null;
  const data = encode(bytes, version);
  let best = null;
  for (let mask = 0; mask < 8; mask++) {
    const one = frame(version);
    format(one, mask);
    fillIn(one, data, mask);
    const cost = penalty(one);
    if (!best || cost < best.cost) best = { cost, dark: one.dark };
  }
  return best.dark;
}
