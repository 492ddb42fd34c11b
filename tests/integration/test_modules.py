"""Modules of an agent: a good one, and the ways in which one can be bad."""
import os
import shutil

import pytest

from kithtest import BUILD, ControlError

MODULES = BUILD / "tests"


def load(node, module):
    with node.control() as control:
        return control.request("module.load", {"module": str(module)})


@pytest.fixture
def node(cluster):
    return cluster.start(1)[0]


def offers(node, name):
    return name in node.kith("fn", "ls").text


def test_good_module_is_loaded_once(node, short_dir):
    loaded = load(node, MODULES / "module_good.so")
    assert (loaded["name"], loaded["version"]) == ("test", "1.0")
    assert node.kith("call", "test.good").text == "42"
    other = short_dir / "other.so"
    os.symlink(MODULES / "module_good.so", other)
    hard = short_dir / "hard.so"
    try:
        os.link(MODULES / "module_good.so", hard) # another path, the same file
    except OSError:
        hard = other
    for again in (MODULES / "module_good.so", other, hard):
        with pytest.raises(ControlError) as error:
            load(node, again)
        assert error.value.code == "KITH_E_EXISTS"
    assert node.kith("call", "test.good").text == "42"
    node.stop()


@pytest.mark.parametrize("module, code, word", [
    ("/nowhere/module.so", "KITH_E_NOT_FOUND", "/nowhere/module.so"),
    ("no-such-module", "KITH_E_NOT_FOUND", "KITH_MODULE_PATH"),
    (MODULES / "module_none.so", "KITH_E_MODULE", "kith_module"),
    (MODULES / "module_wrong_abi.so", "KITH_E_MODULE", "999"),
    (MODULES / "module_refuses.so", "KITH_E_MODULE", "refused"),
    (__file__, "KITH_E_MODULE", "test_modules.py"),
])
def test_bad_module_is_told_and_the_node_goes_on(node, module, code, word):
    for _ in range(2):
        with pytest.raises(ControlError) as error:
            load(node, module)
        assert error.value.code == code and word in error.value.message
    assert not offers(node, "test.")
    assert node.kith("call", "sys.echo", "ok").text == "ok"


def test_module_is_found_by_name(cluster, short_dir):
    node = cluster.add()
    shutil.copy(MODULES / "module_good.so", short_dir / "named.so")
    node.start("--load", "named", "--load", "no-such-module",
               env={"KITH_MODULE_PATH": f"/nowhere:{short_dir}"})
    assert node.kith("call", "test.good").text == "42"
    node.agent.wait_log("no-such-module")
