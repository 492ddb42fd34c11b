#!/usr/bin/python3
"""House rules that no other tool holds: sizes, blanks, guards, what does not belong in the tree."""
import re
import sys

from tree import ROOT, files

LINES_MAX = 1000
SOURCES = {".c", ".h", ".py", ".sh", ".js", ".css", ".html", ".build", ".proto"}
TEXTS = SOURCES | {".md", ".txt", ".ini", ".conf", ".json", ".service", ".yml", ".in"}
TABS_ALLOWED = {"Makefile"}

# Written by a build; a copy in the tree would go stale.
GENERATED = re.compile(r"(\.pb-c\.[ch]|\.o|\.a|\.so(\.\d+)*|\.pyc|\.gcda|\.gcno|\.orig|\.rej|~)$"
                       r"|(^|/)(build[^/]*|__pycache__|node_modules)/")
# Where it was written says nothing to its readers.
MACHINE_PATH = re.compile(r"(?<![\w./~$}-])/(work|home/\w+|Users/\w+|root)/")
# Where packages come from is the business of the machine that builds.
PACKAGE_HOST = re.compile(r"\b(wget|curl|pip3?|npm|cargo|git clone)\b[^\n]*https?://|sources\.list")
# The rules themselves name what they look for.
EXEMPT = {"tests/checks/tidy.py", "tests/checks/test_checks.py"}


def guard_of(path):
    """The end that a header's guard must have: its room and its name; elsewhere its name."""
    shown = path.parts[0] in ("src", "include", "sim")
    parts = [p for p in path.parts if p not in ("src", "include")] if shown else path.parts[-1:]
    return re.sub(r"\W", "_", "_".join(parts)).upper()


def header_problem(path, text):
    names = re.findall(r"^#ifndef (\w+)\n#define (\w+)$", text, re.M)
    want = guard_of(path)
    if not names or names[0][0] != names[0][1] or not names[0][0].endswith(want):
        return f"{path}: its guard must be {want}"
    if not text.rstrip().endswith("#endif"):
        return f"{path}: something stands behind the guard's #endif"
    return None


def first_include_problem(path, text, tree):
    """A source includes its own header first: so it is proved to stand alone."""
    if path.suffix != ".c" or path.with_suffix(".h") not in tree:
        return None
    includes = re.findall(r'^#include ["<]([^">]+)[">]', text, re.M)
    own = path.with_suffix(".h").name
    first = includes[0].split("/")[-1] if includes else None
    if first not in (own, "internal.h"):  # a room's inside stands in front of all its own
        return f"{path}: includes {own} not first"
    return None


def line_problems(path, text):
    for no, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            yield f"{path}:{no}: blanks at the end"
        if "\t" in line and path.suffix in SOURCES and path.name not in TABS_ALLOWED:
            yield f"{path}:{no}: a tab"
        if str(path) in EXEMPT:
            continue
        machine = MACHINE_PATH.search(line)
        # A test may make up whose home it is.
        if machine and not (path.parts[0] == "tests" and machine[1].startswith("home/")):
            yield f"{path}:{no}: a path of some machine"
        if PACKAGE_HOST.search(line):
            yield f"{path}:{no}: a host of packages"


def problems(root=ROOT):
    found = []
    tree = set(files(root))
    for path in sorted(tree):
        if GENERATED.search(str(path)):
            found.append(f"{path}: generated, does not belong in the tree")
            continue
        is_text = path.suffix in TEXTS or path.suffix == "" and not path.name.startswith(".git")
        if not is_text or {"vendor", "corpus", "vectors"} & set(path.parts):
            continue
        try:
            text = (root / path).read_bytes().decode()
        except UnicodeDecodeError:
            found.append(f"{path}: not UTF-8")
            continue
        if path.suffix in SOURCES and text.count("\n") >= LINES_MAX:
            found.append(f"{path}: {text.count(chr(10))} lines; look for the second type in it")
        if text and not text.endswith("\n"):
            found.append(f"{path}: no newline at the end")
        if path.suffix == ".h":
            found.append(header_problem(path, text))
        found.append(first_include_problem(path, text, tree))
        found.extend(line_problems(path, text))
    return [problem for problem in found if problem]


if __name__ == "__main__":
    result = problems()
    for problem in result:
        print(problem)
    sys.exit(1 if result else 0)
