"""The documentation is run: what it shows is what happens.

The ```sh blocks of README.md and docs/tutorial.md are run in order by one shell each, in a copy of the
tree's layout (all but build/ links to the source, build/ to the binaries under test), with a HOME of
their own. A ```c NAME block is saved as that file first. A ```text block shows what the block above it
prints and is compared loosely:

 - every line shown must be printed, in this order (of --all and of the document's own
   programs in any order); more may be printed;
 - blanks count as one, "..." stands for anything;
 - what a machine measures (times, addresses, ids, sizes, counts in tables) is not compared;
 - a block of one looking command (kith nodes, fn ls, events ...) is asked again until it shows that,
   also if it fails at first.
"""
import os
import pathlib
import re
import signal
import shutil
import subprocess
import tempfile
import time

import pytest

from kithtest import BUILD, CLEARED, ROOT, SLOW

DOCUMENTS = ["README.md", "docs/tutorial.md"]
BLOCK_SECONDS = 60
LOOKING = re.compile(r"kith (nodes|status|events|fn ls|fn info|info|reach|ping|dev ls)\b[^\n;|&]*$")


# ---- reading a document ----

class Block:
    def __init__(self, kind, name, line, text):
        self.kind, self.name, self.line, self.text = kind, name, line, text
        self.expected = None


def blocks_of(markdown):
    """The sh and c blocks in order, each sh block with the text block right below it."""
    found = []
    lines = markdown.splitlines()
    at = 0
    while at < len(lines):
        opened = re.match(r"^```(\w*) ?(\S*)$", lines[at])
        at += 1
        if not opened:
            continue
        start = at
        while lines[at] != "```":
            at += 1
        block = Block(opened[1], opened[2], start, "\n".join(lines[start:at]) + "\n")
        at += 1
        assert block.kind, f"line {start}: a block without a language"
        if block.kind == "text":
            between = "\n".join(lines[found[-1].end:start - 1]).strip() if found else "?"
            if between == "" and found[-1].kind == "sh":
                found[-1].expected = block.text
        elif block.kind in ("sh", "c"):
            block.end = at
            found.append(block)
    return found


# ---- comparing ----

MEASURED = [
    re.compile(r"^\[?\d[\d:.]*\]?(/[\d.]+)?(ns|us|ms|s|m|h|d|B|KiB|MiB|GiB|[KMGT]|%)?[,;:]?$"),
    re.compile(r"^(\d+(ms|s|m|h|d))+[,;:]?$"),
    re.compile(r"^[0-9a-f]{8}([0-9a-f]{24})?[,;:]?$"),
    re.compile(r"^\(?(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d+[,;:)]*$"),
    re.compile(r"^-$"),
]


def words(line):
    """The words of a line that do not change from run to run."""
    line = re.sub(r"\bcluster [a-z]+-[a-z]+", "cluster NAME", line)
    tokens = line.split()
    if all(re.fullmatch(r"[\d.-]+", token) for token in tokens):
        return tokens
    kept = []
    for token, after in zip(tokens, tokens[1:] + [""]):
        counted = token.isdigit() and re.match(r"^[a-z]+[,:.;]?$", after)
        if counted or not any(pattern.match(token) for pattern in MEASURED):
            kept.append(token)
    return kept


def line_matches(expected, printed):
    pattern = ".*".join(re.escape(part) for part in " ".join(words(expected)).split("..."))
    pattern = pattern.replace(r"\ .*", r".*").replace(r".*\ ", r".*")
    return re.fullmatch(pattern, " ".join(words(printed)), re.S) is not None


def missing_line(expected, printed, ordered=True):
    """The first line of @expected that is not in @printed; None if all are."""
    left = printed.splitlines()
    for line in expected.splitlines():
        if line.strip() in ("", "..."):
            continue
        for i, candidate in enumerate(left):
            if line_matches(line, candidate):
                left = left[i + 1:] if ordered else left[:i] + left[i + 1:]
                break
        else:
            return line
    return None


