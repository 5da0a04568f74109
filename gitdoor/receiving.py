"""git-receive-pack (gitprotocol-pack(5)): a push, from its bytes to branches and snapshots.

The pack is unpacked and checked by stock git in a directory of its own (`index-pack
--fsck-objects`: what git refuses, it refuses here in its own words), and its commits are then
brought in as an import brings them. Nothing shows until the last step, which changes all refs that
may be changed at once: a branch becomes what its new tip is, under its users.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple

from gitdoor import importing, wire
from gitdoor.graph import History
from gitdoor.importing import (
    Beside,
    Follows,
    Wanted,
    branch_of,
    following,
    moved,
    new_branch,
    newest_of,
    obstacle,
    put_tag,
)
from gitdoor.incoming import Incoming, Unpacked
from gitdoor.names import HEADS, TAGS, folders, is_ref, store_name
from gitdoor.objects import BadObject, object_id, parse_commit, tag_target
from gitdoor.refs import branch_names, tag_names, tips
from gitdoor.serving import Repository as Shown
from gitdoor.source import Large, Source
from gitdoor.translate import NOBODYS, Owner
from gitdoor.upload import AGENT, ref_lines
from gitdoor.wire import FLUSH, BadRequest, band, line
from gitdoor.work import Work
from store import errors
from store.gitrows import COMMIT, TAG, GitRows
from store.store import Store

_CAPABILITIES = (
    *(b"report-status", b"delete-refs", b"side-band-64k", b"quiet", b"atomic", b"ofs-delta"),
    *(b"no-thin", b"object-format=sha1", AGENT),
)
NOTHING = bytes(20)
_COMMANDS_BYTES_MAX = 16 * 1024 * 1024
_COMMAND = re.compile(rb"([0-9a-f]{40}) ([0-9a-f]{40}) ([^\0\n]+)\Z")


class Rules(NamedTuple):
    """What a client may do: of which branch the repository is (None: all), which branches of the
    store it may write, and whether it may throw commits away."""

    branch: str | None
    may_write: Callable[[str], bool]
    forced: bool


class Command(NamedTuple):
    """One ref to be changed; an id of zeros stands for none."""

    old: bytes
    new: bytes
    name: bytes


class Push(NamedTuple):
    """What a client asks for; its pack begins at `at`."""

    commands: list[Command]
    capabilities: set[bytes]
    at: int


def advertisement(repository: Shown) -> bytes:
    """The refs, with what a push may ask for."""
    return b"".join([*ref_lines(repository, list(_CAPABILITIES), head=False), FLUSH])


def parsed(file: BinaryIO) -> Push:
    """The commands of a push. Raises BadRequest."""
    file.seek(0)
    commands, capabilities = [], set[bytes]()
    while packet := _packet(file):
        words, _, rest = packet.partition(b"\0")
        capabilities |= set(rest.split())
        if words.startswith((b"shallow ", b"push-cert")):
            raise BadRequest("pushing from a shallow clone, or signed, is not supported")
        found = _COMMAND.match(wire.text(words))
        if found is None:
            raise BadRequest(f"protocol error: expected old/new/ref, got {words[:200]!r}")
        old, new = wire.git_id(found[1]), wire.git_id(found[2])
        commands.append(Command(old, new, found[3]))
        if file.tell() > _COMMANDS_BYTES_MAX:
            raise BadRequest("too many commands")
    names = [command.name for command in commands]
    if len(set(names)) != len(names):
        raise BadRequest("multiple updates for one ref are not allowed")
    return Push(commands, capabilities, file.tell())


def _packet(file: BinaryIO) -> bytes:
    """The next packet, empty for the flush that ends the commands. Raises BadRequest."""
    head = file.read(4)
    if head == FLUSH:
        return b""
    length = wire.length_of(head)
    data = file.read(length - 4) if length > 4 else b""
    if length <= 4 or len(data) != length - 4:
        raise BadRequest("the remote end hung up unexpectedly")
    return data


# --- the whole --------------------------------------------------------------------------------


def receive(store: Store, file: BinaryIO, rules: Rules) -> Beside:
    """Do what a push asks for; what it is answered. `file` has all that the client sent.

    Raises BadRequest for what is no push.
    """
    push: Push = yield partial(parsed, file)
    incoming: Incoming | None = None
    said = b""
    results: dict[bytes, str] = {}
    unpack = b"ok"
    try:
        if any(command.new != NOTHING for command in push.commands):
            incoming = yield partial(Incoming, file, push.at)
        results = yield from _received(store, incoming, push, rules)
    except Unpacked as error:
        said, unpack = str(error).encode() + b"\n", b"index-pack abnormal exit"
    except (errors.StoreError, BadObject, OSError) as error:
        unpack = " ".join(str(error).split()).encode("utf-8", "replace")
    finally:
        if incoming is not None:
            incoming.close()
    if unpack != b"ok":
        results = {command.name: "unpacker error" for command in push.commands}
    return _report(push, said, unpack, results)


def _report(push: Push, said: bytes, unpack: bytes, results: dict[bytes, str]) -> bytes:
    lines = [line(b"unpack " + unpack)]
    for command in push.commands:
        reason = results[command.name]
        told = b"ng %s %s" % (command.name, reason.encode()) if reason else b"ok " + command.name
        lines.append(line(told))
    if b"report-status" not in push.capabilities:
        lines = []
    report = b"".join([*lines, FLUSH])
    if b"side-band-64k" not in push.capabilities:
        return report
    return b"".join([*band(2, said), *band(1, report), FLUSH])


class New(NamedTuple):
    """What a command's new id is: the store's commit, and the tag objects that lead to it."""

    commit: bytes
    tags: tuple[bytes, ...]


def _received(store: Store, incoming: Incoming | None, push: Push, rules: Rules) -> Beside:
    """Bring the commits in and change the refs; name -> why it was not changed, or nothing."""
    with store.held():
        work = Work(store.engine)
        try:
            found: dict[bytes, New] = {}
            if incoming is not None:
                incoming.history = History(store.engine, work.view, work.stored)
                yield incoming.check_absent
                ids = [command.new for command in push.commands if command.new != NOTHING]
                chains = yield partial(peeled, incoming, work, ids)
                tips = [commit for commit, _ in chains.values()]
                order = yield partial(unknown, incoming, work, tips)
                now_ns = store.engine.now()
                owner = owner_of(store, push.commands, rules)
                yield from importing.translated(
                    store, work, incoming, order, now_ns, _pass, owner=owner
                )
                for oid, (commit, tags) in chains.items():
                    known = work.commit_of(commit)
                    if known is not None:
                        found[oid] = New(known, tags)
            pairs = [
                (found[c.new].commit, newest_of(store, c.name))
                for c in push.commands
                if c.new in found and c.name.startswith(HEADS)
            ]
            follows = yield partial(following, work, pairs)
            return _changed(store, push, found, rules, follows)
        finally:
            work.close()


def owner_of(store: Store, commands: Sequence[Command], rules: Rules) -> Owner:
    """Whose the root of a new history is: the branch's that it is pushed to, or is made beside."""
    names = [branch_of(store, command.name) for command in commands]
    name = next((name for name in names if name is not None), None) or _home(store, rules)
    if name is None:
        return NOBODYS
    tree = store.tree(name)
    root = tree.getattr(tree.root)
    return Owner(root.uid, root.gid)


