"""Refs, commands and requests that must not be: refused in git's words, and nothing is left.

One gateway has them all. Around each the refs, the snapshots, all inodes of the live tree and the
store's own check are the same; no temporary file and no process stays.
"""

from __future__ import annotations

import gzip
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gitdoor import crafted
from tests.gitdoor.crafted import (
    NONE,
    Door,
    with_file,
)
from tests.gitdoor.repositories import cloned

MAIN = b"refs/heads/main"


@pytest.fixture
def tip(door: Door) -> str:
    """The commit that `main` is."""
    return door.tip()


# --- refs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        b"a..b", b".x", b"x.lock", b"x.lock/y", b"-x", b"a b", b"HEAD", b"x\x7f", b"x\x01", b"\t",
        b"x\r", b"a~b", b"a^b", b"a:b", b"a?b", b"a*b", b"a[b", b"a\\b", b"a@{b", b"x.", b"x/",
        b"/x", b"a//b", b"..", b"../x", b"a/../b", b".git/x", b"a/.", b"n" * 251,
        b"/".join([b"n" * 200] * 6), b"n" * 65_000,
    ],
)  # fmt: skip
def test_names_of_refs_that_git_refuses(door: Door, tip: str, name: bytes) -> None:
    made = with_file(tip)
    with door.unchanged():
        for folder in (b"refs/heads/", b"refs/tags/"):
            if folder + name != b"refs/tags/HEAD":
                answer = door.push(made.pack, (NONE, made.tip, folder + name))
                assert answer.report[1] == b"ng %s funny refname" % (folder + name)


@pytest.mark.parametrize(
    "ref", [b"HEAD", b"main", b"refs/notes/x", b"refs/remotes/a/b", b"refs/heads/", b"../x"]
)
def test_refs_that_are_no_branch_or_tag(door: Door, tip: str, ref: bytes) -> None:
    made = with_file(tip)
    with door.unchanged():
        answer = door.push(made.pack, (NONE, made.tip, ref))
        assert answer.report == [b"unpack ok", b"ng " + ref + b" funny refname"]


def test_refs_that_cannot_be_side_by_side(door: Door, tip: str, tmp_path: Path) -> None:
    """A clone has each in a file, below directories of the same names."""
    made = with_file(tip)
    with door.unchanged():
        for name, other in ((b"main/x", b"main"), (b"feature", b"feature/one")):
            answer = door.push(made.pack, (NONE, made.tip, b"refs/heads/" + name))
            told = b"ng refs/heads/%s 'refs/heads/%s' exists; cannot create 'refs/heads/%s'"
            assert answer.report[1] == told % (name, other, name)
        both = [(NONE, made.tip, b"refs/heads/" + name) for name in (b"new/one", b"new")]
        answer = door.push(made.pack, *both, said=b" atomic")
        assert answer.report[1:] == [
            b"ng refs/heads/new/one atomic transaction failed",
            b"ng refs/heads/new 'refs/heads/new/one' exists; cannot create 'refs/heads/new'",
        ]
        tag = door.push(made.pack, (NONE, made.tip, b"refs/tags/light/x"))
        assert b"'refs/tags/light' exists" in tag.report[1]
    cloned(f"{door.url}/all.git", tmp_path / "clone")


@pytest.mark.parametrize("atomic", [b"", b" atomic"])
def test_one_bad_ref_among_good_ones(door: Door, tip: str, atomic: bytes) -> None:
    """With `--atomic` none is done; without, those that can be are."""
    made = with_file(tip, b"good" + atomic)
    name = b"refs/heads/good" + atomic.strip()
    commands = [(NONE, made.tip, name), (tip, made.tip, b"refs/heads/two")]
    with ExitStack() as stack:
        if atomic:
            stack.enter_context(door.unchanged())
        answer = door.push(made.pack, *commands, said=atomic)
        assert answer.report[2] == b"ng refs/heads/two fetch first"
        assert answer.report[1].startswith(b"ng " if atomic else b"ok ")
    assert (name in door.refs()) == (not atomic)


# --- requests -----------------------------------------------------------------------------------


