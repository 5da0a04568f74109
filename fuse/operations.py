"""Every operation of the kernel's that is served: number -> name, handler, whether it changes.

What is not here is refused with ENOSYS, after which the kernel goes without it: FLUSH (there is
nothing to do at a close), ACCESS (the kernel checks permissions), locks (they are the kernel's, and
hold within the mount), FALLOCATE (in a store that writes all data anew nothing can be reserved),
COPY_FILE_RANGE (the kernel copies), IOCTL, POLL (a file is always ready), BMAP and TMPFILE.
"""

from __future__ import annotations

from collections.abc import Mapping

from fuse import files, init, listing, names
from fuse.protocol import Opcode
from fuse.request import Handler, Operation


def _row(opcode: Opcode, handler: Handler, *, changes: bool = False) -> tuple[int, Operation]:
    return int(opcode), Operation(opcode.name, handler, changes)


OPERATIONS: Mapping[int, Operation] = dict(
    (
        _row(Opcode.INIT, init.init),
        _row(Opcode.DESTROY, files.destroy),
        _row(Opcode.LOOKUP, names.lookup),
        _row(Opcode.FORGET, files.forget),
        _row(Opcode.BATCH_FORGET, files.batch_forget),
        _row(Opcode.INTERRUPT, files.interrupt),
        _row(Opcode.GETATTR, files.getattr_),
        _row(Opcode.SETATTR, files.setattr_, changes=True),
        _row(Opcode.READLINK, files.readlink),
        _row(Opcode.SYMLINK, names.symlink, changes=True),
        _row(Opcode.MKNOD, names.mknod, changes=True),
        _row(Opcode.MKDIR, names.mkdir, changes=True),
        _row(Opcode.UNLINK, names.unlink, changes=True),
        _row(Opcode.RMDIR, names.rmdir, changes=True),
        _row(Opcode.RENAME, names.rename, changes=True),
        _row(Opcode.RENAME2, names.rename2, changes=True),
        _row(Opcode.LINK, names.link, changes=True),
        _row(Opcode.CREATE, names.create, changes=True),
        _row(Opcode.OPEN, files.open_),
        _row(Opcode.OPENDIR, files.opendir),
        _row(Opcode.RELEASE, files.release),
        _row(Opcode.RELEASEDIR, files.release),
        _row(Opcode.READ, files.read),
        _row(Opcode.WRITE, files.write, changes=True),
        _row(Opcode.LSEEK, files.lseek),
        _row(Opcode.FSYNC, files.fsync),
        _row(Opcode.FSYNCDIR, files.fsync),
        _row(Opcode.SYNCFS, files.fsync),
        _row(Opcode.READDIR, listing.readdir),
        _row(Opcode.READDIRPLUS, listing.readdirplus),
        _row(Opcode.GETXATTR, files.getxattr),
        _row(Opcode.LISTXATTR, files.listxattr),
        _row(Opcode.SETXATTR, files.setxattr, changes=True),
        _row(Opcode.REMOVEXATTR, files.removexattr, changes=True),
        _row(Opcode.STATFS, files.statfs),
    )
)
