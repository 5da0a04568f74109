"""Pushes over HTTP, by stock git and by hand: branches move under their users, or nothing does."""

from __future__ import annotations

import hashlib
import http.client
import os
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.fsgw.served import Served
from tests.gitdoor.repositories import Git, cloned

Gateway = tuple[Served, str]


def rows(served: Served, path: str) -> list[dict[str, Any]]:
    status, found = served.ask("GET", path)
    assert status == 200
    return found if isinstance(found, list) else [found]


def listed(served: Served, ref: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rows(served, f"/v1/ls?ref={ref}")}


@pytest.fixture
def clone(gateway: Gateway, tmp_path: Path) -> Git:
    return cloned(f"{gateway[1]}/main.git", tmp_path / "clone")


def test_a_push_becomes_a_snapshot(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    served, url = gateway
    before = listed(served, "main")
    taken = len(rows(served, "/v1/branches/main/snapshots"))
    clone.write("readme", "pushed\n")
    clone.write("new/deep/file", "new\n")
    (clone.path / "run.sh").chmod(0o755)
    (clone.path / "last").unlink()
    tip = clone.commit("pushed\n\nin one go")
    clone("push", "-q")
    now = listed(served, "main")
    assert now.keys() == before.keys() - {"last"} | {"new"}
    assert now["readme"]["ino"] == before["readme"]["ino"]
    assert now["one"] == before["one"]
    assert now["readme"]["size"] == 7
    assert now["run.sh"]["mode"] == "0755"
    snapshots = rows(served, "/v1/branches/main/snapshots")
    assert len(snapshots) == taken + 1
    assert snapshots[-1]["message"] == "pushed\n\nin one go\n"
    again = cloned(f"{url}/main.git", tmp_path / "again")
    assert again("rev-parse", "HEAD").strip() == tip
    assert again.objects() == clone.objects()


def test_many_commits_merges_and_tags(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    _, url = gateway
    clone("checkout", "-q", "-b", "topic")
    for number in range(5):
        clone.write(f"topic{number}", f"{number}\n")
        clone.commit(f"topic {number}")
    clone("checkout", "-q", "main")
    clone.write("both", "x")
    clone.commit("on main")
    clone.merge("topic")
    clone("tag", "-a", "-m", "said", "v2")
    clone("tag", "plain", "topic")
    clone("push", "-q", "--atomic", "origin", "main", "topic", "v2", "plain")
    mirror = cloned(f"{url}/all.git", tmp_path / "mirror", "--mirror")
    for name in ("main", "topic", "v2", "plain"):
        assert mirror("rev-parse", name) == clone("rev-parse", name)
    assert "topic" in {row["name"] for row in rows(gateway[0], "/v1/branches")}
    clone("push", "-q", "origin", "main")  # nothing new


def test_what_does_not_follow_is_refused(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    other = cloned(f"{gateway[1]}/main.git", tmp_path / "other")
    other.write("theirs", "1")
    other.commit("theirs")
    other("push", "-q")
    clone.write("mine", "1")
    clone.commit("mine")
    assert "fetch first" in clone("push", code=1)
    assert "non-fast-forward" in clone("push", "--force", code=1)
    assert "mine" not in listed(gateway[0], "main")
    assert "deletion prohibited" in clone("push", "origin", ":main", code=1)
    said = clone("push", "--atomic", "origin", "+main", "main:fresh", code=1)
    assert "atomic" in said
    assert "fresh" not in {row["name"] for row in rows(gateway[0], "/v1/branches")}
    clone("pull", "-q", "--no-rebase", "--no-edit")
    clone("push", "-q")
    assert {"mine", "theirs"} <= listed(gateway[0], "main").keys()


def test_changes_in_no_snapshot_are_not_lost(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    """A push changes what it has to; where that was changed by others, it is refused."""
    served, _ = gateway
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "live").write_text("live\n")
    body = {"source": str(changed), "delete": False}
    assert served.ask("POST", "/v1/branches/main/import", body)[0] == 200
    clone.write("readme", "pushed\n")
    clone.write("src/more", "more\n")
    (clone.path / "two").unlink()
    clone.commit("beside it")
    clone("push", "-q")
    now = listed(served, "main")
    assert {"live", "readme", "one"} <= now.keys()
    assert "two" not in now
    assert "more" in listed(served, "main/src")
    (changed / "readme").write_text("changed in the live tree\n")
    assert served.ask("POST", "/v1/branches/main/import", body)[0] == 200
    clone.write("readme", "pushed again\n")
    clone.commit("in the way")
    said = clone("push", code=1)
    assert "changes that are in no snapshot would be overwritten: readme" in said
    assert listed(served, "main")["readme"]["size"] == 25
    assert served.ask("GET", "/v1/check")[1][0]["result"] == {"problems": []}


def test_pushes_to_a_gateway_that_says_no(gateway: Gateway, clone: Git) -> None:
    served, url = gateway
    clone.write("x", "x")
    clone.commit()
    assert "403" in clone("push", f"{url}/main/src.git", "HEAD:x", code=128)
    served.ask("PATCH", "/v1/exports/default", {"values": {"access": "ro"}})
    assert "403" in clone("push", code=128)


@pytest.mark.parametrize("push", ["forced"])
def test_forced_pushes(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    served, url = gateway
    old = clone("rev-parse", "HEAD").strip()
    clone("reset", "-q", "--hard", "HEAD~2")
    clone.write("instead", "x")
    tip = clone.commit("instead")
    assert "non-fast-forward" in clone("push", code=1)  # git itself does not even ask
    clone("push", "-q", "--force")
    assert "instead" in listed(served, "main")
    assert "last" not in listed(served, "main")
    kept = [
        row for row in rows(served, "/v1/branches/main/snapshots") if row["message"] == "last\n"
    ]
    assert kept  # what was replaced is a snapshot still
    clone("tag", "-f", "light")
    clone("push", "-q", "--force", "origin", "light")
    mirror = cloned(f"{url}/main.git", tmp_path / "mirror", "--mirror")
    assert mirror("rev-parse", "light", "main").split() == [tip, tip]
    assert old not in mirror("rev-list", "--all")
    clone("push", "-q", "origin", ":light")
    assert "light" not in {row["name"] for row in rows(served, "/v1/branches/main/snapshots")}
    clone("push", "-q", "origin", "HEAD:refs/heads/short-lived")
    clone("push", "-q", f"{url}/all.git", ":short-lived")
    assert "short-lived" not in {row["name"] for row in rows(served, "/v1/branches")}


@pytest.mark.parametrize("push", ["off"])
def test_pushes_that_are_off(gateway: Gateway, clone: Git) -> None:
    clone.commit()
    assert "403" in clone("push", code=128)


def test_a_large_file_and_many(gateway: Gateway, clone: Git, tmp_path: Path) -> None:
    clone.write("large", os.urandom(1 << 20) * 24)
    for number in range(2000):
        clone.write(f"many/{number % 40}/{number}", f"{number}\n")
    clone.commit("much")
    clone("-c", "pack.compression=1", "push", "-q")
    again = cloned(f"{gateway[1]}/main.git", tmp_path / "again")
    assert again.objects() == clone.objects()


# --- bad input --------------------------------------------------------------------------------


def packed(kind: int, data: bytes) -> bytes:
    size = len(data)
    byte, size = kind << 4 | size & 15, size >> 4
    head = bytearray()
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    return bytes([*head, byte]) + zlib.compress(data)


def object_id(kind: bytes, data: bytes) -> str:
    return hashlib.sha1(b"%s %d\0" % (kind, len(data)) + data, usedforsecurity=False).hexdigest()


class Crafted:
    """A pack of one commit with one tree of one entry."""

    def __init__(self, name: bytes, parent: str, mode: bytes = b"100644", kind: int = 3) -> None:
        blob = b"evil\n"
        entry = object_id(b"blob", blob)
        objects = [packed(3, blob)]
        tree = mode + b" " + name + b"\0" + bytes.fromhex(entry)
        objects.append(packed(2, tree))
        commit = (
            f"tree {object_id(b'tree', tree)}\nparent {parent}\n"
            "author A <a@x> 1700000000 +0000\ncommitter A <a@x> 1700000000 +0000\n\nx\n"
        ).encode()
        self.tip = object_id(b"commit", commit)
        objects.append(packed(1, commit))
        body = b"PACK" + (2).to_bytes(4, "big") + len(objects).to_bytes(4, "big")
        body += b"".join(objects)
        self.pack = body + hashlib.sha1(body, usedforsecurity=False).digest()


def posted(url: str, repository: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    kind = "application/x-git-receive-pack-request"
    path = f"/{repository}.git/git-receive-pack"
    connection.request("POST", path, body, {"content-type": kind})
    response = connection.getresponse()
    found = response.status, response.read()
    connection.close()
    return found


def pushed(url: str, old: str, new: str, ref: bytes, pack: bytes) -> bytes:
    command = f"{old} {new} ".encode() + ref + b"\0report-status"
    body = b"%04x" % (len(command) + 4) + command + b"0000" + pack
    status, answer = posted(url, "main", body)
    assert status == 200
    return answer


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"..", b"unpack index-pack"),
        (b".", b"unpack index-pack"),
        (b".git", b"unpack index-pack"),
        (b".GIT", b"unpack index-pack"),
        (b"git~1", b"unpack index-pack"),
        (b"a/b", b"unpack index-pack"),
        (b"n" * 300, b"255 is the limit"),
    ],
)
def test_names_that_git_refuses(gateway: Gateway, clone: Git, name: bytes, said: bytes) -> None:
    served, url = gateway
    before = rows(served, "/v1/branches/main/snapshots"), listed(served, "main")
    tip = clone("rev-parse", "HEAD").strip()
    crafted = Crafted(name, tip)
    answer = pushed(url, tip, crafted.tip, b"refs/heads/main", crafted.pack)
    assert said in answer, answer
    assert b"ng refs/heads/main unpacker error" in answer
    assert before == (rows(served, "/v1/branches/main/snapshots"), listed(served, "main"))


@pytest.mark.parametrize("at", [0, 4, 11, 12, 40, -1, -10])
def test_broken_packs(gateway: Gateway, clone: Git, at: int) -> None:
    _, url = gateway
    tip = clone("rev-parse", "HEAD").strip()
    crafted = Crafted(b"fine", tip)
    broken = bytearray(crafted.pack)
    broken[at] ^= 0xFF
    for pack in (bytes(broken), crafted.pack[:at] if at else b""):
        answer = pushed(url, tip, crafted.tip, b"refs/heads/main", pack)
        assert b"unpack index-pack" in answer
        assert b"ng refs/heads/main unpacker error" in answer
    answer = pushed(url, tip, crafted.tip, b"refs/heads/main", crafted.pack)
    assert b"ok refs/heads/main" in answer


@pytest.mark.parametrize(
    "ref",
    [b"refs/heads/a..b", b"refs/heads/.x", b"refs/heads/x.lock", b"refs/heads/-x",
     b"refs/heads/a b", b"refs/heads/HEAD", b"HEAD", b"refs/notes/x", b"refs/heads/x\x7f"],
)  # fmt: skip
def test_refs_that_git_refuses(gateway: Gateway, clone: Git, ref: bytes) -> None:
    _, url = gateway
    tip = clone("rev-parse", "HEAD").strip()
    crafted = Crafted(b"fine", tip)
    answer = pushed(url, "0" * 40, crafted.tip, ref, crafted.pack)
    assert b"funny refname" in answer


def test_missing_objects(gateway: Gateway, clone: Git) -> None:
    _, url = gateway
    tip = clone("rev-parse", "HEAD").strip()
    crafted = Crafted(b"fine", "1" * 40)
    answer = pushed(url, tip, crafted.tip, b"refs/heads/main", crafted.pack)
    assert b"missing necessary objects" in answer
    blob = clone("rev-parse", "HEAD:readme").strip()
    empty = Crafted(b"fine", tip)
    answer = pushed(url, "0" * 40, blob, b"refs/heads/x", empty.pack)
    assert b"ng refs/heads/x missing necessary objects" in answer


@pytest.mark.parametrize(
    "body", [b"", b"zzzz", b"0003", b"ffff", b"0010nonsense here", b"0008abcd0000"]
)
def test_bodies_that_are_no_push(gateway: Gateway, body: bytes) -> None:
    for service in ("git-receive-pack", "git-upload-pack"):
        connection = http.client.HTTPConnection(gateway[1].removeprefix("http://"))
        connection.request("POST", f"/main.git/{service}", body)
        response = connection.getresponse()
        assert response.status == 200
        assert b"Traceback" not in response.read()
        connection.close()
