"""The same commands on the same history, here and in a plain repository: git says the same.

`all.git` of a gateway and a bare repository stand side by side. Each row of a table is a clone, and
commands in it; what they print, on either stream, and how they end must be equal but for where
the clone and its origin are. Both origins then grow by the same pushes.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.gitdoor.crafted import Door
from tests.gitdoor.plain import plain_http
from tests.gitdoor.repositories import Git

# What a clone has: refs, objects (`?`: promised), where its history is cut, and what it lacks.
HAS = """
    for-each-ref --format="%(refname) %(objectname) %(*objectname) %(symref)"
    rev-list --objects --all --missing=print
    rev-parse --is-shallow-repository
    log --graph --oneline --decorate --all
    fsck --strict
"""


class Side:
    """One of the two: clones of its origin, each in a directory of its own."""

    def __init__(self, url: str, room: Path) -> None:
        self.url, self.room = url, room
        room.mkdir()
        self.clones: dict[str, Git] = {}

    def clone(self, name: str, options: str = "") -> str:
        """Make one; what git says of it."""
        git = self.clones[name] = Git(self.room / name, minutes=2000)
        words = shlex.split(f"clone {options} {self.url}")
        done = git.run("-c", "advice.detachedHead=false", *words, git.path)
        return self._told(done.returncode, done.stdout + done.stderr)

    def run(self, name: str, command: str) -> str:
        """What a command says, in one of the clones; `URL` in it is the origin's, `HERE` a
        directory for its results."""
        words = [w.replace("URL", self.url) for w in shlex.split(command)]
        words = [w.replace("HERE", str(self.room)) for w in words]
        done = self.clones[name].run(*words)
        out = done.stdout
        if command.startswith("rev-list --objects") or "--batch-all-objects" in command:
            out = b"\n".join(sorted(out.splitlines()))
        if out.count(b"\0") > 100:
            out = hashlib.sha256(out).hexdigest().encode()
        return self._told(done.returncode, out + b"\n" + done.stderr)

    def _told(self, code: int, text: bytes) -> str:
        text = text.replace(self.url.encode(), b"URL").replace(str(self.room).encode(), b"HERE")
        text = text.replace(self.url.removesuffix(".git").encode(), b"URL")
        lines = [line for line in text.splitlines() if not line.startswith(b"remote: ")]
        return f"exit code {code}\n" + b"\n".join(lines).decode("utf-8", "backslashreplace")

    def commit(self, name: str, files: dict[str, str], message: str) -> None:
        """Commit in a clone; both sides make the same commit."""
        git = self.clones[name]
        for path, text in files.items():
            git.write(path, text)
        git.commit(message)


class Pair:
    """Both."""

    def __init__(self, ours: Side, plain: Side) -> None:
        self._sides = ours, plain

    def each(self, do: Callable[[Side], str]) -> list[str]:
        """What each says."""
        return [do(side) for side in self._sides]

    def clones(self, name: str) -> list[Git]:
        """The two of one name."""
        return [side.clones[name] for side in self._sides]

    def same(self, do: Callable[[Side], str]) -> str:
        """What both say."""
        ours, plain = self.each(do)
        assert ours == plain
        return ours

    def clone(self, name: str, options: str = "") -> str:
        """Make a clone of each."""
        return self.same(lambda side: side.clone(name, options))

    def run(self, name: str, commands: str) -> list[str]:
        """Commands, one a line, in a clone of each: what they say."""
        found = [line.strip() for line in commands.splitlines() if line.strip()]
        return [self.same(partial(Side.run, name=name, command=one)) for one in found]

    def good(self, name: str, commands: str) -> list[str]:
        """The same for commands that must end well."""
        told = self.run(name, commands)
        assert all(text.startswith("exit code 0\n") for text in told), told
        return told

    def commit(self, name: str, files: dict[str, str], message: str = "more") -> None:
        """Commit the same in a clone of each."""
        for side in self._sides:
            side.commit(name, files, message)


@pytest.fixture(scope="module")
def pair(door: Door, original: Git, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A gateway and a bare repository with the same history."""
    room = tmp_path_factory.mktemp("pair")
    bare = Git(room / "all.git")
    original("clone", "-q", "--mirror", "--no-local", original.path, bare.path)
    for key in (
        "uploadpack.allowFilter",
        "uploadpack.allowReachableSHA1InWant",
        "receive.denyNonFastForwards",
        "receive.denyDeletes",
    ):
        bare("config", key, "true")
    with plain_http(room) as url:
        made = Pair(Side(f"{door.url}/all.git", room / "a"), Side(f"{url}/all.git", room / "b"))
        made.clone("common", "-q")
        made.clone("writer", "-q")
        yield made
        # Whatever was pushed to both, both have it.
        made.clone("at the end", "-q --mirror")
        made.good("at the end", HAS)


# --- reading ------------------------------------------------------------------------------------

