#!/usr/bin/python3
"""Arrows between rooms go one way: who may include whom.

programs, cli and mount > {http > control} > node > {member, view, rpc, dvar, mutex, fs, job} > net, store > core

Rooms on one level never include each other. The public headers may be included by all; apps and
examples include nothing else of the project. A wire message's generated header belongs to its room.
"""
import re
import sys

from tree import ROOT, files

LEVELS = {
    "core": 0,
    "net": 1, "store": 1,
    "member": 2, "view": 2, "rpc": 2, "dvar": 2, "mutex": 2, "fs": 2, "job": 2,
    "node": 3,
    "control": 4,
    "http": 5,
    "cli": 6, "mount": 6,
}
# The simulated world runs cores and what they stand on; it stands beside the node.
SIM_LEVEL = LEVELS["node"]
# Which libraries are known to one room only (or to the rooms from one on): prefix -> rooms.
LIBRARIES = {
    "uv": {"net", "node", "control", "http", "cli"},
    "lmdb": {"store"},
    "libwebsockets": {"http"},
    "curl": set(),
    "jansson": {"node", "control", "http", "cli", "mount"},
    "fuse": {"mount"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def room_of(path):
    return path.parts[1] if path.parts[0] == "src" and len(path.parts) > 2 else None


def refusal(path, bracket, name):
    """Why @path may not include @name, or None."""
    top = path.parts[0]
    room = room_of(path)
    if name == "kith.h" or name.startswith("kith/"):
        return None
    first = name.split("/")[0]
    if bracket == "<":
        library = re.sub(r"\.h$", "", first)
        if room and library in LIBRARIES and room not in LIBRARIES[library]:
            return f"{room} knows no {library}"
        if room == "net" and library == "uv" and not path.name.startswith("uv_"):
            return "in net only uv_* knows libuv"
        if library == "libwebsockets" and not path.name.startswith("lws"):
            return "in http only lws* knows libwebsockets"
        return None
    if top == "include":
        return "a public header includes public headers only"
    if top in ("apps", "examples"):
        return None if "/" not in name else f"{top} stands on include/kith only"
    if name.endswith(".pb-c.h"):
        owner = name.split("/")[-1].removesuffix(".pb-c.h")
        return f"belongs to {owner}" if room and room != owner else None
    if first not in LEVELS:
        if room and "/" not in name:
            return "write includes from src/"
        return None
    if top == "sim":
        return f"sim does not know {first}" if LEVELS[first] >= SIM_LEVEL else None
    if room is None or room == first:
        return None
    if LEVELS[first] >= LEVELS[room]:
        return f"{room} does not stand above {first}"
    return None


def problems(root=ROOT):
    found = []
    for path in files(root):
        if path.suffix not in (".c", ".h"):
            continue
        room = room_of(path)
        if room and room not in LEVELS:
            found.append(f"{path}: no such room as {room} in arrows.py")
            continue
        text = (root / path).read_text()
        for match in INCLUDE.finditer(text):
            why = refusal(path, match[1], match[2])
            if why:
                line = text.count("\n", 0, match.start(2)) + 1
                found.append(f"{path}:{line}: includes {match[2]}: {why}")
    return found


if __name__ == "__main__":
    for problem in problems():
        print(problem)
    sys.exit(1 if problems() else 0)
