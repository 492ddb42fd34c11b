"""The logs of a board in Python, as docs/protocols/board.md has them: what a test appends and reads."""
import struct

LIVE, OPS, MISSED = 1, 2, 3
HERE, CURSOR, GONE, PING, PONG = 1, 2, 3, 8, 9
RECT, FUTURE = 5, 60

_TABLE = []
for _i in range(256):
    for _ in range(8):
        _i = _i >> 1 ^ (0x82F63B78 if _i & 1 else 0)
    _TABLE.append(_i)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def zigzag(n):
    return varint(2 * n if n >= 0 else -2 * n - 1)


def text(s):
    data = s.encode()
    return varint(len(data)) + data


def header(board, writer, name="Ana"):
    head = b"KITHBRD\x01" + text(board) + writer + text(name)
    return head + struct.pack("<I", crc32c(head))


def record(body):
    length = struct.pack("<I", len(body))
    return length + struct.pack("<II", crc32c(length), crc32c(body)) + body


def rect(counter, clock=None, x=0):
    return record(varint(counter) + varint(clock or 1000 + counter) + bytes([RECT, 1]) + varint(32) + b"\0" +
                  zigzag(x) + zigzag(0) + zigzag(160) + zigzag(160))


def future(counter, length):
    """An operation of a kind that is not known, with @length bytes of body in all."""
    head = varint(counter) + varint(1000 + counter) + bytes([FUTURE])
    return record(head + bytes(length - len(head)))


def read_header(data):
    """(board, writer, where the records begin)"""
    assert data[:8] == b"KITHBRD\x01"
    at = 9 + data[8]
    board, writer = data[9:at].decode(), data[at:at + 16]
    return board, writer, at + 17 + data[at + 16] + 4


def counters(data):
    """(writer, [counters]) of a log."""
    _, writer, at = read_header(data)
    found = []
    while at < len(data):
        length, _, crc = struct.unpack_from("<III", data, at)
        body = data[at + 12:at + 12 + length]
        assert crc32c(body) == crc
        n = shift = i = 0
        while True:
            n |= (body[i] & 127) << shift
            shift, i = shift + 7, i + 1
            if not body[i - 1] & 128:
                break
        found.append(n)
        at += 12 + length
    return writer, found


def logs(data):
    """What GET /v1/boards/NAME/logs answers: [(file, read, bytes)]."""
    out, at = [], 0
    while at < len(data):
        out_of_reach, n = data[at], data[at + 1]
        name = data[at + 2:at + 2 + n].decode()
        length, = struct.unpack_from("<I", data, at + 2 + n)
        at += 6 + n
        out.append((name, not out_of_reach, data[at:at + length]))
        at += length
    return out


def pieces(message):
    """Those of one message of the live socket: [(type, bytes)]."""
    out, at = [], 0
    while at < len(message):
        length, = struct.unpack_from("<I", message, at)
        out.append((message[at + 4], message[at + 5:at + 4 + length]))
        at += 4 + length
    return out


def here(sender, writer, name, machine):
    return bytes([HERE]) + sender + writer + text(name) + text(machine) + bytes([3, 0])


def cursor(sender, x, y):
    return bytes([CURSOR]) + sender + zigzag(x) + zigzag(y)
