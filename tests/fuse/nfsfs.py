"""Calls by path over NFS, as many as the stress needs.

Symbolic links are not followed. Errors are `FsError`s with the names that the calls' statuses have.
"""

from __future__ import annotations

import os

from nfs.nfs3_types import createmode3, fattr3, ftype3, nfsstat3
from tests.fuse.wire import WireClient
from tests.nfs.client import Answer, at, sattr
from tests.posix.fs import FsError


def done(answer: Answer) -> Answer:
    """The same answer, if it is no error."""
    if answer.status != nfsstat3.OK:
        raise FsError(f"E{nfsstat3(answer.status).name}")
    return answer


class NfsFs:
    """What is mounted at `root`."""

    def __init__(self, client: WireClient, root: bytes) -> None:
        self.client = client
        self.root = root

    def handle(self, path: str) -> bytes:
        """The handle at the end of a path; "" is the root's."""
        handle = self.root
        for name in path.split("/") if path else ():
            handle = done(self.client.lookup(handle, os.fsencode(name))).value.object
        return handle

    def _place(self, path: str) -> tuple[bytes, bytes]:
        directory, _, name = path.rpartition("/")
        return self.handle(directory), os.fsencode(name)

    def create(self, path: str) -> None:
        """A new file."""
        done(self.client.create(*self._place(path), mode=createmode3.GUARDED))

    def mkdir(self, path: str) -> None:
        done(self.client.mkdir(*self._place(path)))

    def mkfifo(self, path: str) -> None:
        done(self.client.mknod(*self._place(path)))

    def symlink(self, target: str, path: str) -> None:
        done(self.client.symlink(*self._place(path), target.encode()))

    def link(self, old: str, new: str) -> None:
        done(self.client.link(self.handle(old), *self._place(new)))

    def unlink(self, path: str) -> None:
        done(self.client.remove(*self._place(path)))

    def rmdir(self, path: str) -> None:
        done(self.client.rmdir(*self._place(path)))

    def rename(self, old: str, new: str) -> None:
        done(self.client.rename(*self._place(old), *self._place(new)))

    def chmod(self, path: str, mode: int) -> None:
        done(self.client.setattr(self.handle(path), sattr(mode=mode)))

    def chown(self, path: str, uid: int, gid: int) -> None:
        done(self.client.setattr(self.handle(path), sattr(uid=uid, gid=gid)))

    def utime(self, path: str, seconds: int) -> None:
        done(self.client.setattr(self.handle(path), sattr(mtime=at(seconds, 7))))

    def truncate(self, path: str, size: int) -> None:
        done(self.client.setattr(self.handle(path), sattr(size=size)))

    def write(self, path: str, data: bytes, offset: int) -> None:
        done(self.client.write(self.handle(path), offset, data))

    def read(self, path: str) -> bytes:
        """A file's whole content."""
        file, data = self.handle(path), bytearray()
        while True:
            piece = done(self.client.read(file, len(data))).value
            data += piece.data
            if piece.eof:
                return bytes(data)

    def stat(self, path: str) -> fattr3:
        found: fattr3 = done(self.client.getattr(self.handle(path))).value.obj_attributes
        return found

    def readlink(self, path: str) -> str:
        return os.fsdecode(done(self.client.readlink(self.handle(path))).value.data)

    def names(self, path: str) -> list[str]:
        """All names in a directory but `.` and `..`, page by page."""
        directory, cookie, found = self.handle(path), 0, list[str]()
        while True:
            page = done(self.client.readdirplus(directory, cookie, 512, 2048)).value.reply
            found += [os.fsdecode(entry.name) for entry in page.entries]
            if page.eof:
                return [name for name in found if name not in (".", "..")]
            cookie = page.entries[-1].cookie

    def is_directory(self, path: str) -> bool:
        return self.stat(path).type == ftype3.DIR
