"""kith-mandelbrot: alone, with a cluster, and with a cluster that changes while it draws."""
import json
import os
import signal
import struct
import zlib

import kithtest
import pytest
from kithtest import run, wait_for

PROGRAM = kithtest.BUILD / "kith-mandelbrot"
# Every point iterated, so that a picture takes long enough for things to happen; a sanitized one takes it anyway.
SLOW_VIEW = ("--size", "1024x1024", "--iterations", "60000" if kithtest.SLOW == 1 else "12000", "--no-shortcuts",
             "--tile", "64")


@pytest.fixture
def out(short_dir):
    folder = short_dir / "pictures"
    folder.mkdir()
    return folder


def render(path, *args, **options):
    options.setdefault("timeout", 120)
    return run(PROGRAM, "render", "--out", path, *args, **options)


def read_png(path):
    """Width, height and rows of (r, g, b); only what this program writes."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        assert zlib.crc32(kind + body) == struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0]
        if kind == b"IHDR":
            width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", body)
            assert (depth, colour) == (8, 2)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    raw, rows, before = zlib.decompress(packed), [], bytes(width * 3)
    for y in range(height):
        start = y * (width * 3 + 1)
        kind, line = raw[start], bytearray(raw[start + 1:start + 1 + width * 3])
        assert kind in (0, 1, 2)
        for i in range(len(line)):
            if kind == 1 and i >= 3:
                line[i] = (line[i] + line[i - 3]) & 255
            elif kind == 2:
                line[i] = (line[i] + before[i]) & 255
        before = bytes(line)
        rows.append([tuple(line[i:i + 3]) for i in range(0, len(line), 3)])
    return width, height, rows


def escapes(c, iterations):
    z = 0
    for _ in range(iterations):
        # the same operations as the program, not Python's complex product
        z = complex((z.real * z.real - z.imag * z.imag) + c.real, 2 * (z.real * z.imag) + c.imag)
        if z.real * z.real + z.imag * z.imag > 4:
            return True
    return False


def serial(out, *args):
    path = out / "serial.png"
    render(path, "--serial", *args)
    return path.read_bytes()


@pytest.fixture(scope="module")
def slow_picture(build, tmp_path_factory):
    """What SLOW_VIEW is."""
    return serial(tmp_path_factory.mktemp("slow"), *SLOW_VIEW)


def test_black_is_exactly_what_does_not_escape(out, build):
    for re, im, span in ((-0.75, 0, 3.5), (-0.7435, 0.1314, 0.002), (0.3, -0.5, 0.3)):
        path = out / "a.png"
        shown = render(path, "--serial", "--size", "70x50", "--center", f"{re},{im}", "--span", str(span),
                       "--iterations", "120", "--json").json
        width, height, rows = read_png(path)
        assert (width, height) == (70, 50) == (shown["width"], shown["height"])
        step, digest = span / 70, 0xcbf29ce484222325
        for y, row in enumerate(rows):
            for x, colour in enumerate(row):
                c = complex(re + (x + 0.5 - 35) * step, im - (y + 0.5 - 25) * step)
                assert (colour == (0, 0, 0)) == (not escapes(c, 120)), (x, y, c)
                for channel in colour:
                    digest = ((digest ^ channel) * 0x100000001b3) & (2**64 - 1)
        assert shown["picture"] == f"fnv1a64:{digest:016x}"


def test_threads_tiles_kernels_and_shortcuts_do_not_show(out, build):
    view = ("--size", "333x201", "--iterations", "3000", "--center", "-0.7436,0.1318", "--span", "0.01")
    want = serial(out, *view)
    for args in (("--threads", "1"), ("--threads", "7"), ("--tile", "8"), ("--tile", "1024"),
                 ("--no-shortcuts",), ("--kernel", "scalar"), ("--kernel=scalar", "--no-shortcuts")):
        assert serial(out, *view, *args) == want, args


def test_the_document_says_what_was_drawn(out, build):
    shown = render(out / "a.png", "--serial", "--threads", "2", "--size", "300x200", "--tile", "32", "--json").json
    assert shown["schema"] == "kith.mandelbrot/1"
    assert (shown["tiles"], shown["lost"], shown["serial"], shown["tile"]) == (70, 0, True, 32)
    assert shown["center"] == [-0.75, 0] and shown["span"] == 3.5 and shown["iterations"] == 1000
    assert shown["elapsed_s"] > 0
    assert sum(node["tiles"] for node in shown["nodes"]) == 70
    assert abs(sum(node["share"] for node in shown["nodes"]) - 1) < 1e-5


def test_what_goes_wrong_is_said(out, build):
    assert "did you mean --iterations" in render(out / "a.png", "--iteration", "5", check=2).error
    assert "1 to 1000000000" in render(out / "a.png", "--iterations", "0", check=2).error
    assert "No such file or directory" in render(out / "none" / "a.png", "--serial", check=1).error
    assert "directory" in render(out, "--serial", check=1).error
    assert list(out.iterdir()) == []


def test_without_an_agent_it_says_how_to_get_one(out, build, short_dir):
    gone = render(out / "a.png", "--agent", short_dir / "nothing", check=3, timeout=10)
    assert "--serial" in gone.error and "kith dev" in gone.error
    assert list(out.iterdir()) == []


def test_an_interrupted_picture_leaves_the_old_one(out, build, processes):
    path = out / "a.png"
    path.write_text("the old one")
    drawing = processes.start([PROGRAM, "render", "--out", path, "--serial", "--size", "4000x4000", "--iterations",
                               "1000000000", "--no-shortcuts", "--progress", out / "progress"])
    wait_for(lambda: '"tiles"' in (out / "progress").read_text(), what="it draws")
    drawing.signal(signal.SIGINT)
    assert drawing.wait(10) == 130
    assert "interrupted" in drawing.log
    assert path.read_text() == "the old one"
    assert sorted(p.name for p in out.iterdir()) == ["a.png", "progress"]


# ---- with a cluster ----

def start(cluster, count):
    """Nodes that draw, with one worker each."""
    return [start_node(cluster, cluster.add()) for _ in range(count)]


def start_node(cluster, node):
    conf = node.dir / "kith.conf"
    if "workers" not in conf.read_text():
        conf.write_text(conf.read_text() + "\n[rpc]\nworkers = 1\n")
    return node.start("--load", "mandelbrot")


class Drawing:
    """A picture under way."""

    def __init__(self, processes, out, node, *args):
        self.path, self.progress_path = out / "cluster.png", out / "progress"
        self.stdout = out / "document"
        # stdout apart from stderr, for the document
        self.process = processes.start(["sh", "-c", 'exec "$@" >"$0"', self.stdout, PROGRAM, "render", "--out",
                                        self.path, "--agent", node.dir, "--json", "--progress", self.progress_path,
                                        *args])

    def progress(self):
        lines = self.progress_path.read_text().splitlines() if self.progress_path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]

    def wait_tiles(self, count, timeout=60):
        def drawn():
            assert self.process.running or self.progress()[-1]["tiles"] >= count, self.process.describe()
            return any(line["tiles"] >= count for line in self.progress())
        wait_for(drawn, timeout, f"{count} tiles", interval=0.01)

    def end(self, timeout=120):
        assert self.process.wait(timeout) == 0, self.process.describe()
        return json.loads(self.stdout.read_text()), self.path.read_bytes()


def by_name(shown):
    return {node["name"]: node for node in shown["nodes"]}


def test_a_cluster_draws_what_one_machine_draws(cluster, out):
    a, b = start(cluster, 2)
    cluster.wait_alive()
    view = ("--size", "1000x700", "--iterations", "20000" if kithtest.SLOW == 1 else "5000", "--no-shortcuts",
            "--tile", "50")
    shown = render(out / "a.png", "--agent", a.dir, "--json", *view).json
    assert (out / "a.png").read_bytes() == serial(out, *view)
    assert shown["tiles"] == 280 and shown["lost"] == 0 and not shown["serial"]
    # both draw and nobody else does
    assert set(by_name(shown)) == {a.name, b.name}
    assert all(node["tiles"] > 10 and node["seconds"] > 0 for node in shown["nodes"])
    assert by_name(shown)[a.name]["id"] == a.id

    # by its socket, and through the command; the table names both
    table = a.kith("mandel", "render", "--out", out / "b.png", "--agent", a.socket, *view, timeout=120)
    assert (out / "b.png").read_bytes() == (out / "a.png").read_bytes()
    assert a.name in table.text and b.name in table.text and "280 tiles" in table.text


def test_tiles_of_a_killed_node_are_drawn_by_others(cluster, out, processes, slow_picture):
    a, b, c = start(cluster, 3)
    cluster.wait_alive()
    drawing = Drawing(processes, out, a, *SLOW_VIEW)
    drawing.wait_tiles(12)
    b.kill()
    shown, picture = drawing.end()
    assert picture == slow_picture
    nodes = by_name(shown)
    assert [name for name in nodes if nodes[name]["failed"]] == [b.name]
    assert shown["lost"] == nodes[b.name]["lost"] >= 1
    assert shown["resumed"] <= shown["lost"] and shown["rows_kept"] >= shown["resumed"]
    assert sum(node["tiles"] for node in shown["nodes"]) == shown["tiles"] == 256
    assert f"node {b.name} failed: " in drawing.process.log and "back to the queue" in drawing.process.log
    assert any(line.get("failed") == b.name and line["lost"] >= 1 for line in drawing.progress())


def test_a_node_that_joins_in_the_middle_draws_too(cluster, out, processes, slow_picture):
    [a] = start(cluster, 1)
    b = cluster.add()
    drawing = Drawing(processes, out, a, *SLOW_VIEW)
    drawing.wait_tiles(2)
    start_node(cluster, b)
    shown, picture = drawing.end()
    assert picture == slow_picture
    assert by_name(shown)[b.name]["tiles"] > 0 and shown["lost"] == 0


@pytest.mark.plain
def test_with_no_node_left_the_rest_waits_for_one(cluster, out, processes, slow_picture):
    a, b = start(cluster, 2)
    cluster.wait_alive()
    drawing = Drawing(processes, out, a, *SLOW_VIEW)
    drawing.wait_tiles(4)
    a.kill()
    b.kill()
    drawing.process.wait_log("no node left", 60)
    assert drawing.process.running
    start_node(cluster, b)
    shown, picture = drawing.end()
    assert picture == slow_picture
    assert shown["lost"] >= 2


def test_an_interrupted_map_ends_at_once(cluster, out, processes):
    [a] = start(cluster, 1)
    drawing = Drawing(processes, out, a, "--size", "4000x4000", "--iterations", "1000000000", "--no-shortcuts",
                      "--tile", "16")
    wait_for(lambda: drawing.progress(), what="it draws")
    drawing.process.signal(signal.SIGINT)
    assert drawing.process.wait(15) == 130
    assert "interrupted" in drawing.process.log
    assert not drawing.path.exists()
    # the node has given up the tiles as well: it draws the next picture at once
    render(out / "b.png", "--agent", a.dir, "--size", "64x64", timeout=15)


def test_without_the_module_it_draws_here_and_says_so(cluster, out):
    a = cluster.add().start()
    alone = render(out / "a.png", "--agent", a.dir, "--size", "300x200", "--json")
    assert "no node offers mandelbrot.tile" in alone.error and "kith load mandelbrot" in alone.error
    assert (out / "a.png").read_bytes() == serial(out, "--size", "300x200")
    assert [node["tiles"] for node in alone.json["nodes"]] == [6]


def test_a_tint_shows_who_drew_what(cluster, out):
    a, b = start(cluster, 2)
    cluster.wait_alive()
    view = ("--size", "200x150", "--tile", "8", "--iterations", "20000", "--no-shortcuts")
    shown = render(out / "a.png", "--agent", a.dir, "--tint", "--json", *view).json
    serial(out, *view)
    _, _, tinted = read_png(out / "a.png")
    _, _, plain = read_png(out / "serial.png")
    changed = 0
    for row, row_plain in zip(tinted, plain):
        for colour, colour_plain in zip(row, row_plain):
            assert (colour == (0, 0, 0)) == (colour_plain == (0, 0, 0))
            changed += colour != colour_plain
    assert changed > 10000 and shown["tint"] and len(shown["nodes"]) == 2


def test_a_bad_argument_is_refused_with_the_reason(cluster):
    [a] = start(cluster, 1)
    good = struct.pack("<IIdddIIIIIIII", 1, 0, -0.75, 0.0, 3.5, 640, 480, 0, 0, 64, 64, 100, 0)
    assert a.kith("call", "mandelbrot.tile", "-", input=good).out[:4] == b"\1\0\0\0"
    for bad, why in ((b"", "0 bytes"), (good[:-1], "63 bytes"), (b"\2" + good[1:], "version 2"),
                     (good[:48] + struct.pack("<I", 2000) + good[52:], "tile"),
                     (good[:56] + struct.pack("<I", 0) + good[60:], "iterations"),
                     (good[:8] + struct.pack("<d", float("nan")) + good[16:], "center")):
        path = a.dir / "argument"
        path.write_bytes(bad)
        assert why in a.kith("call", "mandelbrot.tile", f"@{path}", check=1).error


def test_a_terminal_gets_a_bar(out, build):
    pid, terminal = os.forkpty()
    if pid == 0:
        os.environ.update(kithtest.environment())
        os.execv(PROGRAM, [str(PROGRAM), "render", "--out", str(out / "a.png"), "--serial", "--threads", "1",
                           *SLOW_VIEW])
    seen = b""
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(terminal)
    assert os.waitpid(pid, 0)[1] == 0
    text = seen.decode()
    assert "ETA" in text and "thread-1" in text and "/256 tiles" in text and "#" in text
    assert "256 tiles in" in text.split("\x1b[K")[-1]