def _commands(tip: str, new: str) -> dict[str, bytes]:
    good = crafted.request(b"", (tip, new, MAIN))
    line = good[:-4]
    return {
        "nothing": b"",
        "half a length": b"00",
        "a length of letters": b"zzzz" + line[4:],
        "a length with a sign": b"+0a9" + line[4:],
        "a length with a space": b" 0a9" + line[4:],
        "a length of three": b"0003",
        "an empty packet": b"0004" + good,
        "a delimiter": b"0001" + good,
        "longer than all": b"ffff" + line[4:],
        "cut in a packet": line[:-1],
        "no flush": line,
        "no flush, and a second one cut": line + line[:50],
        "not a command": b"0010nonsense here" + b"0000",
        "two words": b"%04x" % (4 + 81) + line[4:85] + b"0000",
        "an id in capitals": b"%04x" % (len(line)) + line[4:].replace(tip.encode(), b"A" * 40),
        "an id of 64 digits": b"%04x" % (len(line) + 24) + b"0" * 24 + line[4:] + b"0000",
        "twice": line + line + b"0000",
        "shallow": b"0035shallow " + b"1" * 40 + b"\n" + good,
        "a certificate": b"%04x" % 15 + b"push-cert\0x" + good,
    }


@pytest.mark.parametrize("what", _commands(NONE, NONE))
def test_commands_that_are_none(door: Door, tip: str, what: str) -> None:
    made = with_file(tip)
    body = _commands(tip, made.tip)[what]
    with door.unchanged():
        status, answer = door.post(body + made.pack if body.endswith(b"0000") else body)
        assert status == 200
        assert answer[4:].startswith(b"ERR "), answer
        assert len(answer) == int(answer[:4], 16)


def test_requests_that_say_what_they_are_wrongly(door: Door, tip: str) -> None:
    made = with_file(tip)
    body = crafted.request(made.pack, (tip, made.tip, MAIN))
    packed = gzip.compress(body)
    with door.unchanged():
        for status, data, encoding in (
            (400, body, "gzip"),
            (400, packed[:-9], "gzip"),
            (400, packed[:-200], "gzip"),
            (400, b"", "gzip"),
            (415, body, "br"),
            (413, body + bytes(4_000_000), "identity"),
            (413, gzip.compress(body + bytes(4_000_000)), "gzip"),
        ):
            assert door.post(data, content_encoding=encoding)[0] == status
        for path in ("/nope.git", "/../main.git", "/main/src.git", "/main.git/x", "/", "/%00.git"):
            found, _ = door.ask("POST", f"{path}/git-receive-pack", body)
            assert found in (403, 404), path
        assert door.ask("PUT", "/main.git/git-receive-pack", body)[0] == 404
        assert door.ask("GET", "/main.git/info/refs?service=git-nothing")[0] == 403
        for bad in (b"", b"zzzz", b"0003", b"ffff", b"0010nonsense here", b"0008abcd0000"):
            for protocol in ("version=0", "version=2"):
                status, answer = door.ask(
                    "POST", "/main.git/git-upload-pack", bad, git_protocol=protocol
                )
                assert (status, b"Traceback" in answer) == (200, False)


def _half(door: Door, head: str, body: bytes) -> socket.socket:
    """A connection on which half of a push was sent, and the gateway has some of it."""
    name, _, port = door.address.partition(":")
    made = socket.create_connection((name, int(port)))
    made.sendall(f"POST /main.git/git-receive-pack HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode())
    made.sendall(body)
    while not door.leftovers():
        assert door.served.process.poll() is None
    return made


@pytest.mark.parametrize("how", ["hangs up", "is gone", "says no more"])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_goes_away_in_the_middle(
    door: Door, tip: str, how: str, chunked: bool
) -> None:
    made = with_file(tip)
    body = crafted.request(made.pack, (tip, made.tip, MAIN))
    # All of it but the end of the last chunk, or but one byte.
    head, sent = f"content-length: {len(body)}\r\n", body[:-1]
    if chunked:
        head, sent = "transfer-encoding: chunked\r\n", b"%x\r\n" % len(body) + body + b"\r\n"
    with door.unchanged():
        with _half(door, head, sent) as client:
            if how == "is gone":
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif how == "says no more":
                client.shutdown(socket.SHUT_WR)
                assert b" 200 " not in client.recv(100)
        door.wait_until_clear()


def test_what_is_good_goes_through(door: Door, tip: str, tmp_path: Path) -> None:
    """After all of that, and in the form in which git sends what is long."""
    made = with_file(tip)
    body = crafted.request(made.pack, (tip, made.tip, MAIN))
    status, data = door.post(gzip.compress(body), content_encoding="gzip")
    assert (status, crafted.answered(data).report[1]) == (200, b"ok refs/heads/main")
    door.wait_until_clear()
    assert list(door.tree("main")) == ["/fine"]
    clone = cloned(f"{door.url}/main.git", tmp_path / "clone")
    assert clone("rev-parse", "HEAD").strip() == made.tip
