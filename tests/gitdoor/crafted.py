"""What no git would send: objects, packs and pushes made byte by byte, and state to compare."""

from __future__ import annotations

import hashlib
import http.client
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from tests.fsgw.served import Served

COMMIT, TREE, BLOB, TAG, OFS_DELTA, REF_DELTA = 1, 2, 3, 4, 6, 7
NONE = "0" * 40
_KINDS = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
PUSH = "application/x-git-receive-pack-request"


def object_id(kind: int, data: bytes) -> str:
    """An object's id in hex."""
    whole = b"%s %d\0" % (_KINDS[kind], len(data)) + data
    return hashlib.sha1(whole, usedforsecurity=False).hexdigest()


def entry(name: bytes, oid: str, mode: bytes = b"100644") -> bytes:
    """One entry of a tree."""
    return mode + b" " + name + b"\0" + bytes.fromhex(oid)


def commit(tree: str, *parents: str, end: bytes = b"\nx\n") -> bytes:
    """A commit object; `end` is what comes after its committer."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"{who} A <a@example.org> 1700000000 +0000" for who in ("author", "committer")]
    return "\n".join(lines).encode() + b"\n" + end


def head(kind: int, size: int) -> bytes:
    """What an object in a pack begins with."""
    byte, size = kind << 4 | size & 15, size >> 4
    found = bytearray()
    while size:
        found.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    return bytes([*found, byte])


class Pack:
    """Objects in a row."""

    def __init__(self) -> None:
        self._objects: list[bytes] = []

    def add(self, kind: int, data: bytes) -> str:
        """Add an object; its id."""
        self.add_raw(head(kind, len(data)) + zlib.compress(data))
        return object_id(kind, data)

    def add_raw(self, data: bytes) -> None:
        """Add what stands in an object's place."""
        self._objects.append(data)

    def bytes(self, *, version: int = 2, count: int | None = None) -> bytes:
        """The pack, with as many objects as it has or says that it has."""
        said = len(self._objects) if count is None else count
        body = b"PACK" + version.to_bytes(4, "big") + said.to_bytes(4, "big")
        return sealed(body + b"".join(self._objects))


def sealed(body: bytes) -> bytes:
    """A pack's bytes with their checksum behind them."""
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


class Made(NamedTuple):
    """A pack, and the commit in it that is to be pushed."""

    pack: bytes
    tip: str


def with_tree(parent: str, tree: bytes) -> Made:
    """A pack of one commit with this tree; a blob `fine\\n` is in it as well."""
    pack = Pack()
    pack.add(BLOB, b"fine\n")
    tip = pack.add(COMMIT, commit(pack.add(TREE, tree), parent))
    return Made(pack.bytes(), tip)


FINE = object_id(BLOB, b"fine\n")


def with_file(parent: str, name: bytes = b"fine", text: bytes = b"fine\n") -> Made:
    """A pack of one commit with one file."""
    pack = Pack()
    tree = pack.add(TREE, entry(name, pack.add(BLOB, text)))
    tip = pack.add(COMMIT, commit(tree, parent))
    return Made(pack.bytes(), tip)


# --- over HTTP ----------------------------------------------------------------------------------


def request(pack: bytes, *commands: tuple[str, str, bytes], said: bytes = b"") -> bytes:
    """A push: commands (old, new, ref), and a pack."""
    capabilities = b"\0report-status side-band-64k" + said
    lines: list[bytes] = []
    for old, new, ref in commands:
        words = f"{old} {new} ".encode() + ref + (b"" if lines else capabilities)
        lines.append(b"%04x" % (len(words) + 4) + words)
    return b"".join(lines) + b"0000" + pack


class Answer(NamedTuple):
    """What a push is answered: git's words, and the lines of the report."""

    said: bytes
    report: list[bytes]


