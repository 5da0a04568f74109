"""`.git` that git may write to: an annex laid over what the store says, and four names that are
more than files.

* A head or tag is what the store says. Git moves one by renaming its lock onto it, which here is
  what `committing` does; the lock is gone then, and the store shows the new value.
* `packed-refs` is made of these. Those that git leaves out are deleted (`removing`), and it may not
  put others in.
* The index is git's until the branch's newest snapshot is another one, taken by somebody else:
  from then on it is that snapshot's, as after `git reset`.
* HEAD is the mounted branch until git says otherwise.

What the owner of a lock saw when taking it is noted with the lock: so a ref that is moved, and an
index that is replaced, is still what git took it for.
"""

from __future__ import annotations

import logging
import stat
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

from gitdoor import committing, removing
from gitdoor.annex import Annex
from gitdoor.checkout import Checkout
from gitdoor.importing import Beside
from gitdoor.names import is_ref
from gitdoor.objects import text
from gitdoor.overlay import OverlaidGitDirectory, Place
from gitdoor.receiving import NOTHING, Command, Rules
from gitdoor.shelf import Shelf
from store.errors import Busy, NotPermitted, StoreError
from store.types import ROOT, Caller, Change, Inode, Renamed, RenameHow

log = logging.getLogger(__name__)

_LOCK = b".lock"
_INDEX, _HEAD, _PACKED = b"index", b"HEAD", b"packed-refs"
# The longest that is read: HEAD or a ref, and all refs, some hundred bytes each.
_REF_BYTES_MAX, _PACKED_BYTES_MAX = 4096, 64 << 20
# Moved refs whose answer was not fetched.
_MOVED_MAX = 64
# Objects looked at before others have their turn.
_SWEPT = 50

Ask = tuple[int, bytes, int, bytes]
"""A rename that moves a ref: from which directory and name to which."""


class Writing(NamedTuple):
    """What those who write may do: which branches of the store they may change, by name."""

    may_write: Callable[[str], bool]


