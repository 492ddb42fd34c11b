"""Without an agent: every verb says so at once; help and errors need none."""
import json
import os
import time

import kithtest
import pytest


@pytest.fixture
def nowhere(short_dir):
    """An environment in which no agent runs: its own state directory, and a home that is empty."""
    return {"XDG_STATE_HOME": str(short_dir), "HOME": str(short_dir)}


def verbs():
    listed = kithtest.kith("completion", "names", "verbs").lines
    assert len(listed) > 30
    return [line.split() for line in listed]


# What a verb that talks to an agent is given here.
ARGUMENTS = {
    "loglevel": ["debug"], "ping": ["n"], "connect": ["127.0.0.1:1"], "disconnect": ["n"],
    "forget": ["n"], "fn info": ["f"], "fn serve": ["f", "--", "cat"], "fn watch": ["f"],
    "call": ["f"], "map": ["f"], "load": ["m"], "var get": ["x"], "var set": ["x", "1"],
    "var cas": ["x", "1", "2"], "var incr": ["x"], "var rm": ["x"], "var watch": ["x"],
    "var info": ["x"], "lock info": ["l"], "lock run": ["l", "--", "true"],
    "name register": ["n"], "name resolve": ["n"], "name rm": ["n"], "lock acquire": ["l"], "lock release": ["l"], "lock break": ["l"],
    "tag set": ["a=b"], "tag rm": ["a"], "drain": ["n"], "undrain": ["n"],
    "share add": ["s", "/"], "share rm": ["s"], "share confirm": ["s"], "fs stat": ["s/f"],
    "fs find": ["*"], "fs get": ["s/f"], "fs cat": ["s/f"], "fs put": ["/dev/null", "s/f"],
    "fs append": ["s/f", "x"], "fs rm": ["s/f"], "fs track": ["/"], "fs restore": ["s/f"], "fs pin": ["s/f"], "board export": ["b"], "board open": ["b"], "fs mount": ["/"],
    "user add": ["u"], "user passwd": ["u", "--role", "viewer"], "user rm": ["u"],
}
# Those that do without one.
WITHOUT = {"dev", "dev ls", "dev stop", "dev kill", "dev start", "init", "agent", "join",
           "config show", "config check", "bench call", "bench var", "bench lock", "bench file",
           "bench history", "bench http", "mandel", "completion bash", "help",
           "version"}


def test_every_verb_that_needs_an_agent_ends_at_once_with_3(build, nowhere):
    seen = 0
    for words in verbs():
        name = " ".join(words)
        if name in WITHOUT:
            continue
        seen += 1
        before = time.monotonic()
        result = kithtest.kith(*words, *ARGUMENTS.get(name, []), env=nowhere, check=3)
        assert time.monotonic() - before < 1 * kithtest.SLOW, name
        assert result.out == b"", result
        assert "kith agent" in result.error, result
        assert "kith dev 3" in result.error, result
    assert seen >= 20


def test_json_gives_the_error_as_a_document_too(build, nowhere):
    result = kithtest.kith("nodes", "--json", env=nowhere, check=3)
    assert result.json["schema"] == "kith.error/1"
    assert result.json["code"] == "KITH_E_NO_AGENT"
    assert result.json["exit"] == 3


def test_a_socket_that_nobody_serves_is_named(build, short_dir):
    result = kithtest.kith("nodes", "--data-dir", short_dir / "x", check=3)
    assert str(short_dir / "x" / "kith.sock") in result.error
    assert f"kith agent --data-dir {short_dir / 'x'}" in result.error


def test_a_path_that_no_socket_can_have_is_named(build):
    result = kithtest.kith("nodes", "--data-dir", "/tmp/" + "x" * 120, check=1)
    assert "107" in result.error


def test_an_agent_that_hangs_is_given_up(build, short_dir, processes):
    """Somebody listens but never answers: shell completion gives up after 200 ms."""
    code = ("import socket,time\ns = socket.socket(socket.AF_UNIX)\n"
            f"s.bind({str(short_dir / 'kith.sock')!r})\ns.listen()\nprint('up', flush=True)\n"
            "time.sleep(60)")
    server = processes.start(["/usr/bin/python3", "-c", code])
    server.wait_log("up")
    before = time.monotonic()
    result = kithtest.kith("completion", "names", "nodes", "--data-dir", short_dir)
    assert time.monotonic() - before < 1 * kithtest.SLOW
    assert result.out == b"" and result.err == b""


def test_something_that_is_no_agent_is_told_apart(build, short_dir, processes):
    code = ("import socket,time\ns = socket.socket(socket.AF_UNIX)\n"
            f"s.bind({str(short_dir / 'kith.sock')!r})\ns.listen()\nprint('up', flush=True)\n"
            "c, _ = s.accept()\nc.sendall(b'220 mail ready\\n')\ntime.sleep(60)")
    server = processes.start(["/usr/bin/python3", "-c", code])
    server.wait_log("up")
    result = kithtest.kith("nodes", env={"KITH_SOCKET": str(short_dir)}, check=1)
    assert "no agent of kith" in result.error


