"""Moves one regular file's bytes between the local file system and a tree, holes kept.

A hole of the local file stays a hole at the granularity of the tree's blocks; a hole in the tree
becomes a hole of the local file.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from fsgw.localfs import PIECE_BYTES, is_sparse
from fsgw.source import Content, Vanished
from fsgw.steps import Steps, beside, call
from store.tree import Tree
from store.types import ROOT, Inode, SetAttr


def _same_piece(tree: Tree, ino: int, offset: int, piece: bytes) -> Steps[bool]:
    job = tree.begin_read(None, ino, offset, len(piece))
    yield from beside(job.run)
    return job.finish().data == piece


def same_content(tree: Tree, ino: int, content: Content) -> Steps[bool]:
    """Whether file and inode, of the same size, hold the same bytes; holes count as zeros.

    Reads only where either has data. Raises Vanished, OSError.
    """
    offset, size = 0, content.st.st_size
    while offset < size:
        there = tree.seek_data(ino, offset)
        start = min((yield from content.next_data(offset)), size if there is None else there)
        if start >= size:
            return True
        piece = yield from content.read(start, min(PIECE_BYTES, size - start))
        if not piece:
            raise Vanished
        if not (yield from _same_piece(tree, ino, start, piece)):
            return False
        offset = start + len(piece)
    return True


def copy_in(
    tree: Tree,
    content: Content,
    inode: Inode,
    moved: Callable[[int], None],
) -> Steps[int]:
    """Make the inode's content and size those of a local file; returns the bytes written.

    `inode` is the file's state in the tree before. What is there already is compared and written
    only where it differs; a sparse file is written anew, as only truncation makes holes. `moved`
    hears of every byte read. Raises Vanished when the file shrinks meanwhile, OSError.
    """
    st = content.st
    sparse = is_sparse(st)
    there = inode.size
    if there and (sparse or there > st.st_size):
        there = 0 if sparse else st.st_size
        yield from call(tree.setattr, ROOT, inode.ino, SetAttr(size=there))
    written = 0
    while (found := (yield from content.next_range())) is not None:
        start, end = found
        while start < end:
            piece = yield from content.read(start, min(PIECE_BYTES, end - start))
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
