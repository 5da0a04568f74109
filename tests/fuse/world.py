"""A gateway whose one branch is open through every door at once, and those who look at it."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuse.admin import Admin
from tests.fuse.changes import ABSENT, Caller, populate
from tests.fuse.mounting import Mounts, require, watched
from tests.fuse.shown import Held, View, by_mount, by_nfs, differences
from tests.fuse.wire import WireClient
from tests.system.gateway import OPEN_TO_LOOPBACK, Gateway

_MEMORY = Path("/dev/shm")
_numbers = itertools.count()


class World:
    """A gateway, its branch `main` through all doors, and a directory `work` for the scenes."""

    def __init__(self, room: Path) -> None:
        self.gateway = Gateway(room, exports=OPEN_TO_LOOPBACK + "snapshot_admin = true\n")
        self.gateway.fsgw("branch", "create", "main")
        self.gateway.start()
        self.mounts = Mounts(self.gateway, room)
        self.client = WireClient(self.gateway.port)
        self.admin = Admin(self.gateway.store / "gateway.sock")
        self.room = room
        self.nfs = Caller(self.client, self.client.mount("/main"))
        self.nfs.mkdir("work")

    def mount(self) -> None:
        """Mount it, several times over."""
        mount = self.mounts.mount
        self.one = mount("main", "allow_other,suid,dev,snapshot_admin")
        self.other = mount("main", "allow_other,suid,dev,snapshot_admin")
        self.part = mount("main/work", "allow_other,suid,dev")

    def directory(self) -> str:
        """The name of a new directory in `work`."""
        name = f"{next(_numbers)}"
        self.nfs.mkdir(f"work/{name}")
        return name

    def scene(self) -> str:
        """The same, filled."""
        name = self.directory()
        populate(self.nfs.below(f"work/{name}"))
        return name

    def truth(self, scene: str) -> View:
        """What is there: an NFS client that keeps nothing asks for all of it."""
        return by_nfs(self.nfs.below(f"work/{scene}"))

    def close(self) -> None:
        self.mounts.close()
        self.client.close()
        self.gateway.close()


@contextmanager
def opened() -> Iterator[World]:
    """A world, with its mounts, which all go in the end. Its store is in memory, for speed."""
    require()
    memory = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fsgw-", dir=memory) as room:
        made = World(Path(room))
        with watched(made.gateway.pid):
            try:
                made.mount()
                yield made
            finally:
                made.close()


class Looking:
    """A mount's user who looks at a scene, has seen all of it, and has it open."""

    def __init__(self, root: Path, absent: tuple[str, ...] = ABSENT) -> None:
        self._root, self._absent = root, absent
        # The second time, what can come from a cache does.
        for _ in range(2):
            self.view = by_mount(root)
            for path in absent:
                assert not os.path.lexists(root / path)
        self.held = Held(root)
        self._home = os.getcwd()
        os.chdir(root / "sub/deep")

    def __enter__(self) -> Looking:
        return self

    def __exit__(self, *_: object) -> None:
        os.chdir(self._home)
        self.held.__exit__()

    def wrong(self, truth: View, *, stale: bool = False) -> list[str]:
        """All that is not shown as it is; `stale`: what is gone was never there."""
        return [
            *(
                f"{path}: {'there' if path in truth else 'not there'} in truth"
                for path in self._absent
                if os.path.lexists(self._root / path) != (path in truth)
            ),
            *differences(by_mount(self._root), truth),
            *self.held.differences(truth, stale=stale),
            *self._standing(truth, stale=stale),
        ]

    def _standing(self, truth: View, *, stale: bool) -> Iterator[str]:
        """What is wrong with where the user stands."""
        try:
            here = os.stat(".").st_ino
        except OSError as error:
            if not stale or error.errno != errno.ESTALE:
                yield f"does not stand anywhere: {error}"
            return
        for seen, content in truth.values():
            if seen.ino == here and tuple(sorted(os.listdir("."))) != content:
                yield f"lists {os.listdir('.')} where it stands, but there is {content!r}"