READS = """
    ls-remote URL
    ls-remote --heads URL
    ls-remote --tags URL
    ls-remote --refs --sort=-version:refname URL
    ls-remote --symref URL HEAD
    ls-remote URL t* refs/heads/main
    remote show origin
    log --stat --summary --format=fuller --all
    log --follow --name-status -- src/moved.c
    log --follow -p -- src/moved.c
    log -p -m --first-parent main --
    log -c --raw
    log --graph --format="%H %P %an %ae %at %cn %ce %ct %s%n%b%n%N" --all
    log --all --full-history --simplify-merges --oneline -- readme
    log -S second --oneline
    log -L 1,1:readme --oneline
    shortlog -sne --all
    blame readme
    blame --line-porcelain -C -C src/moved.c
    blame -s main~2 -- main
    show --stat --pretty=raw main v1.0 nested light origin/by-hand --
    show main:link main:src/moved.c
    diff light main --
    diff --stat -M light v1.0
    diff --name-status origin/two...origin/three
    diff --raw --full-index main origin/feature/one --
    diff-tree -r -t --root main~1
    archive --format=tar main
    archive --format=tar --prefix=x/ v1.0 src
    rev-list --objects --all
    rev-list --count --left-right origin/two...origin/three
    rev-list --topo-order --parents --all
    rev-list --disk-usage --use-bitmap-index main -- nothing
    cat-file --batch-all-objects --batch-check
    cat-file -p origin/by-hand
    ls-tree -r -t -l main
    ls-files -s
    describe --tags --all main~3
    describe --always --long origin/two
    name-rev --tags light v1.0^{}
    merge-base --all origin/two origin/three
    merge-base --octopus main origin/two origin/three
    branch -a -v --contains light
    branch -r --merged main
    tag -l -n5 --format="%(refname) %(objecttype) %(contents)"
    format-patch --stdout light..v1.0
    cherry -v origin/two origin/three
    range-diff light..origin/two light..origin/three
    grep -n int main -- src
    status --porcelain=v2 --branch
    bundle create HERE/bundle --all
    bundle list-heads HERE/bundle
    bundle verify HERE/bundle
    clone -q --mirror HERE/bundle HERE/from-bundle
    -C HERE/from-bundle rev-list --objects --all
    fsck --full --strict
    verify-tag v1.0
    subtree split -q --prefix=src
"""


def test_what_a_clone_says(pair: Pair) -> None:
    told = pair.run("common", READS)
    commands = [line.strip() for line in READS.splitlines() if line.strip()]
    ended = {c: int(t.split()[2]) for c, t in zip(commands, told, strict=True)}
    assert [c for c, code in ended.items() if code] == ["verify-tag v1.0"]


CLONES = {
    "--mirror": "remote show origin",
    "--bare": "show-ref",
    "--no-checkout": "status --porcelain",
    "--branch two": "status --branch --porcelain",
    "--branch v1.0": "describe",
    "--branch feature/one --single-branch": "fetch --all --tags",
    "--single-branch --no-tags": "fetch origin tag light",
    "--origin elsewhere": "branch -a",
    "--depth 1": """
        log --format=%H
        fetch --depth 2
        rev-list --objects --all
        fetch --deepen 1
        rev-list --objects --all
        fetch --unshallow
        rev-list --objects --all
        """,
    "--depth 3 --no-single-branch": """
        fetch --deepen 1 origin two
        rev-list --objects --all
        fetch --depth 1
        rev-list --objects HEAD
        fetch --shallow-exclude=light
        rev-list --objects HEAD
        """,
    "--shallow-since=1600000610": """
        log --format=%ct
        fetch --shallow-since=1600000050
        rev-list --objects --all
        """,
    "--shallow-exclude=light": "fetch --shallow-exclude=v1.0",
    "--depth 2 --branch two": "fetch --depth 2 origin three feature/one",
    "--filter=blob:none": """
        log -p -m --stat main --
        rev-list --objects --all --missing=print
        diff light origin/by-hand
        blame -C src/moved.c
        checkout -q two --
        status --porcelain
        rev-list --objects --all --missing=print
        archive origin/feature/one
        rev-list --objects --all --missing=print
        """,
    "--filter=blob:none --no-checkout --depth 1": """
        rev-list --objects --all --missing=print
        show HEAD:readme
        fetch --deepen 2
        rev-list --objects --all --missing=print
        """,
    "--filter=blob:limit=100 --bare": """
        rev-list --objects --all --missing=print
        cat-file -p main:src/moved.c
        rev-list --objects --all --missing=print
        """,
    "--filter=tree:0 --no-checkout": """
        rev-list --objects --all --missing=print
        log --oneline --all
        ls-tree -r main
        rev-list --objects --all --missing=print
        show --stat main~2
        checkout -q main
        status --porcelain
        """,
    "--filter=tree:0 --no-checkout --single-branch": "fetch origin two",
}


# Those in which the version of the protocol makes a difference.
OLD = (
    "--depth 1",
    "--shallow-exclude=light",
    "--filter=blob:none",
    "--filter=tree:0 --no-checkout",
)


