"""The checks themselves: each finds what it is there to find, in a tree made for it."""
import pathlib
import subprocess

import arrows
import pytest
import purity
import tidy


@pytest.fixture
def tree(tmp_path):
    """Writes files into a small tree: tree('src/core/a.c', 'text')."""
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path
    return write


@pytest.mark.parametrize("path, include", [
    ("src/core/a.c", '"net/frame.h"'),
    ("src/net/a.c", '"member/member.h"'),
    ("src/member/a.c", '"rpc/rpc.h"'),
    ("src/rpc/a.h", '"member/member.h"'),
    ("src/member/a.c", '"node/node.h"'),
    ("src/control/a.c", '"http/http.h"'),
    ("src/node/a.c", '"control/control.h"'),
    ("src/rpc/a.c", '"member.pb-c.h"'),
    ("src/rpc/a.c", "<uv.h>"),
    ("src/net/frame.c", "<uv.h>"),
    ("src/net/a.c", "<lmdb.h>"),
    ("src/core/a.c", '"alloc.h"'),
    ("src/attic/a.c", "<stdio.h>"),
    ("sim/a.c", '"node/node.h"'),
    ("apps/x/a.c", '"core/bytes.h"'),
    ("examples/a.c", '"node/node.h"'),
    ("include/kith/a.h", '"core/bytes.h"'),
])
def test_arrow_that_goes_up_is_found(tree, path, include):
    root = tree(path, f"#include <stdio.h>\n#include {include}\n")
    found = arrows.problems(root)
    assert len(found) == 1 and found[0].startswith(path)


@pytest.mark.parametrize("path, include", [
    ("src/rpc/a.c", '"net/frame.h"'),
    ("src/rpc/a.c", '"core/map.h"'),
    ("src/rpc/a.c", '"rpc.pb-c.h"'),
    ("src/rpc/a.c", '"kith/rpc.h"'),
    ("src/net/uv_net.c", "<uv.h>"),
    ("src/node/a.c", '"rpc/rpc.h"'),
    ("src/http/a.c", '"control/control.h"'),
    ("src/cli/a.c", '"control/control.h"'),
    ("sim/a.c", '"member/member.h"'),
    ("sim/a.c", '"world.h"'),
    ("apps/x/a.c", '"kernel.h"'),
    ("apps/x/a.c", "<kith.h>"),
    ("tests/unit/a.c", '"node/node.h"'),
])
def test_arrow_that_goes_down_is_fine(tree, path, include):
    assert arrows.problems(tree(path, f"#include {include}\n")) == []


@pytest.mark.parametrize("name, text, word", [
    ("src/core/a.c", "int x;\n" * 1000, "1000 lines"),
    ("src/core/a.c", "int x;\t\n", "a tab"),
    ("src/core/a.c", "int x; \n", "blanks at the end"),
    ("src/core/a.c", "int x;\r\n", "blanks at the end"),
    ("src/core/a.c", "int x;", "no newline"),
    ("src/core/a.c", 'const char *p = "/home/someone/x";\n', "a path of some machine"),
    ("docs/a.md", "see /wo" "rk/notes\n", "a path of some machine"),
    ("tools/a.sh", "wget https://packages.example/x\n", "a host of packages"),
    ("proto/a.pb-c.c", "int x;\n", "generated"),
    ("src/core/a.o", "x\n", "generated"),
    ("src/core/a.h", "int x;\n", "its guard"),
    ("src/core/a.h", "#ifndef CORE_B_H\n#define CORE_B_H\n#endif\n", "its guard"),
    ("src/core/a.h", "#ifndef CORE_A_H\n#define CORE_A_H\n#endif\nint x;\n", "behind the guard"),
])
def test_broken_house_rule_is_found(tree, name, text, word):
    found = tidy.problems(tree(name, text))
    assert any(word in problem for problem in found), found


def test_own_header_comes_first(tree):
    root = tree("src/core/a.h", "#ifndef CORE_A_H\n#define CORE_A_H\n#endif\n")
    tree("src/core/a.c", '#include <stdio.h>\n\n#include "core/a.h"\n')
    assert tidy.problems(root) == ["src/core/a.c: includes a.h not first"]
    tree("src/core/a.c", '#include "core/a.h"\n\n#include <stdio.h>\n')
    assert tidy.problems(root) == []


def compile_room(build, room, source):
    """An archive as meson would leave it, from one line of C."""
    folder = build / "src" / room / f"libkith-{room}.a.p"
    folder.mkdir(parents=True)
    obj = folder / "a.c.o"
    subprocess.run(["gcc", "-w", "-xc", "-c", "-", "-o", obj], input=source, text=True, check=True)
    subprocess.run(["ar", "rcs", folder.parent / f"libkith-{room}.a", obj], check=True)


@pytest.mark.parametrize("room, call", [
    ("core", "clock_gettime"), ("core", "getrandom"), ("member", "pthread_mutex_lock"),
    ("member", "uv_now"), ("rpc", "randombytes_buf"), ("rpc", "time"), ("net", "socket"),
    ("net", "crypto_box_keypair"), ("rpc", "fopen"),
])
def test_impure_symbol_is_found(tmp_path, room, call):
    for name in ("core", "member", "rpc", "net"):
        body = f"void {call}(); void f(void) {{ {call}(); }}" if name == room \
            else "void memcpy(); void f(void) { memcpy(); }"
        compile_room(tmp_path, name, body)
    found = purity.problems(tmp_path)
    assert len(found) == 1 and found[0].endswith(f"uses {call}")


def test_drivers_of_net_may_do_what_cores_may_not(tmp_path):
    for name in ("core", "member", "rpc", "net"):
        compile_room(tmp_path, name, "void memcpy(); void f(void) { memcpy(); }")
    driver = pathlib.Path(tmp_path, "src/net/libkith-net.a.p/uv_stream.c.o")
    subprocess.run(["gcc", "-w", "-xc", "-c", "-", "-o", driver], text=True, check=True,
                   input="void uv_now(); void f(void) { uv_now(); }")
    assert purity.problems(tmp_path) == []


def test_missing_library_is_no_pass(tmp_path):
    assert len(purity.problems(tmp_path)) == 4
