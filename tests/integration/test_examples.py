"""Every example, built as its readers build it and run against a real cluster.

`meson install` goes into a temporary DESTDIR; the compiler gets one file and what the installed
pkg-config says, nothing of the source tree.
"""
import os
import re
import shutil
import signal

import pytest

import kithtest
from kithtest import ROOT, run, wait_for

# A reader's compiler knows of no sanitizer.
pytestmark = pytest.mark.plain

LINES_MAX = 60
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.c"))
# A crash is noticed within the bounds of docs/protocols/member.md.
FAILED_WITHIN = 40


@pytest.fixture(scope="session")
def installed(build, tmp_path_factory):
    """What pkg-config and the loader need to use an installed kith."""
    root = tmp_path_factory.mktemp("root")
    run("meson", "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", root, timeout=120)
    found = list(root.rglob("pkgconfig/kith.pc"))
    assert len(found) == 1, f"kith.pc is installed {len(found)} times"
    libdir = found[0].parent.parent
    return {"PKG_CONFIG_PATH": str(found[0].parent), "PKG_CONFIG_SYSROOT_DIR": str(root),
            "LD_LIBRARY_PATH": str(libdir)}


def pkg_config(installed, *args):
    return run("pkg-config", *args, "kith", env=installed).text.split()


@pytest.fixture(scope="session")
def binaries(installed, tmp_path_factory):
    """Builds an example once; gives its path."""
    folder = tmp_path_factory.mktemp("examples")

    def binary(name):
        path = folder / name
        if not path.exists():
            shutil.copy(ROOT / "examples" / f"{name}.c", folder)
            run("cc", "-Wall", "-Wextra", "-Werror", f"{name}.c",
                *pkg_config(installed, "--cflags", "--libs"), "-o", name, cwd=folder,
                env=installed, timeout=60)
        return path
    return binary


@pytest.fixture
def example(binaries, installed, cluster, processes):
    """Runs an example as a program of the cluster's first node."""
    class Example:
        @staticmethod
        def env():
            return dict(installed, KITH_SOCKET=str(cluster.nodes[0].socket))

        def run(self, name, *args, **options):
            return run(binaries(name), *args, env=self.env(), **options)

        def start(self, name, *args, stdin=None):
            command = [binaries(name), *args]
            if stdin is not None:  # a FIFO: who types into it holds it open
                command = ["/bin/sh", "-c", 'exec "$0" "$@" <' + f"'{stdin}'", *command]
            return processes.start(command, env=self.env())
    return Example()


def served(node, name, count):
    """Waits until @node knows @count nodes with the function @name."""
    def known():
        for fn in node.kith("fn", "ls", "--json").json["functions"]:
            if fn["name"] == name:
                return len(fn["nodes"]) == count
        return count == 0
    wait_for(known, 20, f"{name} on {count} nodes, seen by {node}")