def _pass(count: int) -> None:
    """Nobody hears of progress."""


def peeled(
    incoming: Source, work: Work, ids: list[bytes]
) -> dict[bytes, tuple[bytes, tuple[bytes, ...]]]:
    """The commits behind ids, with the tag objects on the way; what is no commit is left out."""
    found = {}
    for oid in ids:
        tags: list[bytes] = []
        at, kind = oid, 0
        while kind != COMMIT:
            if work.commit_of(at) is not None:
                break
            ((_, kind, data),) = incoming.read([at])
            if kind == COMMIT:
                break
            if kind != TAG or isinstance(data, Large):
                at = b""
                break
            tags.append(data)
            at, _ = tag_target(data)
        if at:
            found[oid] = at, tuple(tags)
    return found


def unknown(incoming: Source, work: Work, tips: list[bytes]) -> list[bytes]:
    """The commits that tips lead to and that are not known, parents first."""
    found: list[bytes] = []
    open_: set[bytes] = set()
    closed: set[bytes] = set()
    todo = list(tips)
    while todo:
        oid = todo[-1]
        if oid in closed or (oid not in open_ and work.commit_of(oid) is not None):
            todo.pop()
        elif oid in open_:
            todo.pop()
            closed.add(oid)
            found.append(oid)
        else:
            open_.add(oid)
            ((_, kind, data),) = incoming.read([oid])
            if kind != COMMIT or isinstance(data, Large):
                raise BadObject(f"{oid.hex()} is no commit")
            todo += [p for p in parse_commit(data).parents if p not in open_]
    return found


# --- refs -------------------------------------------------------------------------------------


