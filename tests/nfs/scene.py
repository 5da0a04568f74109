"""A small tree at a known time, and calls on it in literal bytes.

Texts are hexadecimal, a field or two a line; what stands in braces differs from store to store:
handles {root} {file} {link} and {new}, the number of the file system {fsid}, and the write verifier
{verifier}. Nothing here is encoded or decoded by our own types.
"""

from __future__ import annotations

from store.types import Caller, SetAttr
from tests.nfs.client import Client
from tests.nfs.gateway import Gateway

SECOND = 10**9
EPOCH_S = 0x65000000

CALL = """
    0000abcd  # xid
    00000000  # CALL
    00000002  # RPC version
    000186a3  # program: NFS
    00000003  # version
    {procedure}
    00000001 00000018  # credential: AUTH_SYS, 24 bytes
    00000000  # stamp
    00000002 766d 0000  # machine name: vm
    000003e8 00000064  # uid 1000, gid 100
    00000000  # no groups
    00000000 00000000  # verifier: AUTH_NONE
"""
REPLY = """
    0000abcd  # xid
    00000001  # REPLY
    00000000  # MSG_ACCEPTED
    00000000 00000000  # verifier: AUTH_NONE
    00000000  # SUCCESS
"""

# fattr3 of the root directory.
ROOT = """
    00000002 000001ff 00000002  # NF3DIR, mode 0777, two links
    00000000 00000000  # uid, gid
    00000000 00001000 00000000 00001000  # size, used
    00000000 00000000  # rdev
    {fsid} 00000000 00000001  # fsid, fileid 1
    64000000 00000005  # atime
    65000004 00000000 65000004 00000000  # mtime, ctime
"""
# wcc_data of the root directory after a call in second 5 that left it two links; it is here.
ROOT_CHANGED = """
    00000001  # attributes before: size, mtime, ctime
    00000000 00001000 65000004 00000000 65000004 00000000
    00000001  # attributes after
    00000002 000001ff {links}
    00000000 00000000
    00000000 00001000 00000000 00001000
    00000000 00000000
    {fsid} 00000000 00000001
    64000000 00000005
    65000005 00000000 65000005 00000000
"""
# fattr3 of the file, but for its times.
FILE_HEAD = """
    00000001 000001a4 00000001  # NF3REG, mode 0644, one link
    000003e8 00000064  # uid 1000, gid 100
    00000000 00000005 00000000 00001000  # size 5, used 4096
    00000000 00000000  # rdev
    {fsid} 00000100 00000000  # fsid, fileid
"""
FILE = FILE_HEAD + "65000002 00000000 65000003 00000000 65000003 00000000"
LINK = """
    00000005 000001ff 00000001  # NF3LNK, mode 0777, one link
    000003e8 00000064
    00000000 00000006 00000000 00000000  # size 6, used 0
    00000000 00000000
    {fsid} 00000100 00000001
    65000004 00000000 65000004 00000000 65000004 00000000
"""
# fattr3 of what a call makes in second 5.
NEW = """
    {kind} {links}
    000003e8 00000064
    00000000 {size} 00000000 {used}
    00000000 00000000
    {fsid} 00000100 00000002
    65000005 00000000 65000005 00000000 65000005 00000000
"""
NO_SATTR = "00000000 00000000 00000000 00000000 00000000 00000000"


class Scene:
    """A file `f` of five bytes and a link `l` in the root of `main`; it is second 5."""

    def __init__(self, gw: Gateway) -> None:
        self.gw = gw
        self.client = Client(gw, 1000, 100)
        root = self.client.mount()
        who, tree = Caller(1000, 100), gw.store.tree("main")
        self.second(1)
        tree.setattr(Caller(0, 0), 1, SetAttr(mode=0o777, atime_ns=0x64000000 * SECOND + 5))
        self.second(2)
        file = tree.create(who, 1, b"f", 0o644).inode.ino
        self.second(3)
        tree.write(who, file, 0, b"hello")
        self.second(4)
        link = tree.symlink(who, 1, b"l", b"target").inode.ino
        self.second(5)
        handle = self._handle
        self.words = {
            "root": root.hex(),
            "file": handle(file),
            "link": handle(link),
            "new": handle(link + 1),
            "fsid": gw.realm.resolve(b"main", self.client.peer)[0].fsid.to_bytes(8, "big").hex(),
            "verifier": gw.door.verifier.hex(),
        }

    def _handle(self, ino: int) -> str:
        exported, _ = self.gw.realm.resolve(b"main", self.client.peer)
        return self.gw.door.handle(exported, ino).hex()

    def second(self, number: int) -> None:
        """Let it be that second."""
        self.gw.clock.now_ns = (EPOCH_S + number) * SECOND

    def literal(self, text: str, **more: str) -> bytes:
        """The bytes that a text stands for."""
        bare = "".join(line.partition("#")[0] for line in text.splitlines())
        return bytes.fromhex(bare.format(**self.words, **more))

    def check(self, procedure: int, arguments: str, results: str, **more: str) -> None:
        """Fail unless a call with these arguments has these results."""
        number = f"{procedure:08x}"
        message = self.literal(CALL + arguments, procedure=number, **more)
        reply = self.literal(REPLY + results, **more)
        (found,) = self.client.send(message)
        assert found.hex(" ", 4) == reply.hex(" ", 4)
