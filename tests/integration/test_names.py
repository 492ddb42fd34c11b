"""Names of nodes and functions: one of a kind, and gone with their owners."""
import threading

import pytest

from kithtest import BUILD, SLOW, wait_for

# Minutes under a sanitizer, where the cores have worlds of their own.
pytestmark = pytest.mark.plain


def names(node):
    return {n["name"]: n for n in node.kith("name", "ls", "--json").json["names"]}


def test_name_of_a_node_resolves_everywhere(three):
    a, b, c = three
    a.kith("name", "register", "printer")
    for node in three:
        assert node.kith("name", "resolve", "printer").text == "n1\n"
    shown = c.kith("name", "resolve", "printer", "--json").json
    assert shown["schema"] == "kith.name.resolve/1"
    assert (shown["kind"], shown["node_name"], shown["function"]) == ("node", "n1", "")
    a.kith("name", "register", "printer")  # again: it is ours
    b.kith("name", "register", "other", "n3")
    assert {k: v["node_name"] for k, v in names(a).items()} == {"printer": "n1", "other": "n3"}
    assert "printer" in b.kith("name", "ls").text
    # The runtime's own variable is nobody else's business.
    assert a.kith("var", "ls", "--json").json["vars"] == []
    for name in ("printer", "other"):
        c.kith("name", "rm", name)
    assert names(b) == {}


def test_a_name_that_another_has_is_refused_and_says_who(three):
    a, b, _ = three
    a.kith("name", "register", "printer")
    refused = b.kith("name", "register", "printer", check=7)
    assert "n1" in refused.error and "printer" in refused.error
    assert b.kith("name", "resolve", "printer").text == "n1\n"
    b.kith("name", "rm", "printer")
    b.kith("name", "rm", "printer", check=4)
    b.kith("name", "register", "printer")
    assert a.kith("name", "resolve", "printer").text == "n2\n"
    b.kith("name", "rm", "printer")


def test_unknown_names_and_targets(three):
    a = three[0]
    a.kith("name", "resolve", "nobody", check=4)
    a.kith("name", "register", "x", "no.such.function", check=4)
    a.kith("name", "register", "x" * 201, check=None)
    assert names(a) == {}


def test_of_many_that_take_a_name_one_gets_it(three):
    codes = []

    def take(i):
        codes.append(three[i % 3].kith("name", "register", "leader", check=None).code)
    threads = [threading.Thread(target=take, args=(i,)) for i in range(9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    # The winner may have registered several times: that is fine.
    owner = three[0].kith("name", "resolve", "leader").text.strip()
    assert sorted(set(codes)) == [0, 7], codes
    assert codes.count(0) <= 3 and owner in ("n1", "n2", "n3")
    three[0].kith("name", "rm", "leader")


def test_name_is_gone_with_its_node_and_can_be_taken_over(own_three):
    a, b, c = own_three
    c.kith("name", "register", "printer")
    assert a.kith("name", "resolve", "printer").text == "n3\n"
    c.kill()
    wait_for(lambda: a.kith("name", "resolve", "printer", check=None).code == 4, 30 * SLOW,
             "the name of the dead node is free")
    assert names(a) == {}
    b.kith("name", "register", "printer")
    assert a.kith("name", "resolve", "printer").text == "n2\n"


def test_name_of_a_node_that_started_again_is_free(own_three):
    a, _, c = own_three
    c.kith("name", "register", "printer")
    c.kill()
    c.start()
    wait_for(lambda: a.kith("name", "resolve", "printer", check=None).code == 4, 30 * SLOW,
             "the name belongs to the boot before")
    a.kith("name", "register", "printer")
    wait_for(lambda: c.kith("name", "resolve", "printer", check=None).text == "n1\n", 30 * SLOW)


def test_name_of_a_function_goes_with_it(three, processes):
    a, b, _ = three
    served = processes.start([BUILD / "kith", "fn", "serve", "render", "--", "cat"],
                                     env={"KITH_SOCKET": str(b.socket)})
    served.wait_log("serving render")
    b.kith("name", "register", "r", "render")
    shown = a.kith("name", "resolve", "r", "--json").json
    assert (shown["kind"], shown["node_name"], shown["function"]) == ("function", "n2", "render")
    assert a.kith("name", "resolve", "r").text == "render\n"
    # One that does not offer the function cannot give it a name, but can have the one asked that does.
    a.kith("name", "register", "r2", "render", check=4)
    a.kith("name", "register", "r2", "render", "--node", "n2")
    served.stop()
    wait_for(lambda: b.kith("name", "resolve", "r", check=None).code == 4, 20 * SLOW,
             "the function is gone, and its name with it")
    b.kith("name", "register", "r", "sys.echo")
    assert a.kith("name", "resolve", "r").text == "sys.echo\n"