def _changed(
    store: Store, push: Push, found: dict[bytes, New], rules: Rules, follows: Follows
) -> dict[bytes, str]:
    """Change all refs that may be changed, in one step."""
    results = {c.name: refusal(store, c, found, rules, follows) for c in push.commands}
    results |= clashes(store, rules, [c.name for c in push.commands if _is_new(c, results)])
    if b"atomic" in push.capabilities:
        for c in push.commands:
            branch = branch_of(store, c.name) if c.name.startswith(HEADS) else None
            if not results[c.name] and branch is not None and c.new != NOTHING:
                allowed = None if rules.forced else follows
                results[c.name] = obstacle(store, branch, found[c.new].commit, allowed)
        if any(results.values()):
            return {n: reason or "atomic transaction failed" for n, reason in results.items()}
    for command in push.commands:
        if not results[command.name]:
            results[command.name] = done(store, command, found.get(command.new), rules, follows)
    return results


def refusal(
    store: Store, command: Command, found: dict[bytes, New], rules: Rules, follows: Follows
) -> str:
    """Why a ref may not be changed; nothing if it may."""
    name = command.name
    if not is_ref(name):
        return "funny refname"
    branch = branch_of(store, name) if name.startswith(HEADS) else _home(store, rules)
    if branch is None and name.startswith(TAGS):
        return "there is no branch to keep a tag with"
    if not rules.may_write(branch or store_name(name[len(HEADS) :])):
        return "the branch is read-only"
    current = _current(store, name, rules)
    if current != command.old:
        return "fetch first"
    if command.new == NOTHING:
        if not rules.forced or current == NOTHING:
            return "deletion prohibited"
        is_clean = name.startswith(TAGS) or store.history.is_clean(branch or "")
        return "" if is_clean else "has changes that are in no snapshot"
    new = found.get(command.new)
    if new is None:
        return "missing necessary objects, or no commit"
    if name.startswith(TAGS):
        return "" if current == NOTHING or rules.forced else "already exists"
    if new.tags:
        return "a branch cannot be a tag"
    if branch is None or current == NOTHING or rules.forced:
        return ""
    return "" if (new.commit, newest_of(store, name)) in follows else "non-fast-forward"


def _is_new(command: Command, results: dict[bytes, str]) -> bool:
    return NOTHING == command.old != command.new and not results[command.name]


def clashes(store: Store, rules: Rules, names: list[bytes]) -> dict[bytes, str]:
    """Which new refs cannot be beside others, and why: to git a ref is a file, and what is above it
    in its name are directories."""
    found: dict[bytes, str] = {}
    taken = {*branch_names(store), *tag_names(store), *tag_names(store, rules.branch)}
    inside = {folder: name for name in taken for folder in folders(name)} if names else {}
    for name in names:
        here = inside.get(name) or next((f for f in folders(name) if f in taken), b"")
        if here:
            old, new = (full.decode("utf-8", "replace") for full in (here, name))
            found[name] = f"'{old}' exists; cannot create '{new}'"
        else:
            taken.add(name)
            inside |= dict.fromkeys(folders(name), name)
    return found


def _home(store: Store, rules: Rules) -> str | None:
    """The branch whose snapshots new tags become."""
    if rules.branch is not None:
        return rules.branch
    names = branch_names(store)
    found = [names.get(HEADS + b"main"), names.get(HEADS + b"master"), *names.values()]
    return next((name for name in found if name is not None), None)


def _current(store: Store, name: bytes, rules: Rules) -> bytes:
    """The id that a ref has now."""
    rows = GitRows(store.engine)
    for tip in tips(store, rules.branch if name.startswith(TAGS) else None):
        record = rows.commit(tip.commit)
        if tip.name == name and record is not None:
            return object_id(TAG, tip.tags[0]) if tip.tags else record.id
    return NOTHING


def done(store: Store, command: Command, new: New | None, rules: Rules, follows: Follows) -> str:
    """Change a ref; why not, if not."""
    name = command.name
    if name.startswith(TAGS):
        number = tag_names(store, rules.branch).get(name)
        if new is None or number is not None:
            store.history.delete_snapshot(number or 0)
        home = _home(store, rules)
        if new is not None and home is not None:
            put_tag(store, home, Wanted(name, new.commit, new.tags))
        return ""
    branch = branch_of(store, name)
    if new is None:
        store.delete_branch(branch or "")
        return ""
    made = branch is None
    branch = branch or new_branch(store, name)
    reason = moved(store, branch, new.commit, None if rules.forced else follows)
    if reason and made:
        store.delete_branch(branch)
    return reason or ""
