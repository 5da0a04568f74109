"""Requests as no kernel sends them: cut, too long, of nodes that are not, of operations unknown.

Whatever comes is answered once, with an error or as if it were right, or not at all where nothing
is answered; and the session goes on.
"""

from __future__ import annotations

import errno
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse import protocol as p
from fuse.operations import OPERATIONS
from fuse.protocol import Opcode
from store.store import Store
from tests.fuse.kernel import UNANSWERED, Failed, Kernel, write_body
from tests.nfs.gateway import fewer, gateway

# Errors that a request may have that is well formed.
ERRORS = {
    errno.ENOENT, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EACCES,
    errno.EPERM, errno.EINVAL, errno.ENAMETOOLONG, errno.EFBIG, errno.EMLINK, errno.ESTALE,
    errno.EROFS, errno.ENODATA, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPROTO, errno.ENXIO,
    errno.ERANGE, errno.EXDEV,
}  # fmt: skip


def bodies(kernel: Kernel) -> dict[int, tuple[int, bytes]]:
    """A request of every operation that is served: its node, and what is behind its header."""
    file, directory = kernel.create(b"file").nodeid, kernel.mkdir(b"dir").nodeid
    read = p.READ_IN.pack(0, 0, 4096, 0, 0, 0, 0)
    return {
        Opcode.INIT: (0, p.INIT_IN.pack(7, 38, 0, 0)),
        Opcode.DESTROY: (0, b""),
        Opcode.LOOKUP: (1, b"file\0"),
        Opcode.FORGET: (directory, p.FORGET_IN.pack(0)),
        Opcode.BATCH_FORGET: (0, p.BATCH_FORGET_IN.pack(1, 0) + p.FORGET_ONE.pack(directory, 0)),
        Opcode.INTERRUPT: (0, p.INTERRUPT_IN.pack(1)),
        Opcode.GETATTR: (file, bytes(16)),
        Opcode.SETATTR: (file, p.SETATTR_IN.pack(1, *[0] * 10, 0o640, *[0] * 4)),
        Opcode.READLINK: (file, b""),
        Opcode.SYMLINK: (1, b"link\0target\0"),
        Opcode.MKNOD: (1, p.MKNOD_IN.pack(0o10644, 0, 0, 0) + b"pipe\0"),
        Opcode.MKDIR: (1, p.MKDIR_IN.pack(0o755, 0) + b"new\0"),
        Opcode.UNLINK: (1, b"nothing\0"),
        Opcode.RMDIR: (1, b"nothing\0"),
        Opcode.RENAME: (1, p.RENAME_IN.pack(1) + b"nothing\0new\0"),
        Opcode.RENAME2: (1, p.RENAME2_IN.pack(1, 1, 0) + b"nothing\0new\0"),
        Opcode.LINK: (1, p.LINK_IN.pack(file) + b"hard\0"),
        Opcode.CREATE: (1, p.CREATE_IN.pack(0, 0o100644, 0, 0) + b"more\0"),
        Opcode.OPEN: (file, p.OPEN_IN.pack(0, 0)),
        Opcode.OPENDIR: (1, p.OPEN_IN.pack(0, 0)),
        Opcode.RELEASE: (file, bytes(24)),
        Opcode.RELEASEDIR: (1, bytes(24)),
        Opcode.READ: (file, read),
        Opcode.WRITE: (file, write_body(b"data")),
        Opcode.LSEEK: (file, p.LSEEK_IN.pack(0, 0, 3, 0)),
        Opcode.FSYNC: (file, bytes(16)),
        Opcode.FSYNCDIR: (1, bytes(16)),
        Opcode.SYNCFS: (1, bytes(8)),
        Opcode.READDIR: (1, read),
        Opcode.READDIRPLUS: (1, read),
        Opcode.GETXATTR: (file, p.GETXATTR_IN.pack(0, 0) + b"user.a\0"),
        Opcode.LISTXATTR: (file, p.GETXATTR_IN.pack(0, 0)),
        Opcode.SETXATTR: (file, p.SETXATTR_IN.pack(1, 0) + b"user.a\0v"),
        Opcode.REMOVEXATTR: (file, b"user.b\0"),
        Opcode.STATFS: (1, b""),
    }


@pytest.fixture(autouse=True)
def no_log(caplog: pytest.LogCaptureFixture) -> None:
    """What is no request is said in the log: not here."""
    caplog.set_level(logging.CRITICAL)


def alive(kernel: Kernel) -> None:
    """The session still works."""
    assert kernel.getattr().ino == 1


def answered(kernel: Kernel, unique: int, opcode: int) -> None:
    """Fail unless a request has the one answer that it may have."""
    if unique not in kernel.replies:
        assert opcode in UNANSWERED
        return
    try:
        kernel.reply(unique)
    except Failed as failed:
        assert failed.errno in ERRORS, failed


def test_there_is_a_request_of_every_operation(kernel: Kernel) -> None:
    assert set(bodies(kernel)) == set(OPERATIONS)


@pytest.mark.parametrize("opcode", OPERATIONS, ids=lambda number: Opcode(number).name)
def test_cut_at_every_length(kernel: Kernel, opcode: int) -> None:
    node, body = bodies(kernel)[opcode]
    for length in range(len(body)):
        unique = kernel.send(kernel.request(opcode, body[:length], node))
        answered(kernel, unique, opcode)
        alive(kernel)
    message = kernel.request(opcode, body, node)
    for length in range(p.IN_HEADER.size):
        kernel.session.handle(message[:length])
    assert not kernel.replies


