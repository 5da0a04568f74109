"""A gateway without a network: a real store and realm behind a dispatcher, one call at a time.

What the process around it does is done at once here: changes that somebody waits for are flushed
on the spot, and reads from disk are done on it. A test may hold flushes back, or have them fail.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from hypothesis import settings

from fsgw.realm import Realm
from nfs import nfs3
from nfs.dispatch import Dispatcher
from nfs.door import Door
from nfs.export import Rule, Squash
from nfs.handle import KEY_BYTES
from store.errors import StoreError
from store.store import Options, Store
from tests.nfs.answers import NothingToTell

KEY = bytes(range(KEY_BYTES))
START_NS = 1_600_000_000 * 10**9
# Small blocks, so that small files have several.
BLOCK_BYTES = 8192
# What clients may do where a test does not say: everything, as the superuser too.
OPEN = Rule(squash=Squash.NONE)

_MEMORY = Path("/dev/shm")


_Test = TypeVar("_Test", bound=Callable[..., None])


def fewer(test: _Test) -> _Test:
    """Fewer examples, for properties of which each example has a store of its own."""
    return settings(max_examples=max(settings().max_examples // 4, 10))(test)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        return self.now_ns


class FakeExports:
    """Rules by branch and client address; what has none here has the default one."""

    def __init__(self) -> None:
        self.version = 0
        self.default: Rule | None = OPEN
        self._rules: dict[tuple[str, str], Rule | None] = {}

    def set(self, rule: Rule | None, branch: str = "main", address: str = "") -> None:
        """Give a client (all clients, if no address is said) a rule for a branch."""
        self._rules[branch, address] = rule
        self.version += 1

    def rule(self, branch: str, address: str) -> Rule | None:
        """See `fsgw.exports.Exports`."""
        rules = self._rules
        return rules.get((branch, address), rules.get((branch, ""), self.default))

    def may_mount_any(self, address: str) -> bool:
        """See `fsgw.exports.Exports`."""
        return self.rule("main", address) is not None

    def clients_of(self, branch: str) -> list[str]:
        """See `fsgw.exports.Exports`."""
        return [address for name, address in self._rules if name == branch]


class Flushing(NothingToTell):
    """What the committer does, on the spot."""

    def __init__(self, store: Store) -> None:
        self._store = store
        # While this is a list, those who wait for a flush wait in it.
        self.held: list[Callable[[StoreError | None], None]] | None = None
        self.failing: StoreError | None = None
        self.flushes = self.reads = self.rooms = 0

    def when_durable(self, then: Callable[[StoreError | None], None]) -> None:
        if self.held is not None:
            self.held.append(then)
            return
        self.flushes += 1
        error = self.failing
        if error is None:
            try:
                self._store.flush()
            except StoreError as failed:
                error = failed
        then(error)

    def release(self) -> None:
        """Answer those who were held."""
        waiting, self.held = self.held or [], None
        for then in waiting:
            self.when_durable(then)

    def when_room(self, then: Callable[[], None]) -> None:
        self.rooms += 1
        if self.failing is None:
            self._store.settle()
        then()

    def elsewhere(self, run: Callable[[], None], then: Callable[[], None]) -> None:
        self.reads += 1
        run()
        then()


class Gateway:
    """See the module."""

    def __init__(self, path: Path, options: Options | None = None) -> None:
        self.path = path
        self.clock = Clock()
        self._options = (options or Options())._replace(clock=self.clock)
        self.exports = FakeExports()
        self.run = 0
        self._open()

    def _open(self) -> None:
        self.run += 1
        self.store = Store.open(self.path, self._options)
        self.realm = Realm(self.store, self.exports, KEY)  # type: ignore[arg-type]
        self.door = Door(self.realm)
        self.waiting = Flushing(self.store)
        self.dispatcher = Dispatcher([nfs3.program(self.door)], self.waiting)

    def restart(self) -> None:
        """End the gateway and start it again; clients keep what they hold."""
        self.close()
        self._open()

    def close(self) -> None:
        """End it."""
        self.realm.close()
        self.store.close()


def make_store(path: Path) -> None:
    """A store with one empty branch, `main`."""
    Store.init(path, block_bytes=BLOCK_BYTES, replica=1)
    with Store.open(path, Options(clock=Clock())) as store:
        store.create_branch("main")


@contextmanager
def gateway(options: Options | None = None) -> Iterator[Gateway]:
    """A gateway on a new store, which is checked at the end."""
    with tempfile.TemporaryDirectory(
        prefix="fsgw-", dir=_MEMORY if _MEMORY.is_dir() else None
    ) as directory:
        path = Path(directory) / "store"
        make_store(path)
        running = Gateway(path, options)
        try:
            yield running
            assert running.store.check() == []
        finally:
            running.close()
