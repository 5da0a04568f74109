"""Moves one regular file's bytes between the local file system and a tree, holes kept.

A hole of the local file stays a hole at the granularity of the tree's blocks; a hole in the tree
becomes a hole of the local file.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fsgw.localfs import PIECE_BYTES, data_ranges, is_sparse, next_data
from fsgw.steps import Steps, beside, call
from store.tree import Tree
from store.types import ROOT, Inode, SetAttr


class Vanished(Exception):
    """The local file became shorter while it was read."""


def _same_piece(tree: Tree, ino: int, offset: int, piece: bytes) -> Steps[bool]:
    job = tree.begin_read(None, ino, offset, len(piece))
    yield from beside(job.run)
    return job.finish().data == piece


def same_content(tree: Tree, ino: int, fd: int, size: int) -> Steps[bool]:
    """Whether file and inode, both `size` bytes long, hold the same bytes; holes count as zeros.

    Reads only where either has data.
    """
    offset = 0
    while offset < size:
        there = tree.seek_data(ino, offset)
        start = min(next_data(fd, offset, size), size if there is None else there)
        if start >= size:
            return True
        piece = yield from beside(os.pread, fd, min(PIECE_BYTES, size - start), start)
        if not piece:
            raise Vanished
        if not (yield from _same_piece(tree, ino, start, piece)):
            return False
        offset = start + len(piece)
    return True


def copy_in(
    tree: Tree,
    fd: int,
    st: os.stat_result,
    inode: Inode,
    moved: Callable[[int], None],
) -> Steps[int]:
    """Make the inode's content and size those of the open file; returns the bytes written.

    `inode` is the file's state in the tree before. What is there already is compared and written
    only where it differs; a sparse file is written anew, as only truncation makes holes. `moved`
    hears of every byte read. Raises Vanished when the file shrinks meanwhile.
    """
    sparse = is_sparse(st)
    there = inode.size
    if there and (sparse or there > st.st_size):
        there = 0 if sparse else st.st_size
        yield from call(tree.setattr, ROOT, inode.ino, SetAttr(size=there))
    written = 0
    for start, end in data_ranges(fd, st.st_size) if sparse else ((0, st.st_size),):
        while start < end:
            piece = yield from beside(os.pread, fd, min(PIECE_BYTES, end - start), start)
            if not piece:
                raise Vanished
            if start >= there or not (yield from _same_piece(tree, inode.ino, start, piece)):
                yield from call(tree.write, ROOT, inode.ino, start, piece)
                written += len(piece)
                yield len(piece)
            start += len(piece)
            moved(len(piece))
        there = max(there, start)
    if there < st.st_size:
        yield from call(tree.setattr, ROOT, inode.ino, SetAttr(size=st.st_size))
    return written


def copy_out(tree: Tree, inode: Inode, fd: int, moved: Callable[[int], None]) -> None:
    """Write the inode's content to an empty local file, with its holes; `moved` hears of bytes."""
    ino, size = inode.ino, inode.size
    whole = inode.used >= size
    offset = 0
    while offset < size:
        if not whole:
            start = tree.seek_data(ino, offset)
            if start is None or start >= size:
                break
            offset = start
        hole = None if whole else tree.seek_hole(ino, offset)
        end = size if hole is None else min(hole, size)
        while offset < end:
            data = tree.read(None, ino, offset, min(PIECE_BYTES, end - offset)).data
            write_all(fd, data, offset)
            offset += len(data)
            moved(len(data))
    if offset < size:
        os.ftruncate(fd, size)


def write_all(fd: int, data: bytes | bytearray | memoryview, offset: int) -> None:
    """pwrite(2) all of `data` at `offset`."""
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        done += os.pwrite(fd, memoryview(data)[done:], offset + done)
