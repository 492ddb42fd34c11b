"""The tree as it stands: arrows, purity, house rules, format."""
import os
import pathlib
import re
import shutil
import subprocess

import arrows
import pytest
import purity
import tidy
from tree import ROOT, files

BUILD = pathlib.Path(os.environ.get("KITH_BUILD", ROOT / "build"))


def assert_none(problems):
    assert not problems, "\n" + "\n".join(problems)


def test_arrows_between_rooms_hold():
    assert_none(arrows.problems())


def test_cores_are_pure():
    if not (BUILD / "build.ninja").exists():
        pytest.skip(f"no build in {BUILD}")
    assert_none(purity.problems(BUILD))


def test_house_rules_hold():
    assert_none(tidy.problems())


def test_sources_are_formatted():
    binary = shutil.which("clang-format-14") or shutil.which("clang-format")
    if not binary:
        pytest.skip("clang-format is not installed")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout
    if "version 14." not in version:
        pytest.skip(f"clang-format is another version than 14: {version.strip()}")
    sources = [ROOT / path for path in files() if path.suffix in (".c", ".h")]
    bad = []
    for path in sources:
        run = subprocess.run([binary, "--dry-run", "-Werror", path], capture_output=True)
        if run.returncode != 0:
            bad.append(f"{path.relative_to(ROOT)}: not formatted; run 'make format'")
    assert_none(bad)


# pkg-config's and the compiler's names for what meson asks for -> the package that has it.
PACKAGES = {
    "libuv": "libuv1-dev", "libsodium": "libsodium-dev", "libprotobuf-c": "libprotobuf-c-dev",
    "libcrypto": "libssl-dev", "openssl": "libssl-dev", "jansson": "libjansson-dev",
    "inih": "libinih-dev", "INIReader": "libinih-dev", "cmocka": "libcmocka-dev",
    "libpng": "libpng-dev", "smartcols": "libsmartcols-dev", "libedit": "libedit-dev",
    "protoc-c": "protobuf-c-compiler", "threads": "libc6-dev",
    "lmdb": "liblmdb-dev", "libutf8proc": "libutf8proc-dev",
    "pangocairo": "libpango1.0-dev", "libjpeg": "libjpeg-dev", "libwebp": "libwebp-dev",
    "fuse3": "libfuse3-dev",
}


def test_everything_meson_asks_for_is_installed_by_deps():
    script = set(re.findall(r"[\w.+-]+", (ROOT / "tools" / "deps.sh").read_text()))
    missing = []
    for path in files():
        if path.name != "meson.build":
            continue
        text = (ROOT / path).read_text()
        for name in re.findall(r"(?:dependency|find_program)\('([^']+)'", text):
            package = PACKAGES.get(name)
            if package is None and "/" not in name and "required: false" not in text:
                missing.append(f"{path}: {name} has no package in test_tree.py")
            elif package and package not in script:
                missing.append(f"{path}: {name} needs {package}, which tools/deps.sh does not install")
    assert_none(missing)
