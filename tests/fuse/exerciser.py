"""Random file operations in the manner of fsx, through several doors at once, against a model.

Each operation goes through one door, and what it did is looked at through another, every byte and
the size. In between the branch is snapshotted, rolled back and forked, with files open and mapped.
All choices come from one generator and none from what was seen, so a seed repeats a run exactly.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.fuse.doors import Door, MountDoor
from tests.fuse.files import File, Files, History, Open, copied, expect, expect_stale

NAMES = ("a", "b", "c", "d/a", "d/b", "d/c")
SIZE_MAX = 700_000  # of a file: several blocks of a store, and part of one
PAGE, BLOCK = 4096, 131_072
HANDLES_MAX = 8
SNAPSHOTS_MAX = 6
LOG_LINES = 80
CHECK_ALL_EVERY = 40


class Exerciser:
    """One run on an empty directory; see the module.

    writeback: mounts keep what is written until it is synced, and know better than the gateway how
    long a file is. So files are synced before another door looks, and only a mount resizes them.
    """

    def __init__(
        self,
        doors: Sequence[Door],
        rng: random.Random,
        *,
        history: History | None = None,
        writeback: bool = False,
    ) -> None:
        self._doors = doors
        self._mounts = [door for door in doors if isinstance(door, MountDoor)]
        self._rng = rng
        self._history = history
        self._writeback = writeback
        self._files: Files = {}
        self._open: list[Open] = []
        self._snapshots: dict[str, Files] = {}
        self._taken: dict[str, int] = {}  # when, by the numbers that files get, too
        self._unsynced: dict[int, MountDoor] = {}
        self._numbers = 0
        self.log: list[str] = []

    def run(self, count: int) -> None:
        """So many operations, then a look at everything; raises AssertionError with a log."""
        try:
            self._doors[0].mkdir("d")
            for step in range(count):
                self._step()
                if step % CHECK_ALL_EVERY == 0:
                    self._check_everything()
            self._forget(list(self._open))
            self._check_everything()
        except (AssertionError, OSError) as error:
            lines = "\n".join(self.log[-LOG_LINES:])
            raise AssertionError(
                f"{error!r}\nafter {len(self.log)} operations, the last:\n{lines}"
            ) from error
        finally:
            for each in self._open:
                each.handle.close()

    # --- choices --------------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        self.log.append(f"{len(self.log):5} {text}")

    def _step(self) -> None:
        rng = self._rng
        operations = [*ALWAYS, *(WITH_HISTORY if self._history else ())]
        (operation,) = rng.choices(
            [name for name, _ in operations], [weight for _, weight in operations]
        )
        run: Callable[[], None] = getattr(self, f"_do_{operation}")
        if not self._files:
            run = self._do_create
        elif operation in OF_HANDLES and not self._open:
            run = self._do_open
        run()

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _offset(self, most: int) -> int:
        """Somewhere from 0 to `most`, often at the edge of something or next to it."""
        rng = self._rng
        unit = rng.choice((1, 1, 512, PAGE, BLOCK))
        near = rng.randint(0, most) // unit * unit + rng.choice((0, 0, 0, -1, 1))
        return min(max(rng.choice((near, near, near, 0, most)), 0), most)

    def _length(self, most: int = 200_000) -> int:
        rng = self._rng
        length = rng.choice((rng.randint(1, 100), rng.randint(1, 9_000), rng.randint(1, 200_000)))
        return min(length, most)

    def _any_file(self) -> tuple[str, File]:
        name = self._rng.choice(sorted(self._files))
        return name, self._files[name]

    def _door(self, *, resizes: bool = False) -> Door:
        return self._rng.choice(self._mounts if self._writeback and resizes else self._doors)

    def _opened(self, file: File | None = None) -> Open | None:
        """One of the open handles, or one of a file's."""
        found = [each for each in self._open if file is None or each.file.key == file.key]
        return self._rng.choice(found) if found else None

    # --- changes of data ------------------------------------------------------------------------

    def _settle(self, file: File, door: Door | None = None) -> None:
        """Have other doors than the one that wrote to it know a file."""
        writer = self._unsynced.get(file.key)
        if writer is None or writer is door:
            return
        del self._unsynced[file.key]
        for name, named in self._files.items():
            if named.key == file.key:
                self._say(f"sync {name} through {writer.name}")
                writer.sync(name)
                return

    def _wrote(self, file: File, door: Door) -> None:
        if self._writeback and isinstance(door, MountDoor):
            self._unsynced[file.key] = door

    def _write(self, what: str, name: str, file: File, offset: int, data: bytes) -> None:
        opened = self._opened(file) if self._rng.randrange(2) else None
        if opened is not None and opened.handle.append:
            offset = len(file.data)
            data = data[: SIZE_MAX - offset] or b"+"
        grows = offset + len(data) > len(file.data)
        door = opened.door if opened is not None else self._door(resizes=grows)
        how = f"handle {opened.number}" if opened is not None else "its name"
        self._settle(file, door)
        self._say(f"{what} {name} [{offset}, {offset + len(data)}) through {door.name} by {how}")
        if opened is not None:
            opened.handle.write(data, offset)
        else:
            door.write(name, offset, data)
        file.write(offset, data)
        self._wrote(file, door)
        self._look(name, door)

    def _do_write(self) -> None:
        name, file = self._any_file()
        offset = self._offset(min(len(file.data), SIZE_MAX - 1))
        data = self._rng.randbytes(self._length(SIZE_MAX - offset))
        self._write("write", name, file, offset, data)

    def _do_append(self) -> None:
        name, file = self._any_file()
        offset = len(file.data)
        if offset < SIZE_MAX:
            data = self._rng.randbytes(self._length(SIZE_MAX - offset))
            self._write("append", name, file, offset, data)

    def _do_far(self) -> None:
        """Leave a hole."""
        name, file = self._any_file()
        offset = len(file.data) + self._offset(max(SIZE_MAX - 100 - len(file.data), 0))
        self._write("far write", name, file, offset, self._rng.randbytes(self._length(100)))

    def _do_truncate(self) -> None:
        name, file = self._any_file()
        size = self._offset(self._rng.choice((len(file.data), SIZE_MAX)))
        opened = self._opened(file) if self._rng.randrange(2) else None
        door = opened.door if opened is not None else self._door(resizes=True)
        how = f"handle {opened.number}" if opened is not None else "its name"
        self._settle(file, door)
        self._say(f"truncate {name} {len(file.data)} -> {size} through {door.name} by {how}")
        if opened is not None:
            opened.handle.truncate(size)
        else:
            door.truncate(name, size)
        file.resize(size)
        self._look(name, door)

    # --- open and mapped files ------------------------------------------------------------------

    def _do_open(self) -> None:
        name, file = self._any_file()
        if not self._mounts or len(self._open) >= HANDLES_MAX:
            return
        door, append = self._rng.choice(self._mounts), not self._rng.randrange(4)
        self._settle(file, door)
        number = self._number()
        self._say(f"open {name} through {door.name}{' to append' * append}: handle {number}")
        self._open.append(Open(door, door.open(name, append=append), file, number))

    def _do_close(self) -> None:
        if opened := self._opened():
            self._say(f"close handle {opened.number}")
            self._open.remove(opened)
            opened.handle.close()

    def _do_map(self) -> None:
        if opened := self._opened():
            self._settle(opened.file, opened.door)
            self._say(f"map handle {opened.number} anew: {len(opened.file.data)} bytes")
            opened.handle.map()

    def _do_sync(self) -> None:
        if opened := self._opened():
            self._say(f"fsync handle {opened.number}")
            opened.handle.sync()
            if self._unsynced.get(opened.file.key) is opened.door:
                del self._unsynced[opened.file.key]

    def _do_handle_write(self) -> None:
        """Write with a handle whose file may have no name any more."""
        if opened := self._opened():
            file, door = opened.file, opened.door
            offset = self._offset(min(len(file.data), SIZE_MAX - 1))
            if opened.handle.append:
                offset = len(file.data)
            data = self._rng.randbytes(self._length(max(SIZE_MAX - offset, 1)))
            self._settle(file, door)
            end = offset + len(data)
            self._say(f"write [{offset}, {end}) through {door.name} by handle {opened.number}")
            opened.handle.write(data, offset)
            file.write(offset, data)
            self._wrote(file, door)
            self._look_at(file, door)

    def _do_mapped_write(self) -> None:
        if opened := self._opened():
            file, door = opened.file, opened.door
            self._settle(file, door)
            if not (most := opened.handle.mapped(len(file.data))):
                return
            offset = self._offset(most - 1)
            data = self._rng.randbytes(self._length(most - offset))
            end = offset + len(data)
            self._say(f"mapped write [{offset}, {end}) by handle {opened.number} ({door.name})")
            opened.handle.change_mapped(offset, data)
            file.write(offset, data)
            self._look_at(file, door)

    def _do_mapped_read(self) -> None:
        if opened := self._opened():
            self._check_mapped(opened)

    def _do_handle_read(self) -> None:
        if opened := self._opened():
            self._check_handle(opened)

    # --- names ----------------------------------------------------------------------------------

    def _do_create(self) -> None:
        free = [name for name in NAMES if name not in self._files]
        if free:
            name, door = self._rng.choice(free), self._door()
            number = self._number()
            self._say(f"create {name} through {door.name}: file {number}")
            door.create(name)
            self._files[name] = File(number)
            self._look(name, door)

    def _do_remove(self) -> None:
        (name, file), door = self._any_file(), self._door()
        self._settle(file)
        self._say(f"remove {name} through {door.name}")
        door.remove(name)
        del self._files[name]
        self._look(name, door)

    def _do_rename(self) -> None:
        (old, file), door = self._any_file(), self._door()
        new = self._rng.choice([name for name in NAMES if name != old])
        for each in (file, self._files.get(new)):
            if each is not None:
                self._settle(each)
        self._say(f"rename {old} to {new} through {door.name}")
        door.rename(old, new)
        self._files[new] = self._files.pop(old)
        self._look(old, door)
        self._look(new, door)

    # --- history --------------------------------------------------------------------------------

    def _settle_all(self) -> None:
        for file in list(self._files.values()):
            self._settle(file)

    def _do_snapshot(self) -> None:
        assert self._history is not None
        self._settle_all()
        if len(self._snapshots) >= SNAPSHOTS_MAX:
            name = self._rng.choice(sorted(self._snapshots))
            self._say(f"delete snapshot {name}")
            self._history.delete(name)
            del self._snapshots[name]
        number = self._number()
        name = f"s{number}"
        self._say(f"snapshot {name}")
        self._history.snapshot(name)
        self._snapshots[name], self._taken[name] = copied(self._files), number

    def _do_look_back(self) -> None:
        """A snapshot shows what it was taken of, from inside the branch."""
        if self._snapshots:
            name, door = self._rng.choice(sorted(self._snapshots)), self._rng.choice(self._doors)
            self._say(f"look at snapshot {name} through {door.name}")
            self._check_tree(self._snapshots[name], door.below(f".snapshots/{name}"))

    def _do_rollback(self) -> None:
        assert self._history is not None
        if not self._snapshots:
            return
        self._settle_all()
        target = self._rng.choice(sorted(self._snapshots))
        # Whether a snapshot has what had no name when it was taken, but was open, is left open.
        keys = {file.key for file in self._snapshots[target].values()}
        self._forget(
            [
                each
                for each in self._open
                if each.file.key not in keys and each.file.key < self._taken[target]
            ]
        )
        if self._writeback:
            self._forget(list(self._open))
        self._say(f"rollback to {target}")
        kept = self._history.rollback(target)
        self._snapshots[kept], self._taken[kept] = self._files, self._number()
        self._files = copied(self._snapshots[target])
        self._unsynced.clear()
        by_key = {file.key: file for file in self._files.values()}
        opened, self._open = self._open, []
        for each in opened:
            if file := by_key.get(each.file.key):
                self._open.append(each._replace(file=file))
            else:
                self._say(f"handle {each.number} is stale")
                expect_stale(each.handle)
        for each in self._open:
            self._check_handle(each)
        self._check_everything()

    def _forget(self, opened: list[Open]) -> None:
        for each in opened:
            self._say(f"close handle {each.number}")
            self._open.remove(each)
            each.handle.close()

    def _do_fork(self) -> None:
        """A fork is what it was made of, and goes its own way."""
        assert self._history is not None
        self._settle_all()
        source = self._rng.choice([None, *sorted(self._snapshots)])
        self._say(f"fork {'the branch' if source is None else source}")
        doors = self._history.fork(source)
        files = copied(self._files if source is None else self._snapshots[source])
        for door in doors:
            self._check_tree(files, door)
        if files:
            name = self._rng.choice(sorted(files))
            data = self._rng.randbytes(self._length())
            files[name].write(0, data)
            doors[0].write(name, 0, data)
            for door in doors[::-1]:
                self._check_tree(files, door)
        self._history.drop()

    # --- checks ---------------------------------------------------------------------------------

    def _look(self, name: str, door: Door) -> None:
        """Look at a name through some door, most often not the one that changed something."""
        other = self._rng.choice([each for each in self._doors if each is not door] or [door])
        seen_by = self._rng.choice((other, other, other, door))
        file = self._files.get(name)
        if file is None:
            assert not seen_by.exists(name), f"{name} is there, seen through {seen_by.name}"
        else:
            self._check(name, file, seen_by)
            if (opened := self._opened(file)) and not self._rng.randrange(3):
                self._check_handle(opened)

    def _look_at(self, file: File, door: Door) -> None:
        """The same for a file that may have no name."""
        for name, named in self._files.items():
            if named is file:
                self._look(name, door)
                return
        if opened := self._opened(file):
            self._check_handle(opened)

    def _check(self, name: str, file: File, door: Door) -> None:
        self._settle(file, door)
        where = f"{name} through {door.name}"
        size = door.size(name)
        assert size == len(file.data), f"{where}: size {size}, not {len(file.data)}"
        expect(door.read(name), file.data, where)

    def _check_handle(self, opened: Open) -> None:
        file = opened.file
        self._settle(file, opened.door)
        where = f"handle {opened.number} of {opened.door.name}"
        size = opened.handle.size()
        assert size == len(file.data), f"{where}: size {size}, not {len(file.data)}"
        expect(opened.handle.read(size + 1, 0), file.data, where)

    def _check_mapped(self, opened: Open) -> None:
        file = opened.file
        self._settle(file, opened.door)
        most = opened.handle.mapped(len(file.data))
        start = self._offset(most)
        found = opened.handle.mapped_bytes(start, most)
        where = f"memory from {start} of handle {opened.number} of {opened.door.name}"
        expect(found, file.data[start:most], where)

    def _check_tree(self, files: Files, door: Door) -> None:
        """A directory has these files and no others."""
        found = (door.names() | {f"d/{name}" for name in door.names("d")}) - {"d"}
        assert found == files.keys(), f"{door.name}: {sorted(found)}, not {sorted(files)}"
        for name, file in sorted(files.items()):
            where = f"{name} through {door.name}"
            assert door.size(name) == len(file.data), f"{where}: size {door.size(name)}"
            expect(door.read(name), file.data, where)

    def _check_everything(self) -> None:
        self._settle_all()
        for door in self._doors:
            self._check_tree(self._files, door)
            for name in NAMES:
                assert door.exists(name) == (name in self._files), f"{name} through {door.name}"


# Operations and how often they come.
ALWAYS = (
    ("write", 20), ("append", 6), ("far", 5), ("truncate", 10), ("open", 7), ("close", 4),
    ("map", 4), ("sync", 3), ("handle_write", 4), ("mapped_write", 8), ("mapped_read", 6),
    ("handle_read", 3), ("create", 4), ("remove", 2), ("rename", 4),
)  # fmt: skip
WITH_HISTORY = (("snapshot", 3), ("look_back", 3), ("rollback", 2), ("fork", 1))
OF_HANDLES = {
    "close", "map", "sync", "handle_write", "mapped_write", "mapped_read", "handle_read",
}  # fmt: skip