@pytest.mark.parametrize(
    ("options", "version"), [*((one, 2) for one in CLONES), *((one, 0) for one in OLD)]
)
def test_a_clone(pair: Pair, options: str, version: int) -> None:
    name = f"{options}{version}".replace("/", "-")
    pair.clone(name, f"--config=protocol.version={version} {options}")
    pair.run(name, HAS)
    pair.good(name, CLONES[options].replace("fetch", "fetch -q"))
    pair.run(name, HAS)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--branch nope", "Remote branch nope not found in upstream origin"),
        ("--shallow-exclude nope", "ambiguous deepen-not: deepen-not nope"),
        ("--shallow-exclude main", "no commits selected for shallow requests"),
        ("--shallow-since=2100000000", "no commits selected for shallow requests"),
        ("--depth 0", "depth 0 is not a positive number"),
        ("--filter=tree:1", "invalid filter-spec 'tree:1'"),
    ],
)
def test_a_clone_that_is_refused(pair: Pair, options: str, said: str) -> None:
    """git's server ends in the middle, and its client says that, or something near it."""
    ours, plain = pair.each(lambda side: side.clone(options, options))
    assert said in ours
    assert ours.startswith("exit code 128\n")
    assert plain.startswith("exit code 128\n") or "filter" in options  # git has more of them
    assert not pair.clones(options)[0].path.exists()


# --- both grow ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_pulls_and_pushes(pair: Pair) -> None:
    """Two who work together, over both origins; the commits are the same to the last bit."""
    pair.good("writer", "checkout -q -b work")
    for name in ("puller", "shallow --depth 1", "partial --filter=blob:none", "mirror --mirror"):
        pair.clone(name.partition(" ")[0], f"-q {name.partition(' ')[2]}")
    pair.commit("writer", {"theirs": "1\n", "src/moved.c": "int more;\n" * 60}, "theirs")
    pair.good("writer", "push --porcelain origin work:main work:refs/heads/work HEAD:refs/tags/t1")
    # A merge.
    pair.commit("puller", {"mine": "1\n"}, "mine")
    pair.run("puller", "push --porcelain")  # refused: fetch first
    pair.good(
        "puller",
        """
        pull --no-rebase --no-commit
        commit -q -m merged
        log --graph --format="%H %P %s"
        log --stat -3
        status --branch --porcelain
        push --porcelain --follow-tags
    """,
    )
    # A rebase, of several commits and of one that is there already.
    for number in range(3):
        pair.commit("writer", {f"more{number}": f"{number}\n"}, f"more {number}")
    pair.run("writer", "push --porcelain origin HEAD:main")
    pair.good(
        "writer",
        """
        pull --rebase origin main
        log --format="%H %P %s" -6
        push --porcelain origin HEAD:main
        push --porcelain origin HEAD:main
    """,
    )
    # A conflict, and its end.
    pair.commit("writer", {"readme": "one says\n"}, "one says")
    pair.good("writer", "push -q origin HEAD:main")
    pair.commit("puller", {"readme": "other says\n"}, "other says")
    told = pair.run("puller", "pull --no-rebase")
    assert "CONFLICT (content)" in told[0]
    pair.good(
        "puller",
        """
        checkout --ours readme
        add readme
        commit -q -m settled
        push --porcelain
        blame readme
    """,
    )
    # What must not be.
    pair.good("writer", "fetch -q")
    pair.good("writer", "reset -q --hard origin/main~2")
    pair.commit("writer", {"instead": "1\n"}, "instead")
    for refused in (
        "push --porcelain origin HEAD:main",
        "push --porcelain origin +HEAD:main",
        "push --porcelain origin :two",
        "push --porcelain --atomic origin HEAD:main HEAD:refs/heads/fresh",
        "push --porcelain --force-with-lease=main:light origin HEAD:main",
        "push --porcelain origin HEAD:refs/tags/light",
        "push --porcelain origin nothing:main",
    ):
        (text,) = pair.run("writer", refused)
        assert text.startswith("exit code 1\n"), text
    beside = "push --porcelain origin HEAD:refs/heads/main/x"
    ours, plain = pair.each(lambda side: side.run("writer", beside))
    assert "('refs/heads/main' exists; cannot create 'refs/heads/main/x')" in ours
    assert "(failed to update ref)" in plain
    pair.good(
        "writer",
        """
        ls-remote URL
        tag -a -m annotated v2
        push --porcelain origin v2 HEAD:refs/heads/deep/er/branch
        push --porcelain --dry-run origin HEAD:refs/heads/x
    """,
    )
    # Clones of before catch up.
    pair.good("mirror", "fetch --prune")
    pair.good("shallow", "fetch -q --depth 2")
    pair.run("shallow", HAS)
    pair.good("shallow", "pull -q --ff-only --unshallow")
    pair.good(
        "partial",
        """
        pull -q --ff-only
        fetch -q --tags origin +refs/heads/*:refs/x/*
        diff --stat light HEAD --
    """,
    )
    for name in ("mirror", "shallow", "partial", "puller"):
        pair.run(name, "fetch -q")
        pair.run(name, HAS)
