#!/usr/bin/python3
"""Cores are pure: no libuv, database, socket, clock, file, thread or randomness in their symbols.

Looks at the core libraries and at the pure objects of net of a plain build (sanitizers add symbols
of their own): purity.py [BUILD]
"""
import pathlib
import re
import subprocess
import sys

from tree import ROOT

PURE_LIBRARIES = ["core", "member", "view", "rpc", "dvar", "mutex", "fs", "job"]
# Objects of net that know the outside world, by the name of their source.
OUTSIDE = re.compile(r"(^|_)uv_|_(posix|linux|lmdb)\.c")

FORBIDDEN = re.compile(r"""^(
    uv_.* | mdb_.* |
    socket | socketpair | connect | bind | listen | accept4? | shutdown |
    send | sendto | sendm?msg | recv | recvfrom | recvm?msg | getaddrinfo | getnameinfo |
    [gs]etsockopt | poll | ppoll | p?select | epoll_.* |
    clock_.* | gettimeofday | time | times | ftime | nanosleep | u?sleep | alarm |
    timer_(create|settime|gettime|delete|getoverrun) | timerfd_.* | [gs]etitimer |
    getrandom | getentropy | randombytes.* | rand | rand_r | srand | random | srandom |
    [delmns]rand48 | [jl]rand48 | arc4random.* | crypto_(?!.*seed_keypair).*_keypair | crypto_.*_keygen | RAND_.* |
    pthread_.* | sem_.* | thrd_.* | mtx_.* | cnd_.* | fork | vfork | exec[vl].* | posix_spawn.* |
    open(64)? | openat(64)? | creat | read | readlink(at)? | getdents(64)? | inotify_.* | write | p?readv? | p?writev? | f(d)?open(64)? |
    close | fsync | rename | unlink | mkdir | opendir | stat | fstat | mmap | ioctl | fcntl(64)? |
    getenv | secure_getenv | getpid | syscall | system | dlopen | signal | sigaction
)(@.*)?$""", re.X)


def undefined(path):
    """Undefined symbols of an object or archive, by object. (A key pair from a seed is no chance.)"""
    out = subprocess.run(["nm", "-A", "-u", path], capture_output=True, text=True, check=True)
    for line in out.stdout.splitlines():
        where, _, symbol = line.rpartition(" U ")
        if symbol:
            yield where.rstrip().rstrip(":").split(":")[-1], symbol.strip()


def targets(build):
    found = []
    for name in PURE_LIBRARIES:
        archive = build / "src" / name / f"libkith-{name}.a"
        if archive.exists():
            found.append(archive)
    for obj in sorted((build / "src" / "net").glob("libkith-net.a.p/*.o")):
        if not OUTSIDE.search(obj.name):
            found.append(obj)
    return found


def problems(build=ROOT / "build"):
    build = pathlib.Path(build)
    looked_at = targets(build)
    names = {p.name for p in looked_at}
    found = [f"{build}: {name} is not built" for name in
             ("libkith-core.a", "libkith-member.a", "libkith-rpc.a") if name not in names]
    if not any(p.suffix == ".o" for p in looked_at):
        found.append(f"{build}: no pure object of net is built")
    for path in looked_at:
        for where, symbol in undefined(path):
            if FORBIDDEN.match(symbol):
                found.append(f"{path.name}: {where} uses {symbol}")
    return found


if __name__ == "__main__":
    result = problems(*sys.argv[1:2])
    for problem in result:
        print(problem)
    sys.exit(1 if result else 0)