@pytest.mark.parametrize("opcode", OPERATIONS, ids=lambda number: Opcode(number).name)
@pytest.mark.parametrize("more", [b"\0", b"more\0", b"\xff" * 4096], ids=len)
def test_with_more_behind_it(kernel: Kernel, opcode: int, more: bytes) -> None:
    node, body = bodies(kernel)[opcode]
    answered(kernel, kernel.send(kernel.request(opcode, body + more, node)), opcode)
    alive(kernel)


@pytest.mark.parametrize("opcode", OPERATIONS, ids=lambda number: Opcode(number).name)
@pytest.mark.parametrize("node", [0, 3, 12345, (1 << 53) - 2, 1 << 53, (1 << 64) - 1])
def test_of_a_node_that_is_not(kernel: Kernel, opcode: int, node: int) -> None:
    """ESTALE, where a node matters."""
    _, body = bodies(kernel)[opcode]
    before = dict(kernel.counts)
    unique = kernel.send(kernel.request(opcode, body, node))
    indifferent = {
        *(Opcode.INIT, Opcode.DESTROY, Opcode.OPEN, Opcode.OPENDIR, Opcode.RELEASE),
        *(Opcode.RELEASEDIR, Opcode.FSYNC, Opcode.FSYNCDIR, Opcode.SYNCFS),
    }
    if opcode in UNANSWERED:
        assert unique not in kernel.replies
    elif opcode in indifferent:
        answered(kernel, unique, opcode)
    elif opcode == Opcode.STATFS and node < 1 << 53:
        kernel.reply(unique)  # of the branch, as every node of it
    else:
        with pytest.raises(Failed) as caught:
            kernel.reply(unique)
        assert caught.value.errno == errno.ESTALE
    assert dict(kernel.counts) == before
    alive(kernel)


@pytest.mark.parametrize("opcode", [0, 7, 19, 25, 31, 34, 37, 39, 40, 43, 47, 48, 49, 51, 4096])
def test_what_is_not_served(kernel: Kernel, opcode: int) -> None:
    """The kernel does not ask again."""
    kernel.fails(errno.ENOSYS, opcode, bytes(64))
    alive(kernel)


def test_names_of_all_kinds(kernel: Kernel) -> None:
    for name, number in (
        (b"", errno.EINVAL),
        (b"a/b", errno.EINVAL),
        (b"n" * 256, errno.ENAMETOOLONG),
    ):
        kernel.fails(number, Opcode.LOOKUP, name + b"\0")
        for opcode, head in (
            (Opcode.MKDIR, p.MKDIR_IN.pack(0o755, 0)),
            (Opcode.CREATE, p.CREATE_IN.pack(0, 0o644, 0, 0)),
        ):
            kernel.fails(number, opcode, head + name + b"\0")
    for name in (b"n" * 255, b"\xff\xfe", b" ", b"a\nb", b"..."):
        assert kernel.lookup(name).nodeid == 0
        assert kernel.create(name).nodeid == kernel.lookup(name).nodeid


def test_a_read_asks_for_more_than_there_may_be(kernel: Kernel) -> None:
    file = kernel.create(b"file").nodeid
    kernel.write(file, b"data")
    assert kernel.read(file, 0, (1 << 32) - 1) == b"data"
    assert kernel.read(file, (1 << 64) - 1, (1 << 32) - 1) == b""


def test_a_write_says_another_length(kernel: Kernel) -> None:
    file = kernel.create(b"file").nodeid
    for size in (0, 3, 5, (1 << 32) - 1):
        body = p.WRITE_IN.pack(0, 0, size, 0, 0, 0, 0) + b"data"
        kernel.fails(errno.EPROTO, Opcode.WRITE, body, file)
    assert kernel.getattr(file).size == 0
    body = p.WRITE_IN.pack(0, (1 << 63) - 1, 4, 0, 0, 0, 0) + b"data"
    kernel.fails(errno.EFBIG, Opcode.WRITE, body, file)


# --- any bytes at all -----------------------------------------------------------------------------


@fewer
@given(data=st.data())
def test_any_bytes(data: st.DataObject) -> None:
    """Into one session: headers that are right with anything behind them, and no headers."""
    numbers = st.sampled_from([0, 1, 2, 1 << 31, (1 << 32) - 1, 1 << 53, (1 << 63) - 1])
    nodes = numbers | st.integers(0, (1 << 64) - 1)
    with gateway() as gw:
        kernel = Kernel(gw.store)
        valid = bodies(kernel)
        known = [1, *(node for node, _ in valid.values())]
        opcodes = st.sampled_from(sorted(valid)) | st.integers(0, (1 << 32) - 1)
        for _ in range(data.draw(st.integers(1, 40))):
            opcode = data.draw(opcodes)
            _, body = valid.get(opcode, (0, b""))
            if data.draw(st.booleans()):
                at = data.draw(st.integers(0, len(body)))
                body = body[:at] + data.draw(st.binary(max_size=80)) + body[at:]
            else:
                body = data.draw(st.binary(max_size=120))
            node = data.draw(st.sampled_from(known) | nodes)
            if opcode == Opcode.FORGET and node in kernel.counts:
                continue  # the accounts are for other tests
            unique = kernel.send(kernel.request(opcode, body, node))
            answered(kernel, unique, opcode)
            if data.draw(st.integers(0, 9)) == 0:
                kernel.session.handle(data.draw(st.binary(max_size=39)))
        alive(kernel)
        assert not kernel.replies
        kernel.close()


def test_a_handler_that_fails_is_answered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(store)
    monkeypatch.setattr(kernel.tree, "getattr", lambda ino: 1 / 0)
    kernel.fails(errno.EIO, Opcode.GETATTR, bytes(16))
    monkeypatch.undo()
    alive(kernel)
    kernel.close()
