"""File data: reads, writes and size changes, through pages over blocks.

A block (128 KiB by default) without trailing zeros is a chunk or inline data, named by its
extent; what was written since lies over it in pages of 4 KiB. `used` follows the blocks alone:
the sum over allocated blocks of their part within the size, rounded up to pages, so that it does
not depend on when anything was stored.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator

from store import access, records
from store.errors import FileTooBig, InvalidArgument, IsDirectory
from store.memtable import Buffer
from store.reading import Chunk, Piece, ReadJob, ReadPlan
from store.renaming import Renaming
from store.types import FILE_BYTES_MAX, PAGE_BYTES, R_OK, W_OK, Caller, Change, Data, Inode
from store.watch import TO_END

_ZERO_PAGE = bytes(PAGE_BYTES)
_PAGE_MASK = PAGE_BYTES - 1


def _pages_up(size: int) -> int:
    return (size + _PAGE_MASK) & ~_PAGE_MASK


def regular(inode: Inode) -> Inode:
    """The inode, if it is a regular file. Raises IsDirectory, InvalidArgument."""
    if not stat.S_ISREG(inode.mode):
        if stat.S_ISDIR(inode.mode):
            raise IsDirectory(f"inode {inode.ino} is a directory")
        raise InvalidArgument(f"inode {inode.ino} is not a regular file")
    return inode


def _lay(plan: ReadPlan, data: Buffer, start: int, offset: int, stop: int) -> None:
    """Add data that lies at `start` of a file to the plan for offset <= i < stop."""
    lower, upper = max(start, offset), min(start + len(data), stop)
    if lower < upper:
        plan.pieces.append(Piece(data, lower - offset, lower - start, upper - start))


class Content(Renaming):
    """Data operations of a tree."""

    # --- reading ------------------------------------------------------------------------------

    def read(self, who: Caller | None, ino: int, offset: int, count: int) -> Data:
        """Up to `count` bytes from `offset`; fewer only at the end of the file.

        The owner may always read (a client checks at open, not at read); `who` None skips the
        check. Raises Stale, IsDirectory, InvalidArgument, AccessDenied, Damaged, StorageFailure.
        """
        job = self.begin_read(who, ino, offset, count)
        job.run()
        return job.finish()

    def begin_read(
        self,
        who: Caller | None,
        ino: int,
        offset: int,
        count: int,
        take: Callable[[int], memoryview] | None = None,
    ) -> ReadJob:
        """A read as of now, whose I/O may run on another thread. Raises as `read`.

        `take(length)` gives memory to read into, whatever it holds, to `run_cached` where the
        bytes are not in memory anyhow. Fresh memory without.
        """
        inode = regular(self._inodes.get(ino) or self.getattr(ino))
        if who is not None and who.uid != inode.uid:
            access.require(inode, who, R_OK)
        if offset < 0 or count < 0:
            raise InvalidArgument(f"{count} bytes at offset {offset}")
        stop = min(offset + count, inode.size)

        def plan() -> ReadPlan:
            return self._plan(ino, offset, stop)

        objects = self._ground.objects
        if offset >= stop:
            return ReadJob(inode, stop >= inode.size, None, objects, plan, None)
        return ReadJob(inode, stop >= inode.size, plan(), objects, plan, take)

    def _bytes(self, ino: int, offset: int, stop: int) -> bytearray:
        """The bytes offset <= i < stop of a file, holes as zeros; not limited by its size."""
        return self._plan(ino, offset, stop).fetch(self._ground.objects.packs)

    def _plan(self, ino: int, offset: int, stop: int) -> ReadPlan:
        """What the bytes offset <= i < stop of a file are made of."""
        block_bytes, objects = self._block_bytes, self._ground.objects
        first, last = offset // block_bytes, (stop + block_bytes - 1) // block_bytes
        extents, pages = self._chain.data(ino, first, last, self._pages_per_block)
        plan = ReadPlan(stop - offset, [], [], [], [])
        for block in sorted(extents):
            value = extents[block]
            start = block * block_bytes
            if value is None or start >= stop:
                continue
            oid = records.chunk_of(value)
            if oid is None:
                _lay(plan, value[1:], start, offset, stop)
                continue
            location = objects.location(oid)
            at, length = start - offset, location.raw
            if at >= 0 and start + length <= stop:
                plan.whole.append(Chunk(oid, location, at, 0, length))
            elif max(start, offset) < min(start + length, stop):
                known = objects.chunks.get(oid)
                if known is not None:
                    _lay(plan, known, start, offset, stop)
                    continue
                skip, upper = max(0, -at), min(length, stop - start)
                plan.parts.append(Chunk(oid, location, at + skip, skip, upper))
        for page, data in pages.items():
            _lay(plan, data, page * PAGE_BYTES, offset, stop)
        return plan

    def seek_data(self, ino: int, offset: int) -> int | None:
        """The first offset >= `offset` that lies in data, None if there is none (lseek(2))."""
        inode = regular(self.getattr(ino))
        if not 0 <= offset < inode.size:
            return None
        first = offset // self._block_bytes
        for block in self._chain.allocated(ino, first, self._pages_per_block):
            return max(offset, block * self._block_bytes)
        return None

    def seek_hole(self, ino: int, offset: int) -> int | None:
        """The first offset >= `offset` in a hole or at the end; None beyond the end (lseek(2))."""
        inode = regular(self.getattr(ino))
        if not 0 <= offset < inode.size:
            return None
        expected = offset // self._block_bytes
        for block in self._chain.allocated(ino, expected, self._pages_per_block):
            if block != expected:
                break
            expected += 1
        return min(max(offset, expected * self._block_bytes), inode.size)

    # --- writing ------------------------------------------------------------------------------

    def write(self, who: Caller | None, ino: int, offset: int, data: Buffer | bytearray) -> Change:
        """Write all of `data` at `offset`; a write of nothing changes nothing.

        Bytes that can still change (a bytearray, a view of one) are copied. The owner may always
        write, as with `read`. Raises Stale, IsDirectory, InvalidArgument, AccessDenied,
        FileTooBig, QuotaExceeded, NoSpace, Busy, ReadOnly, and what reading raises.
        """
        inode = regular(self._inodes.get(ino) or self.getattr(ino))
        if who is not None and who.uid != inode.uid:
            access.require(inode, who, W_OK)
        length = len(data)
        stop = offset + length
        if offset < 0:
            raise InvalidArgument(f"offset {offset}")
        if stop > FILE_BYTES_MAX:
            raise FileTooBig(f"a file ends at {FILE_BYTES_MAX} bytes at the latest")
        self._guard(length)
        if not length:
            return Change(inode, inode)
        size = max(inode.size, stop)
        used = self._used_after(inode, offset, stop, size)
        self._charge_bytes(used - inode.used)
        pages = self._paged(inode, offset, stop, data)
        self._mem.put_pages(ino, pages)
        if self._watchers:
            self._tell_data(ino, offset, stop)
        mode = inode.mode
        if mode & 0o6000 and (who is None or who.uid != 0):
            mode = access.without_set_id(inode, who)
        return self._store_sizes(inode, size, used, mode)

    def _store_sizes(self, inode: Inode, size: int, used: int, mode: int) -> Change:
        now = self._ground.now()
        (ino, _, nlink, uid, gid, _, _, major, minor, atime, _, _, btime, up, slot, ver) = inode
        after = Inode(
            ino,
            mode,
            nlink,
            uid,
            gid,
            size,
            used,
            major,
            minor,
            atime,
            now,
            now,
            btime,
            up,
            slot,
            ver,
        )
        self._put(after)
        self._used_bytes += used - inode.used
        return Change(inode, after)

    def _paged(
        self, inode: Inode, offset: int, stop: int, data: Buffer | bytearray
    ) -> dict[int, Buffer]:
        """The whole pages that a write leaves behind."""
        view = memoryview(data)
        if not view.readonly:
            view = memoryview(bytes(data))
        first, last = offset // PAGE_BYTES, (stop - 1) // PAGE_BYTES
        pages: dict[int, Buffer] = {}
        if offset & _PAGE_MASK or (first == last and stop & _PAGE_MASK):
            head = min(stop, (first + 1) * PAGE_BYTES) - offset
            pages[first] = self._merged(inode, first, offset & _PAGE_MASK, view[:head])
            first += 1
        if stop & _PAGE_MASK and last >= first:
            tail = last * PAGE_BYTES - offset
            pages[last] = self._merged(inode, last, 0, view[tail:])
            last -= 1
        start, end = first * PAGE_BYTES - offset, (last + 1) * PAGE_BYTES - offset
        if first == last:
            pages[first] = bytes(view[start:end])  # a lone page must not hold a large buffer
        else:
            steps = range(start, end, PAGE_BYTES)
            whole = [view[at : at + PAGE_BYTES] for at in steps]
            pages.update(zip(range(first, last + 1), whole, strict=True))
        return pages

    def _merged(self, inode: Inode, page: int, at: int, data: memoryview) -> bytes:
        """A page with a part of it overwritten; nothing is read that the size rules out."""
        start = page * PAGE_BYTES
        fresh = self._mem.pages.get(inode.ino)
        known = None if fresh is None else fresh.get(page)
        if start >= inode.size:
            old = _ZERO_PAGE
        elif known is not None:  # nothing is newer, and no layer need be asked
            old = bytes(known)
        else:
            old = bytes(self._bytes(inode.ino, start, start + PAGE_BYTES))
        return b"".join((old[:at], data, old[at + len(data) :]))

    # --- sizes --------------------------------------------------------------------------------

    def _share(self, block: int, size: int) -> int:
        """How many bytes an allocated block counts in a file of that size."""
        return min(self._block_bytes, _pages_up(max(0, size - block * self._block_bytes)))

    def _is_allocated(self, ino: int, block: int) -> bool:
        extents, pages = self._chain.data(ino, block, block + 1, self._pages_per_block)
        return bool(pages) or extents.get(block) is not None

    def _used_after(self, inode: Inode, offset: int, stop: int, size: int) -> int:
        """Allocated bytes once offset <= i < stop is written and the size is `size`."""
        block_bytes = self._block_bytes
        first, last = offset // block_bytes, (stop - 1) // block_bytes
        old_size = inode.size
        dense = inode.used == _pages_up(old_size)
        if dense and offset <= (old_size + block_bytes - 1) // block_bytes * block_bytes:
            return _pages_up(size)  # no block is left out, before and after
        used = inode.used
        extents, pages = self._chain.data(inode.ino, first, last + 1, self._pages_per_block)
        paged = {page // self._pages_per_block for page in pages}
        for block in range(first, last + 1):
            if extents.get(block) is not None or block in paged:
                used -= self._share(block, old_size)
            used += self._share(block, size)
        return used + self._end_block_growth(inode, size, range(first, last + 1))

    def _end_block_growth(self, inode: Inode, size: int, beside: range) -> int:
        """What the old last block counts more in a file that grew to `size`."""
        if size <= inode.size or not inode.size % self._block_bytes:
            return 0
        end = inode.size // self._block_bytes
        if end in beside or not self._is_allocated(inode.ino, end):
            return 0
        return self._share(end, size) - self._share(end, inode.size)

    def _resized(self, inode: Inode, size: int, mode: int | None = None) -> Inode:
        """Give a regular file another size and move its mtime and ctime, as `write` stores it."""
        if not 0 <= size <= FILE_BYTES_MAX:
            raise FileTooBig(f"{size} is no file size")
        if size >= inode.size:
            used = inode.used + self._end_block_growth(inode, size, range(0))
            self._charge_bytes(used - inode.used)
        else:
            used = self._cut(inode, size)
            if self._watchers:
                self._tell_data(inode.ino, size, TO_END)
        return self._store_sizes(inode, size, used, inode.mode if mode is None else mode).after

    def _cut(self, inode: Inode, size: int) -> int:
        """Drop the data beyond `size`; says what the file then uses."""
        ino, block_bytes = inode.ino, self._block_bytes
        end, tail = divmod(size, block_bytes)
        kept = tail and self._is_allocated(ino, end)
        # Read before anything changes: this is what can fail.
        data = self._bytes(ino, end * block_bytes, size) if kept else bytearray()
        used = self._used_when_cut(inode, size)
        mem = self._mem
        mem.put_trim(ino, end + 1 if tail else end, self._pages_per_block)
        if kept:
            # An explicit block hides all that lay there before, so that a trim can
            # stay a matter of whole blocks.
            first = end * self._pages_per_block
            mem.drop_pages(ino, first, first + self._pages_per_block)
            mem.put_extent(ino, end, records.EMPTY_DATA)
            padded = bytes(data.ljust(_pages_up(tail), b"\0"))
            steps = range(0, len(padded), PAGE_BYTES)
            mem.put_pages(
                ino, {first + at // PAGE_BYTES: padded[at : at + PAGE_BYTES] for at in steps}
            )
        return used

    def _used_when_cut(self, inode: Inode, size: int) -> int:
        if inode.used == _pages_up(inode.size):
            return _pages_up(size)
        if size == 0:
            return 0
        used, first = inode.used, size // self._block_bytes
        for block in self._chain.allocated(inode.ino, first, self._pages_per_block):
            used += self._share(block, size) - self._share(block, inode.size)
        return used

    def replace(self, ino: int, size: int, extents: list[bytes | None], mtime_ns: int) -> Inode:
        """Give a regular file other content, all of it stored already: an extent's value for each
        block, None for a hole. For a tree whose changes nobody has seen yet (`scratch`)."""
        inode = regular(self.getattr(ino))
        mem, block_bytes = self._mem, self._block_bytes
        if inode.size:
            mem.put_trim(ino, 0, self._pages_per_block)
        used = 0
        for block, value in enumerate(extents):
            if value is not None:
                mem.put_extent(ino, block, value)
                used += min(block_bytes, _pages_up(size - block * block_bytes))
        self._used_bytes += used - inode.used
        now = self._ground.now()
        return self._put(inode._replace(size=size, used=used, mtime_ns=mtime_ns, ctime_ns=now))

    # --- for comparing ------------------------------------------------------------------------

    def allocated_blocks(self, ino: int, first: int) -> Iterator[int]:
        """Numbers of a file's allocated blocks from `first` on, ascending."""
        return self._chain.allocated(ino, first, self._pages_per_block)

    def same_block(self, other: Content, ino: int, number: int) -> bool:
        """Whether a block reads the same in another tree; chunks are compared by their ids."""
        here, there = self._block_chunk(ino, number), other._block_chunk(ino, number)
        if here is not None and there is not None:
            return here == there
        start = number * self._block_bytes
        stop = start + self._block_bytes
        return self._bytes(ino, start, stop) == other._bytes(ino, start, stop)

    def _block_chunk(self, ino: int, number: int) -> bytes | None:
        """The chunk that is all of a block, None where it is made of anything else."""
        extents, pages = self._chain.data(ino, number, number + 1, self._pages_per_block)
        value = extents.get(number)
        return None if pages or value is None else records.chunk_of(value)
