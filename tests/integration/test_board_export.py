"""kith board: what is in the catalogue as a board, listed and drawn on any node. (tests/web compares the pictures with the page's.)"""
import struct
import zlib

import kithtest
import pytest

from boardlib import header, record, text, varint, zigzag
from kithtest import wait_for

pytestmark = pytest.mark.plain  # what reads logs is fuzzed with sanitizers

WAIT = 60
WRITERS = ("11" * 16, "22" * 16)
NODE = "ab" * 16
BEGAN_US = 1_764_500_000_000_000
RECT, TEXT, IMAGE, TITLE = 5, 7, 9, 21


def log(board, writer, *bodies):
    out = header(board, bytes.fromhex(writer), "Ada")
    for counter, (after_us, kind, fields) in enumerate(bodies, 1):
        out += record(varint(counter) + varint(BEGAN_US + after_us) + bytes([kind]) + fields)
    return out


def rect(x, y):
    return bytes([2]) + varint(32) + bytes([2]) + b"".join(map(zigzag, (16 * x, 16 * y, 1600, 800)))


def letters(words):
    return bytes([0]) + varint(320) + zigzag(0) + zigzag(3200) + varint(1600) + varint(400) + text(words)


def image(digest):
    return zigzag(2400) + zigzag(0) + varint(800) + varint(800) + bytes([0]) + bytes.fromhex(digest)


def png(side=4):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes((10, 200, 90)) * side for _ in range(side))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def size_of(picture):
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", picture[16:24])


def put(node, path, data):
    node.kith("fs", "put", "-", path, "--quiet", input=data)


@pytest.fixture
def board(cluster, short_dir):
    """A board of two writers, put at one node and known to both: (that one, the other)."""
    a, b = cluster.start(2)
    cluster.wait_alive()
    folder = short_dir / "boards"
    folder.mkdir()
    a.kith("share", "add", "boards", folder)
    digest = "5c" * 32
    one = log("plan", WRITERS[0], (0, RECT, rect(0, 0)), (10, TITLE, text("The plan")),
              (3_600_000_000, TEXT, letters("later & <more>")))
    two = log("plan", WRITERS[1], (20, RECT, rect(10, 100)), (30, IMAGE, image(digest)))
    put(a, f"boards/plan/log/{WRITERS[0]}-{NODE}-00000001", one)
    put(a, f"boards/plan/log/{WRITERS[1]}-{NODE}-00000001", two)
    put(a, f"boards/plan/image/{digest}", png())
    wait_for(lambda: len(b.kith("fs", "find", "*", "--json").json["entries"]) >= 3, WAIT,
             "the other node knows the board")
    return a, b


def test_a_board_is_listed_and_drawn_on_another_node(board, tmp_path):
    a, b = board
    listed = b.kith("board", "ls", "--json").json
    assert listed["schema"] == "kith.board.ls/1"
    (plan,) = listed["boards"]
    assert (plan["name"], plan["title"], plan["elements"], plan["operations"], plan["writers"]) == \
        ("plan", "The plan", 4, 5, 2)
    assert plan["begun"].startswith("2025-11-30T") and not plan["partly"]
    assert "The plan" in b.kith("board", "ls").text

    out = tmp_path / "plan.svg"
    said = b.kith("board", "export", "plan", "-o", out, "--json", cwd=tmp_path).json
    assert said["schema"] == "kith.board.export/1"
    assert (said["format"], said["logs"], said["missing"]) == ("svg", 2, 0)
    drawn = out.read_text()
    assert drawn.count("<rect") == 3 and "later &amp; &lt;more&gt;" in drawn
    assert "data:image/png;base64,iVBORw0KGgo" in drawn and "files/" not in drawn
    assert a.kith("board", "export", "plan", "--format", "svg", "-o", "-").text == drawn
    assert said["bytes"] == out.stat().st_size and list(tmp_path.iterdir()) == [out]

    # as it was before the text was written
    before = b.kith("board", "export", "plan", "--at", "2025-11-30T11:00:00Z", "-o", "-", "--format", "svg").text
    assert "later" not in before and before.count("<rect") == 3
    assert b.kith("board", "export", "plan", "--at", "12:00", "-o", "-", check=2).out == b""


def test_a_png_has_the_size_that_was_asked_for(board, tmp_path):
    _, b = board
    b.kith("board", "export", "plan", cwd=tmp_path)
    double = (tmp_path / "plan.png").read_bytes()
    single = b.kith("board", "export", "plan", "--scale", "1", "-o", "-").out
    # from -1 to 201 and from -1 to 225 or so (letters), and 16 around
    assert size_of(single) == (233, 258)
    assert size_of(double) == (466, 516)
    assert "--scale" in b.kith("board", "export", "plan", "--scale", "1000", check=2).error


def test_what_cannot_be_read_is_said_and_left_out(board, tmp_path):
    a, b = board
    whole = log("plan", "33" * 16, (40, RECT, rect(0, 0)), (50, RECT, rect(0, 0)), (60, RECT, rect(0, 0)))
    broken = bytearray(whole)
    broken[-40] ^= 1
    put(b, f"boards/plan/log/{'33' * 16}-{NODE}-00000001", bytes(broken))
    put(b, f"boards/plan/log/{'44' * 16}-{NODE}-00000001", log("other", "44" * 16, (70, RECT, rect(0, 0))))
    made = b.kith("board", "export", "plan", "-o", "-", "--format", "svg", check=8)
    assert "is damaged behind byte" in made.error and "no log of board plan" in made.error
    assert made.text.count("<rect") >= 4
    listed = b.kith("board", "ls", "--json", check=8).json["boards"]
    assert [one["partly"] for one in listed] == [True]

    assert "kith board ls" in b.kith("board", "export", "nothing", check=4).error
    assert b.kith("board", "export", "../plan", check=4).out == b""
    refused = b.kith("board", "export", "plan", "-o", tmp_path / "no" / "x.png", check=1)
    assert "cannot be written" in refused.error


def test_no_boards_are_no_failure(cluster):
    (a,) = cluster.start(1)
    assert "no boards yet" in a.kith("board", "ls").error
    assert a.kith("board", "ls", "--json").json["boards"] == []


def test_kith_board_refuses_what_is_no_board(build):
    program = build / "kith-board"
    for bad in (b"", b"kith-board/1 \n", b"kith-board/1 UP\n", b"kith-board/1 a\nlog 5 x\nabc",
                b"kith-board/1 a\nlog -1 x\n", b"kith-board/1 a\nlog 99999999999999999999 x\n",
                b"kith-board/1 a\nthing 1 x\na", b"kith-board/1 a\nlog 4294967295 x\n"):
        result = kithtest.run(program, "svg", input=bad, check=1)
        assert result.out == b"" and "kith-board:" in result.error, bad
    assert kithtest.run(program, "svg", input=b"kith-board/1 a\n").text.startswith("<svg")
    for arguments in ([], ["jpeg"], ["svg", "--at"], ["png", "--scale", "0"], ["svg", "--at", "x"]):
        assert "usage" in kithtest.run(program, *arguments, input=b"", check=2).error, arguments
