#!/usr/bin/python3
"""Makes a C table of the files of web/: tools/embed_assets.py WEB OUT.c DEPFILE

Each with its type, its ETag (of what it holds), and gzipped where that is shorter. The same files
give the same bytes. Names that begin with a point or end with ~, and what no page asks for, are
left out.
"""
import gzip
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


def c_bytes(name, data):
    rows = [",".join(str(b) for b in data[i:i + 32]) for i in range(0, len(data), 32)]
    return f"static const uint8_t {name}[] = {{\n" + ",\n".join(rows) + "\n};\n"


def main(web, out, depfile):
    web = pathlib.Path(web)
    arrays, table, read = [], [], []
    for path in sorted(web.rglob("*"), key=lambda p: ("/" + p.relative_to(web).as_posix()).encode()):
        if path.is_dir():
            read.append(path)
        if not path.is_file() or path.name.startswith(".") or path.suffix not in TYPES:
            continue
        read.append(path)
        data = path.read_bytes()
        zipped = gzip.compress(data, 9, mtime=0)
        shorter = len(zipped) < len(data) * 0.95
        n = len(table)
        arrays.append(c_bytes(f"plain_{n}", data))
        if shorter:
            arrays.append(c_bytes(f"gzip_{n}", zipped))
        etag = hashlib.blake2b(data, digest_size=12).hexdigest()
        table.append(f'    {{"/{path.relative_to(web).as_posix()}", "{TYPES[path.suffix]}", '
                     f'"\\"{etag}\\"", plain_{n}, {f"gzip_{n}" if shorter else "NULL"}, '
                     f'sizeof(plain_{n}), {f"sizeof(gzip_{n})" if shorter else "0"}}},')
    pathlib.Path(out).write_text(
        "/* Made by tools/embed_assets.py. */\n#include \"http/assets.h\"\n\n" + "".join(arrays) +
        "const struct http_asset http_assets[] = {\n" + "\n".join(table) + "\n};\n"
        "const size_t http_assets_n = sizeof(http_assets) / sizeof(http_assets[0]);\n")
    names = " ".join(str(p).replace(" ", "\\ ") for p in [web, *read])
    pathlib.Path(depfile).write_text(f"{out}: {names}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