def answered(data: bytes) -> Answer:
    """An answer on side bands."""
    bands = {1: b"", 2: b""}
    for packet in packets(data):
        bands[packet[0]] += packet[1:]
    return Answer(bands[2], [line.rstrip(b"\n") for line in packets(bands[1])])


def packets(data: bytes) -> Iterator[bytes]:
    """Packets but for flushes."""
    at = 0
    while at < len(data):
        length = int(data[at : at + 4], 16)
        assert length == 0 or 4 < length <= len(data) - at, data
        if length:
            yield data[at + 4 : at + length]
        at += max(length, 4)


class Door:
    """A gateway's git door, spoken with byte by byte."""

    def __init__(self, served: Served, scratch: Path) -> None:
        """`scratch`: where the gateway has its temporary files, and nobody else."""
        self.served, self.scratch = served, scratch
        self.address = f"127.0.0.1:{served.lines[-1]['git_port']}"
        self.url = f"http://{self.address}"

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """One request: the status, and the answer."""
        connection = http.client.HTTPConnection(self.address)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        response = connection.getresponse()
        found = response.status, response.read()
        connection.close()
        return found

    def post(self, body: bytes, **headers: str) -> tuple[int, bytes]:
        """A push to `main`, whatever it is."""
        return self.ask("POST", "/main.git/git-receive-pack", body, content_type=PUSH, **headers)

    def push(self, pack: bytes, *commands: tuple[str, str, bytes], said: bytes = b"") -> Answer:
        """A push that is one."""
        status, data = self.post(request(pack, *commands, said=said))
        assert status == 200
        return answered(data)

    def refs(self) -> dict[bytes, str]:
        """All refs."""
        status, data = self.ask("GET", "/all.git/info/refs?service=git-upload-pack")
        assert status == 200
        lines = [line.partition(b"\0")[0].strip() for line in packets(data)][1:]
        return {line[41:]: line[:40].decode() for line in lines}

    def tip(self, ref: bytes = b"refs/heads/main") -> str:
        """The id of a ref."""
        return self.refs()[ref]

    # --- what there is ------------------------------------------------------------------------

    def rows(self, path: str) -> list[dict[str, Any]]:
        """What the admin API answers."""
        status, found = self.served.ask("GET", path)
        assert status == 200
        return found if isinstance(found, list) else [found]

    def tree(self, ref: str) -> dict[str, dict[str, Any]]:
        """All inodes of a branch by path, with their times."""
        found: dict[str, dict[str, Any]] = {}
        todo = [""]
        while todo:
            at = todo.pop()
            for row in self.rows(f"/v1/ls?ref={ref}{quote(os.fsencode(at))}"):
                path = f"{at}/{row['name']}"
                found[path] = row
                if row["type"] == "directory":
                    todo.append(path)
        return found

    def state(self) -> dict[str, Any]:
        """Refs, branches, snapshots, and the live tree of `main`."""
        branches = [row["name"] for row in self.rows("/v1/branches")]
        snapshots = {name: self.rows(f"/v1/branches/{name}/snapshots") for name in branches}
        return {"refs": self.refs(), "snapshots": snapshots, "tree": self.tree("main")}

    def leftovers(self) -> list[str]:
        """Temporary files, open ones without a name included, and processes that were started."""
        process = Path(f"/proc/{self.served.process.pid}")
        found = [path.name for path in self.scratch.iterdir()]
        for descriptor in (process / "fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if target.startswith(f"{self.scratch}/"):
                found.append(target)
        for thread in (process / "task").iterdir():
            try:
                found += (thread / "children").read_text().split()
            except FileNotFoundError:
                continue
        return found

    def wait_until_clear(self) -> None:
        """Until the gateway has done what it was asked to, also by who did not wait for it."""
        while self.leftovers():
            assert self.served.process.poll() is None

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """A section that leaves no trace: the store is whole after it, and what it was."""
        before = self.state()
        yield
        self.wait_until_clear()
        assert self.state() == before
        assert self.rows("/v1/check")[0]["result"] == {"problems": []}