# ---- running ----

class Shell:
    """One bash; blocks of a document run in it one after the other and share its variables."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.home = self.folder / "home"
        self.tree = self.folder / "kith"
        self.home.mkdir()
        self.tree.mkdir()
        for entry in ROOT.iterdir():
            if not entry.name.startswith(("build", ".git")):
                (self.tree / entry.name).symlink_to(entry)
        (self.tree / "build").symlink_to(BUILD)
        env = {name: value for name, value in os.environ.items() if name not in CLEARED}
        env.update(HOME=str(self.home), XDG_STATE_HOME=str(self.home / ".local/state"),
                   LC_ALL="C.UTF-8", PYTHONDONTWRITEBYTECODE="1")
        for name in ("MAKEFLAGS", "BUILD", "PREFIX", "DESTDIR"):
            env.pop(name, None)
        self.bash = subprocess.Popen(["bash", "--norc", "-e"], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                                     cwd=self.tree, text=True, start_new_session=True)
        os.set_blocking(self.bash.stdout.fileno(), False)
        self.count = 0

    def run(self, text):
        """Runs @text; what it printed. The shell ends at the first command that fails."""
        self.count += 1
        out = self.folder / f"{self.count}.out"
        done = self.folder / f"{self.count}.done"
        self.bash.stdin.write(f"{{\n{text}\n}} >'{out}' 2>&1 </dev/null\n: >'{done}'\n")
        self.bash.stdin.flush()
        deadline = time.monotonic() + BLOCK_SECONDS * SLOW
        while not done.exists():
            printed = out.read_text(errors="replace") if out.exists() else ""
            if self.bash.poll() is not None:
                raise AssertionError(f"a command failed (exit {self.bash.returncode}):\n{text}\n"
                                     f"printed:\n{printed}{self.bash.stdout.read() or ''}")
            assert time.monotonic() < deadline, f"still running:\n{text}\nprinted:\n{printed}"
            time.sleep(0.02)
        return out.read_text(errors="replace").replace(str(self.home), "~")

    def end(self):
        env = dict(os.environ, XDG_STATE_HOME=str(self.home / ".local/state"))
        try:
            os.killpg(self.bash.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.bash.kill()
        self.bash.communicate()
        subprocess.run([BUILD / "kith", "dev", "stop", "--quiet"], env=env, timeout=60,
                       stdin=subprocess.DEVNULL, capture_output=True)


def run_block(shell, block, where):
    if block.kind == "c":
        assert block.name, f"{where}: a c block needs a file name"
        shell.run(f"cat >'{block.name}' <<'end of the block'\n{block.text}end of the block")
        return
    looking = LOOKING.fullmatch(block.text.strip())
    ordered = not re.search(r"--all|^\./", block.text, re.M)
    deadline = time.monotonic() + BLOCK_SECONDS * SLOW
    while True:
        printed = shell.run(f"{{ {block.text} }} || true" if looking else block.text)
        if block.expected is None:
            return
        missing = missing_line(block.expected, printed, ordered)
        if missing is None:
            return
        assert looking and time.monotonic() < deadline, \
            f"{where}: not printed: {missing!r}\n{block.text}printed:\n{printed}"
        time.sleep(0.2)


@pytest.fixture
def shell(build):
    folder = tempfile.mkdtemp(prefix="k", dir="/tmp")
    made = Shell(folder)
    yield made
    made.end()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.plain  # a reader's compiler knows of no sanitizer
@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_runs_as_it_stands(document, shell):
    blocks = blocks_of((ROOT / document).read_text())
    assert sum(block.kind == "sh" for block in blocks) >= 5
    for block in blocks:
        run_block(shell, block, f"{document}:{block.line}")


# ---- the comparison can fail ----

@pytest.mark.parametrize("expected, printed, same", [
    ("3 nodes: 3 alive", "3 nodes: 2 alive", False),
    ("3 nodes: 3 alive", "3 nodes:  3 alive", True),
    ("dev-2 alive 127.0.0.1:4 2 0.4 1/2G - 3s 0.1.0 a735f77c",
     "dev-2    alive 127.0.0.1:33333  16  -  23.6G 0.07ms 1h2m 0.1.0 00000000", True),
    ("dev-2 failed 127.0.0.1:4 2", "dev-2 alive 127.0.0.1:4 2", False),
    ("2.5 4.5", "2.5 4.6", False),
    ("HELLO", "hello", False),
    ("dev-1: 4.2s", "dev-1: 12ms", True),
    ("dev-1: 4.2s", "dev-2: 12ms", False),
    ("failed dev-3 (1.2.3.4:5): ...", "failed dev-3 (1.2.3.4:6): no answer", True),
    ("failed dev-3 ...", "joined dev-3 (1.2.3.4:6): no answer", False),
    ("cluster one-two: 3 nodes up", "cluster far-away: 3 nodes up", True),
])
def test_comparison(expected, printed, same):
    assert (missing_line(expected, printed) is None) == same


def test_comparison_of_several_lines():
    assert missing_line("a\nb\n", "a\nx\nb\n") is None
    assert missing_line("b\na\n", "a\nb\n") == "a"
    assert missing_line("b\na\n", "a\nb\n", ordered=False) is None
    assert missing_line("a\na\n", "a\n", ordered=False) == "a"


def test_a_failing_command_and_a_missing_line_are_found(shell):
    with pytest.raises(AssertionError, match="not printed: 'two'"):
        run_block(shell, blocks_of("```sh\necho one\n```\n\n```text\ntwo\n```\n")[0], "here")
    run_block(shell, blocks_of("```c x.c\nint x;\n```\n")[0], "here")
    assert shell.run("cat x.c") == "int x;\n"
    with pytest.raises(AssertionError, match="a command failed"):
        shell.run("false\necho not reached")


# ---- what is written down elsewhere ----

def tables_of(path):
    """Rows of the tables of a document, as lists of cells."""
    for line in (ROOT / path).read_text().splitlines():
        if line.startswith("|") and not re.match(r"^\|[-| ]+\|$", line):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def test_links_lead_somewhere():
    broken = []
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            if not (document.parent / target).exists():
                broken.append(f"{document.relative_to(ROOT)}: {target}")
    assert not broken, broken


def rows_named(path, pattern):
    """Rows whose first cell is code: its name -> the cells behind it, without their backticks."""
    rows = {}
    for cells in tables_of(path):
        name = re.fullmatch(rf"`({pattern})`", cells[0])
        if name:
            assert name[1] not in rows, f"{path}: {name[1]} stands there twice"
            rows[name[1]] = [cell.strip("`") for cell in cells[1:]]
    return rows


def bytes_of(text):
    found = re.fullmatch(r"([\d,]+)(?: ([KMG])iB)?", text)
    assert found, f"no number: {text}"
    return int(found[1].replace(",", "")) << {None: 0, "K": 10, "M": 20, "G": 30}[found[2]]


def test_limits_are_those_of_the_header(tmp_path):
    rows = rows_named("SECURITY.md", r"(?:NET|MEMBER|RPC|CONTROL|HTTP|NODE)_\w+")
    assert len(rows) >= 30
    source = tmp_path / "limits.c"
    source.write_text('#include <stdio.h>\n#include "core/limits.h"\nint main(void)\n{\n' + "".join(
        f'    printf("{name} %llu\\n", (unsigned long long)({name}));\n' for name in rows) + "}\n")
    subprocess.run(["cc", f"-I{ROOT}/src", f"-I{ROOT}/include", source, "-o", tmp_path / "limits"],
                   check=True)
    printed = subprocess.run([tmp_path / "limits"], check=True, capture_output=True, text=True)
    wrong = [f"{name}: {value}, not {rows[name][0]}"
             for name, value in map(str.split, printed.stdout.splitlines())
             if int(value) != bytes_of(rows[name][0])]
    assert not wrong, wrong


def documented_keys():
    rows = rows_named("docs/operations.md", r"(?:node|net|member|view|rpc|loop|fs|web|log)\.\w+")
    return {key: cells for key, cells in rows.items() if len(cells) == 5}  # not files, as node.key


def test_configuration_keys_are_those_of_the_table(kith, tmp_path):
    keys = kith("config", "show", "--json", "--data-dir", tmp_path / "none",
                env={"HOME": str(tmp_path)}).json["keys"]
    rows = documented_keys()
    assert set(rows) == {key["key"] for key in keys}
    types = {"text": "text", "path": "path", "node name": "node name", "host:port": "host:port", "host:port or off": "host:port or off",
             "number": "number", "size (64K, 8G)": "size", "time (500ms, 30s)": "time",
             "yes or no": "yes or no"}
    for key in keys:
        kind, default, bounds, reload, meaning = rows[key["key"]]
        choices = key["type"].split(" | ")
        assert kind == ("choice" if len(choices) > 1 else types[key["type"]]), key
        if key["default"] is not None:
            assert default == key["default"], key
        assert ("repeats" in bounds) == key["repeats"], key
        if len(choices) > 1:
            assert bounds.split(", ") == choices, key
        assert meaning and reload == ("yes" if key["reloads"] else ""), key


MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def beside(bound, step):
    """The value one step off a bound as it is written: 1M, 100ms, 65536."""
    number, unit = re.fullmatch(r"(\d+)([a-zA-Z]*)", bound).groups()
    if unit in MILLISECONDS:
        return f"{int(number) * MILLISECONDS[unit] + step}ms"
    return str((int(number) << {"": 0, "K": 10, "M": 20, "G": 30}[unit]) + step)


def test_ranges_of_keys_are_those_that_hold(kith, tmp_path):
    checked = 0
    for key, (kind, default, bounds, reload, meaning) in documented_keys().items():
        found = re.fullmatch(r"(\w+) to (\w+)", bounds)
        assert found or kind not in ("size", "time", "number"), f"{key} has no range"
        if not found:
            continue
        checked += 1
        section, name = key.split(".")
        for value, good in [(found[1], True), (found[2], True),
                            (beside(found[1], -1), False), (beside(found[2], 1), False)]:
            if value.startswith("-"):
                continue
            file = tmp_path / "kith.conf"
            file.write_text(f"[{section}]\n{name} = {value}\n")
            kith("config", "check", file, check=0 if good else 1)
    assert checked >= 8


def test_configuration_example_is_good(kith, tmp_path):
    text = (ROOT / "docs/operations.md").read_text()
    examples = [block for block in re.findall(r"^```ini\n(.*?)^```$", text, re.M | re.S)
                if "[Unit]" not in block]
    assert examples
    for example in examples:
        (tmp_path / "kith.conf").write_text(example)
        kith("config", "check", tmp_path / "kith.conf")


def test_exit_codes_agree_with_the_control_protocol():
    documented = {int(row[0]) for row in tables_of("docs/operations.md")
                  if re.fullmatch(r"\d", row[0])}
    protocol = {int(row[0]) for row in tables_of("docs/protocols/control.md")
                if re.fullmatch(r"\d", row[0])}
    assert documented == set(range(10)) and protocol <= documented


def test_glossary_is_sorted_and_has_each_word_once():
    words_there = [row[0] for row in tables_of("docs/glossary.md") if row[0] != "word"]
    assert len(words_there) >= 60
    assert words_there == sorted(words_there, key=lambda word: word.casefold())
    assert len(words_there) == len(set(words_there))


def test_decisions_are_numbered_in_order():
    numbers = re.findall(r"^(\d+)\. \*\*", (ROOT / "docs/decisions.md").read_text(), re.M)
    assert [int(number) for number in numbers] == list(range(1, len(numbers) + 1))