def test_there_are_examples():
    assert set(EXAMPLES) >= {"chat", "echo", "failure_callback", "fuse_multiply_add", "map_sum",
                             "name_server"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_short_and_stands_on_kith_and_libc(name, binaries):
    text = (ROOT / "examples" / f"{name}.c").read_text()
    assert text.count("\n") < LINES_MAX
    libc = {"inttypes.h", "signal.h", "stdint.h", "stdio.h", "stdlib.h", "string.h", "unistd.h"}
    assert set(re.findall(r"^#include (.*)$", text, re.M)) <= {f"<{h}>" for h in libc | {"kith.h"}}
    assert os.access(binaries(name), os.X_OK)


def test_installed_library_names_nothing_of_the_build(installed):
    flags = pkg_config(installed, "--cflags", "--libs")
    assert "-lkith" in flags
    assert not [flag for flag in flags if str(kithtest.BUILD) in flag], flags


def test_echo_is_called_from_another_program(example, cluster):
    first, second = cluster.start(2)
    server = example.start("echo")
    served(second, "example.echo", 1)
    called = example.run("echo", "hello").text
    assert called.endswith(": hello\n") and called.startswith("program-")
    assert second.kith("call", "example.echo", "from the shell").text == "from the shell"
    # SIGTERM: it leaves, and its function with it.
    assert server.stop() == 0, server.describe()
    served(first, "example.echo", 0)
    served(second, "example.echo", 0)


def test_fuse_multiply_add_takes_typed_parameters(example, cluster):
    cluster.start(1)
    assert example.run("fuse_multiply_add", "2", "0.5", "1", "2", "3", "4").text == \
        "2.5 4.5 6.5 8.5\n"
    assert example.run("fuse_multiply_add", "-1", "0", "1e300").text == "-1e+300\n"


def test_name_server_keeps_names_for_everybody(example, cluster):
    first, second = cluster.start(2)
    example.start("name_server")
    served(second, "lookup", 1)
    assert first.kith("call", "store", "printer 10.0.0.9").out == b""
    second.kith("call", "store", "camera 10.0.0.7")
    assert second.kith("call", "lookup", "printer").text == "10.0.0.9"
    second.kith("call", "store", "printer the one in the hall")
    assert first.kith("call", "lookup", "printer").text == "the one in the hall"
    assert first.kith("call", "lookup", "camera").text == "10.0.0.7"
    missing = first.kith("call", "lookup", "print", check=1)
    assert "no such name" in missing.error
    assert "NAME VALUE" in first.kith("call", "store", "alone", check=1).error


def test_chat_shows_a_line_to_all_others(example, cluster, short_dir):
    first, second = cluster.start(2)
    people = {}
    for name in ("ana", "ben", "cem"):
        fifo = short_dir / f"{name}.fifo"
        os.mkfifo(fifo)
        process = example.start("chat", name, stdin=fifo)
        people[name] = (process, open(fifo, "w", buffering=1))
    served(first, "chat.say", 3)

    def type_until_heard(name, line):
        # What each program knows of the others is gossip: a line typed too early is heard by fewer.
        process, keyboard = people[name]

        def heard_by_two():
            before = process.log.count("(heard by")
            keyboard.write(line + "\n")
            wait_for(lambda: process.log.count("(heard by") > before, 10, "the line was sent")
            return process.log.splitlines()[-1] == "(heard by 2)"
        wait_for(heard_by_two, 20, f"{name} is heard by both others")

    type_until_heard("ana", "hello, you two")
    type_until_heard("ben", "hello ana")
    for name, heard, not_heard in (("ana", "ben: hello ana", "ana:"),
                                   ("ben", "ana: hello, you two", "ben:"),
                                   ("cem", "ben: hello ana", "cem:")):
        log = people[name][0].log
        assert heard in log.splitlines(), f"{name} sees: {log}"
        assert not_heard not in log, f"{name} sees: {log}"
    for process, keyboard in people.values():
        keyboard.close()
        assert process.wait() == 0, process.describe()
    served(second, "chat.say", 0)


def test_failure_callback_tells_what_a_lost_node_held(example, cluster):
    first, second, third = cluster.start(3, "--set", "member.profile=fast")
    program = example.start("failure_callback", "40", "500ms")
    program.wait_log(r"joined n2 \(127\.0\.0\.1:\d+\)")
    wait_for(lambda: second.kith("info", "--json").json["rpc"]["serving_now"] > 0, 20,
             "the second node works on an item", interval=0.02)
    second.kill()
    program.wait_log(r"failed n2 .*: .*; items it held: \d+", FAILED_WITHIN)
    assert program.wait(60) == 0, program.describe()
    done = re.search(r"^40 done, (\d+) lost and done again$", program.log, re.M)
    held = re.search(r"failed n2 .*; items it held:((?: \d+)+)", program.log)
    assert done and int(done[1]) == len(held[1].split()), program.log


def test_failure_callback_tells_of_a_graceful_leave(example, cluster):
    first, second = cluster.start(2)
    program = example.start("failure_callback", "1000", "200ms")
    program.wait_log(r"joined n2 ")
    second.stop()
    program.wait_log(r"left n2 ")
    program.signal(signal.SIGKILL)


def test_map_sum_adds_up_what_all_programs_do(example, cluster):
    (first,) = cluster.start(1)
    n = 1_000_000
    total = f"{n * (n + 1) * (2 * n + 1) // 6 % 2**64}\n"
    assert example.run("map_sum", str(n)).text == total
    workers = [example.start("map_sum") for _ in range(2)]
    served(first, "example.squares", 2)
    assert example.run("map_sum", str(n)).text == total
    assert first.kith("call", "example.squares", "1 10").text == "385"
    # One of those that work is killed: the answer is the same.
    workers[0].kill()
    assert example.run("map_sum", str(n), timeout=60).text == total


CXX_MODULE = """
#include <kith.h>
static int one(struct kith_ctx *ctx, const void *, size_t, void *)
{
    return kith_reply(ctx, "1", 1);
}
static int start(struct kith_node *node)
{
    struct kith_export fn = {};
    fn.name = "cxx.one";
    fn.fn = one;
    return kith_export(node, &fn);
}
KITH_MODULE = {KITH_MODULE_ABI, "cxx", "1.0", "a module in C++", start, nullptr};
"""


def cxx_compiler():
    found = shutil.which("c++") or shutil.which("clang++")
    if not found:
        pytest.skip("no C++ compiler")
    return found


def test_installed_headers_are_c11_and_stand_alone(installed, tmp_path):
    flags = pkg_config(installed, "--cflags")
    for header in ["kith.h", *(f"kith/{name}.h" for name in ("api", "error", "module", "node", "rpc"))]:
        (tmp_path / "x.c").write_text(f"#include <{header}>\n")
        run("cc", "-std=c11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *flags,
            "x.c", cwd=tmp_path)


def test_module_in_cxx_is_loaded(installed, cluster, short_dir):
    compiler = cxx_compiler()
    (short_dir / "one.cc").write_text(CXX_MODULE)
    run(compiler, "-std=c++11", "-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror",
        "-shared", "-fPIC", *pkg_config(installed, "--cflags"), "one.cc", "-o", "one.so",
        cwd=short_dir)
    (node,) = cluster.start(1)
    node.kith("load", short_dir / "one.so")
    assert node.kith("call", "cxx.one").text == "1"
