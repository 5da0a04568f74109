"""A small tree at a known time, and requests to it in literal fields, as `linux/fuse.h` has them.

A text is made of words: hexadecimal digits are a number in the host's byte order, as long as they
say; `'text'` is as it stands, with a zero behind it, `"text"` the same without one; what is behind
a # is for the reader. {root}, {file}, {link} and {new} are inode numbers. Nothing here is packed or
taken apart by our own types.
"""

from __future__ import annotations

import re
import sys

from fuse.session import Options
from store.store import Store
from store.types import Caller, SetAttr
from tests.fuse.kernel import Kernel
from tests.nfs.gateway import Clock

SECOND = 10**9
EPOCH_S = 0x65000000

_WORD = re.compile(r"'([^']*)'|\"([^\"]*)\"|([0-9a-f]+)|(\S+)")
# fuse_in_header, before its length; fuse_out_header the same.
_IN = """
    {opcode}
    0000000000000abc  # unique
    {node}  # nodeid
    000003e8 00000064 00000007  # uid 1000, gid 100, pid 7
    0000 0000  # total_extlen, padding
"""
_OUT = """
    {error}
    0000000000000abc  # unique
"""

# fuse_attr of the root directory.
ROOT = """
    0000000000000001 0000000000001000 0000000000000008  # ino, size, blocks
    0000000064000000 0000000065000004 0000000065000004  # atime, mtime, ctime
    00000005 00000000 00000000  # their nanoseconds
    000041ff 00000002 00000000 00000000  # mode, nlink, uid, gid
    00000000 00001000 00000000  # rdev, blksize, flags
"""
# The same after a change to it in second 5.
ROOT_CHANGED = """
    0000000000000001 0000000000001000 0000000000000008
    0000000064000000 0000000065000005 0000000065000005
    00000005 00000000 00000000
    000041ff {links} 00000000 00000000
    00000000 00001000 00000000
"""
FILE = """
    {file} 0000000000000005 0000000000000008  # ino, size, blocks
    0000000065000002 0000000065000003 0000000065000003
    00000000 00000000 00000000
    000081a4 00000001 000003e8 00000064  # a file, 0644
    00000000 00001000 00000000
"""
LINK = """
    {link} 0000000000000006 0000000000000000
    0000000065000004 0000000065000004 0000000065000004
    00000000 00000000 00000000
    0000a1ff 00000001 000003e8 00000064
    00000000 00001000 00000000
"""
# What a request makes in second 5.
NEW = """
    {new} {size} {blocks}
    0000000065000005 0000000065000005 0000000065000005
    00000000 00000000 00000000
    {mode} {links} 000003e8 00000064
    {rdev} 00001000 00000000
"""
# fuse_attr_out and fuse_entry_out, before their fuse_attr.
VALID = """
    0000000000000002 0ee6b280 00000000  # attr_valid 2 s and 250,000,000 ns, dummy
"""
ENTRY = """
    {node} 0000000000000000  # nodeid, generation
    0000000000000001 0000000000000002  # entry_valid, attr_valid in seconds
    1dcd6500 0ee6b280  # in nanoseconds
"""


class Scene:
    """A file `f` of five bytes and a link `l` in the root of `main`; it is second 5."""

    def __init__(self, store: Store, clock: Clock, options: Options | None = None) -> None:
        self._clock = clock
        who, tree = Caller(1000, 100), store.tree("main")
        self.second(1)
        tree.setattr(Caller(0, 0), 1, SetAttr(mode=0o777, atime_ns=0x64000000 * SECOND + 5))
        self.second(2)
        file = tree.create(who, 1, b"f", 0o644).inode.ino
        self.second(3)
        tree.write(who, file, 0, b"hello")
        self.second(4)
        link = tree.symlink(who, 1, b"l", b"target").inode.ino
        self.second(5)
        self.kernel = Kernel(store, options)
        numbers = {"root": 1, "file": file, "link": link, "new": link + 1}
        self.words = {name: f"{number:016x}" for name, number in numbers.items()}

    def second(self, number: int) -> None:
        """Let it be that second."""
        self._clock.now_ns = (EPOCH_S + number) * SECOND

    def literal(self, text: str, **more: str) -> bytes:
        """The bytes that a text stands for."""
        bare = "\n".join(line.partition("#")[0] for line in text.splitlines())
        words = {**self.words, **more}
        for _ in range(2):  # a word may be one that stands for others
            bare = re.sub(r"\{(\w+)\}", lambda match: words[match[1]], bare)
        return b"".join(self._bytes(match) for match in _WORD.finditer(bare))

    @staticmethod
    def _bytes(match: re.Match[str]) -> bytes:
        ended, bare, digits, other = match.groups()
        assert other is None, f"{other!r} is no word"
        if digits is None:
            return ended.encode() + b"\0" if ended is not None else bytes(bare, "latin-1")
        return int(digits, 16).to_bytes(len(digits) // 2, sys.byteorder)

    def message(self, opcode: int, node: str, body: str, **more: str) -> bytes:
        """A request, whole."""
        rest = self.literal(
            _IN + body, opcode=f"{opcode:08x}", **{"node": "{" + node + "}", **more}
        )
        return (len(rest) + 4).to_bytes(4, sys.byteorder) + rest

    def check(
        self, opcode: int, node: str, body: str, reply: str | None, error: int = 0, /, **more: str
    ) -> None:
        """Fail unless the request has this reply; None for none."""
        self.kernel.session.handle(self.message(opcode, node, body, **more))
        found = self.kernel.replies.pop(0xABC, [])
        if reply is None:
            assert found == []
            return
        number = (-error).to_bytes(4, "big", signed=True).hex()
        rest = self.literal(_OUT + reply, error=number, **{"node": "{" + node + "}", **more})
        expected = (len(rest) + 4).to_bytes(4, sys.byteorder) + rest
        (only,) = found
        assert only.hex(" ", 4) == expected.hex(" ", 4)