class WritableGitDirectory(OverlaidGitDirectory):
    """See the module."""

    def __init__(
        self,
        checkout: Checkout,
        shelf: Shelf,
        annex: Annex,
        writing: Writing,
        listed: bool = False,
    ) -> None:
        super().__init__(checkout, shelf, annex, listed)
        self._writing = writing
        self._done: OrderedDict[Ask, Inode] = OrderedDict()

    # --- locks --------------------------------------------------------------------------------

    def _check_new(self, path: bytes) -> None:
        if is_ref(path):
            raise NotPermitted(f"{text(path)} is moved by renaming its lock, as git does")

    def _made(self, path: bytes, inode: Inode) -> Inode:
        locked = path.removesuffix(_LOCK)
        if locked != path and (locked == _INDEX or is_ref(locked)):
            seen = self._tip() if locked == _INDEX else self._state().refs.get(locked, NOTHING)
            # Without a note, for want of memory, the lock is as one that saw something else.
            with suppress(Busy):
                self._annex.mark(inode.ino, seen)
        return self._above.getattr(inode.ino)

    def _tip(self) -> bytes:
        """The id of the branch's newest commit; zeros without one."""
        tip = self._state().tip
        return NOTHING if tip is None else tip.id

    def _shows(self, path: bytes, inode: Inode) -> bool:
        if path != _INDEX or self._annexed(b"", _HEAD) is not None:
            return True
        if self._annex.seen(inode.ino) == self._tip():
            return True
        if not self._checkout.is_current(self._state()):
            return True  # what it is to be compared with comes soon
        self._above.unlink(ROOT, inode.parent, _INDEX)
        return False

    # --- HEAD ---------------------------------------------------------------------------------

    def _head(self) -> bytes:
        """The full name of the branch that HEAD is; empty where it is a commit."""
        found = self._annexed(b"", _HEAD)
        if found is None:
            return self._state().head
        try:
            data = self._content(found)
        except NotPermitted:
            return b""
        return data[5:].strip() if data.startswith(b"ref: ") else b""

    def _content(self, inode: Inode, most: int = _REF_BYTES_MAX) -> bytes:
        """The bytes of a file. Raises NotPermitted where it cannot be what it is taken for."""
        if not stat.S_ISREG(inode.mode) or inode.size > most:
            raise NotPermitted(f"inode {inode.ino} is no file of {most} bytes at most")
        return bytes(self._above.read(ROOT, inode.ino, 0, inode.size).data)

    def _moved(self, path: bytes, inode: Inode) -> None:
        if path == _HEAD and self._head() == self._state().head:
            self._above.unlink(ROOT, inode.parent, _HEAD)

    # --- refs ---------------------------------------------------------------------------------

    def rename(
        self,
        who: Caller,
        parent: int,
        name: bytes,
        new_parent: int,
        new_name: bytes,
        how: RenameHow = RenameHow.REPLACE,
    ) -> Renamed:
        """As `Tree.rename`; see the module. Raises NotYet while a ref is being moved."""
        ask = parent, name, new_parent, new_name
        done = self._answer(who, ask)
        if done is not None:
            return done
        path = self._place(who, new_parent).named(new_name)
        if path != _PACKED and not is_ref(path):
            return super().rename(who, parent, name, new_parent, new_name, how)
        if how is not RenameHow.REPLACE:
            raise NotPermitted(f"{text(path)} is moved by renaming its lock, as git does")
        place = self._place(who, parent)
        lock = self._own(place, name)
        begin = self._deletion if path == _PACKED else partial(self._move_of, path)
        raise self._checkout.pending.wait(
            (self, ask, lock.ino, lock.ctime_ns),
            partial(begin, lock, partial(self._take_away, place, name, lock.ino)),
            partial(self._keep, ask, lock),
            changes=True,
        )

    def _answer(self, who: Caller, ask: Ask) -> Renamed | None:
        """The answer to a rename that has moved a ref, None while there is none.

        Who asked may have gone meanwhile. Then somebody has another lock there by now.
        """
        moved = self._done.get(ask)
        if moved is None:
            return None
        parent, name, new_parent, _ = ask
        same = self._same(parent), self._same(new_parent)
        place = self._place(who, parent)
        del self._done[ask]
        if place.ino is not None and self._above.child(place.ino, name) is not None:
            return None
        return Renamed(*same, moved, None)

    def _take_away(self, place: Place, name: bytes, ino: int) -> None:
        """What was renamed has done its work."""
        assert place.ino is not None
        found = self._above.child(place.ino, name)
        if found is not None and found.ino == ino:
            self._above.unlink(ROOT, place.ino, name)

    def _keep(self, ask: Ask, lock: Inode, _: object) -> None:
        self._done[ask] = self._annex.shown(lock)
        if len(self._done) > _MOVED_MAX:
            self._done.popitem(last=False)

    def _command(self, path: bytes, lock: Inode) -> Command:
        """What a lock says. Raises NotPermitted."""
        seen = self._annex.seen(lock.ino)
        try:
            new = bytes.fromhex(self._content(lock).decode().removesuffix("\n"))
        except ValueError:
            new = b""
        if seen is None or len(new) != len(NOTHING) or new == NOTHING:
            raise NotPermitted(f"{text(path)} has to be the id of a commit, or of a tag")
        return Command(seen, new, path)

    def _move_of(self, path: bytes, lock: Inode, then: Callable[[], None]) -> Beside:
        """Begin to move a ref: what is left to be done beside. Raises NotPermitted."""
        checkout, own = self._checkout, self._state().head
        command = self._command(path, lock)

        def moved() -> None:
            then()
            if command.name == own:
                self._follow(command)

        steps = self._explained(
            command.name,
            committing.moved(
                checkout.store,
                checkout.branch,
                command,
                self._rules(),
                moved,
                from_files=command.name in (own, self._head()),
            ),
        )
        next(steps)
        return steps

    def _deletion(self, lock: Inode, then: Callable[[], None]) -> Beside:
        """Begin to delete the refs that a new `packed-refs` has not. Raises NotPermitted."""
        state = self._state()
        data = self._content(lock, _PACKED_BYTES_MAX)
        lines = [line.split(b" ") for line in data.splitlines()]
        said = {line[1]: line[0] for line in lines if len(line) == 2 and line[0][:1] not in b"#^"}
        there = {name: oid.hex().encode() for name, oid in state.refs.items()}
        if not said.items() <= there.items():
            raise NotPermitted("refs are not packed from within a mount")
        gone = [Command(oid, NOTHING, name) for name, oid in state.refs.items() if name not in said]
        steps = removing.removed(self._checkout.store, gone, state.head, self._rules(), then)
        return self._explained(b", ".join(command.name for command in gone), steps)

    def _rules(self) -> Rules:
        return Rules(self._checkout.name, self._writing.may_write, forced=True)

    def _explained(self, what: bytes, steps: Beside) -> Beside:
        """Steps whose failure is told to whoever reads the log, as git hears but a number."""
        try:
            yield from steps
        except NotPermitted as error:
            log.warning(".git: %s of %s: %s", text(what), self._checkout.name, error)
            raise
        with suppress(StoreError):  # what is left is swept the next time
            yield from self._sweep()

    def _follow(self, command: Command) -> None:
        """The branch was moved by git: its index is as right as before."""
        for name in (_INDEX, _INDEX + _LOCK):
            found = self._above.child(self._above.root, name)
            if found is not None and self._annex.seen(found.ino) == command.old:
                with suppress(Busy):
                    self._annex.mark(found.ino, command.new)

    def _same(self, directory: int) -> Change:
        """A directory of which the caller need not know how it was before."""
        inode = self.getattr(directory)
        return Change(inode, inode)

    def _sweep(self) -> Beside:
        """Take objects out of the annex that the store has had since before: who was reading one
        then is done by now."""
        state = self._checkout.latest()
        count = 0
        for number in range(256):
            directory = self._annex.directory(b"objects/%02x" % number)
            for entry in [] if directory is None else self._annex.entries(directory):
                count += 1
                if count % _SWEPT == 0:
                    yield 0
                try:
                    oid = bytes([number]) + bytes.fromhex(entry.name.decode())
                except ValueError:
                    continue
                assert directory is not None
                shown = self._shelf.find(oid, state.visible, state.packed, state.unpacked)
                if shown is not None and self._above.child(directory, entry.name) is not None:
                    self._above.unlink(ROOT, directory, entry.name)