def test_every_verb_has_help_with_two_examples_first(build):
    for words in verbs():
        result = kithtest.kith(*words, "--help")
        assert result.err == b"", words
        assert result.lines[0].startswith("  "), words
        assert "kith" in result.lines[0] and "kith" in result.lines[1], words
        assert f"usage: kith {' '.join(words)}" in result.text
        assert kithtest.kith("help", *words).text == result.text


def test_help_of_everything_and_of_a_group(build):
    assert "kith dev 3" in kithtest.kith("help").text
    assert kithtest.kith("--help").text == kithtest.kith("help").text
    nothing = kithtest.kith(check=2)
    assert nothing.out == b"" and "kith dev 3" in nothing.error
    assert "fn serve" in kithtest.kith("fn", "--help").text
    assert "fn serve" in kithtest.kith("fn", check=2).error


def test_mistakes_end_with_2_and_a_suggestion(build):
    assert "did you mean kith nodes?" in kithtest.kith("ndoes", check=2).error
    assert "did you mean --timeout?" in kithtest.kith("call", "f", "--timout", "1s", check=2).error
    assert "needs NODE" in kithtest.kith("ping", check=2).error
    assert "did you mean kith dev stop?" in kithtest.kith("dev", "stpo", check=2).error
    assert "did you mean nodes?" in kithtest.kith("help", "ndoes", check=2).error
    assert kithtest.kith("nodes", "--timeout", "1s", check=2).out == b""
    assert "one of them" in kithtest.kith("nodes", "--dev", "1", "--socket", "x", check=2).error


def test_version_needs_no_agent(build, nowhere):
    assert kithtest.kith("--version", env=nowhere).text.startswith("kith 0.")
    document = kithtest.kith("version", "--json", env=nowhere).json
    assert document["schema"] == "kith.version/1" and document["agent"] is None


def test_manual_formats_without_a_warning(build, tmp_path):
    page = kithtest.kith("help", "--man").out
    assert page.startswith(b".TH KITH 1")
    if os.path.exists("/usr/bin/groff"):
        shown = kithtest.run("groff", "-man", "-Tascii", "-ww", "-z", input=page)
        assert shown.err == b""


def test_manual_of_mandelbrot_says_what_its_help_says(build):
    program = kithtest.BUILD / "kith-mandelbrot"
    page = kithtest.run(program, "--help", "--man")
    assert page.out.startswith(b".TH KITH\\-MANDELBROT 1")
    assert page.out == (kithtest.BUILD / "kith-mandelbrot.1").read_bytes()  # what is installed
    options = [line.split()[0] for line in kithtest.run(program, "--help").lines
               if line.startswith("  --")]
    assert len(options) == 14
    if os.path.exists("/usr/bin/groff"):
        shown = kithtest.run("groff", "-man", "-Tascii", "-ww", "-P-cbou", input=page.out)
        assert shown.err == b""
        for option in options:
            assert f"\n       {option}" in shown.text.replace("\b", ""), option
        assert "SEE ALSO" in shown.text


def complete(*words, env=None):
    """What bash would offer for the last word of a line."""
    script = kithtest.kith("completion", "bash").text
    line = " ".join(words)
    code = (f"{script}\nCOMP_WORDS=({' '.join(repr(w) for w in words)})\n"
            f"COMP_CWORD={len(words) - 1}\nCOMP_LINE={line!r}\n_kith\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"")
    return set(kithtest.run("bash", "-c", code, env=env).lines) - {""}


def test_completion_offers_verbs_options_and_choices(build, nowhere):
    kith = str(kithtest.BUILD / "kith")
    assert {"nodes", "fn", "dev", "help"} <= complete(kith, "", env=nowhere)
    assert complete(kith, "no", env=nowhere) == {"nodes"}
    assert complete(kith, "fn", "s", env=nowhere) == {"serve"}
    assert {"stop", "kill", "ls", "start"} <= complete(kith, "dev", "", env=nowhere)
    assert "--programs" in complete(kith, "nodes", "--", env=nowhere)
    assert complete(kith, "nodes", "--status", "f", env=nowhere) == {"failed"}
    assert complete(kith, "monitor", "-l", "d", env=nowhere) == {"debug"}
    assert complete(kith, "call", "", env=nowhere) == set()


def test_output_that_cannot_be_written_is_a_failure(build):
    result = kithtest.run("sh", "-c", f"{kithtest.BUILD / 'kith'} help --man > /dev/full", check=1)
    assert "stdout cannot be written" in result.error


def test_a_closed_pipe_ends_in_silence(build):
    result = kithtest.run("bash", "-c", f"{kithtest.BUILD / 'kith'} help --man | head -1; "
                          "echo ${PIPESTATUS[0]}")
    assert result.error == ""
    assert result.lines[-1] in ("0", "141")


def test_json_of_configuration_is_whole(build, nowhere):
    document = kithtest.kith("config", "show", "--json", env=nowhere).json
    keys = {key["key"]: key for key in document["keys"]}
    assert document["schema"] == "kith.config/1"
    assert keys["net.listen"]["values"] == [{"value": "[::]:7117", "origin": "default"}]
    assert not any(name.startswith("program.") for name in keys)
    assert json.dumps(document).find("secret\":") == -1
