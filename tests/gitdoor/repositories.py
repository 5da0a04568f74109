"""Stock git for tests: repositories made with it, and what it says of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ann Author",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Carl Committer",
    "GIT_COMMITTER_EMAIL": "carl@example.org",
}


class Git:
    """A repository, or a place for one; time goes on by a minute with every commit."""

    def __init__(self, path: Path, minutes: int = 0) -> None:
        self.path = path
        self._minutes = minutes

    def __call__(self, *words: str | bytes | Path, given: bytes = b"", code: int = 0) -> str:
        """Run a git command; what it prints, both ways where it fails."""
        done = self.run(*words, given=given)
        text = done.stdout.decode("utf-8", "surrogateescape")
        assert done.returncode == code, (words, text, done.stderr.decode("utf-8", "replace"))
        return text + done.stderr.decode("utf-8", "replace") if code else text

    def run(
        self, *words: str | bytes | Path, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        date = f"{1_600_000_000 + 60 * self._minutes} +0200"
        dates = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        command: list[str | bytes | Path] = ["git", "-c", "protocol.file.allow=always", *words]
        where = self.path if self.path.exists() else self.path.parent
        return subprocess.run(
            command,
            cwd=where,
            input=given,
            capture_output=True,
            check=False,
            env={**ENVIRONMENT, **dates},
        )

    def init(self) -> Git:
        self.path.mkdir(parents=True)
        self("init", "-q", "-b", "main")
        return self

    def commit(self, message: str = "a commit", *words: str) -> str:
        """Commit everything; its id."""
        self._minutes += 1
        self("add", "-A")
        self("commit", "-q", "--allow-empty", "-m", message, *words)
        return self("rev-parse", "HEAD").strip()

    def merge(self, *words: str, code: int = 0) -> None:
        self._minutes += 1
        self("merge", "-q", "--no-ff", "-m", "a merge", *words, code=code)

    def write(self, path: str | bytes, data: bytes | str = b"") -> Path:
        """Write a file, and the directories that it is in."""
        found = Path(os.fsdecode(os.path.join(os.fsencode(self.path), os.fsencode(path))))
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(data.encode() if isinstance(data, str) else data)
        return found

    def refs(self) -> dict[str, str]:
        """Branches and tags with the objects that they name, tag objects as they are."""
        lines = self("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
        others = ("refs/remotes/", "refs/fsgw/")
        return dict(line.split(" ") for line in lines if not line.startswith(others))

    def objects(self) -> set[str]:
        """Ids of all objects that refs lead to."""
        return set(self("rev-list", "--all", "--objects", "--no-object-names").split())

    def fsck(self) -> None:
        """All is well, and nothing is said against it."""
        done = self.run("fsck", "--strict", "--full")
        assert done.returncode == 0, done.stderr.decode()
        assert b"error" not in done.stderr, done.stderr.decode()


def cloned(url: str, path: Path, *options: str, version: int = 2) -> Git:
    """A clone, which git finds nothing wrong with."""
    words = ("-c", f"protocol.version={version}", "clone", "-q", *options, url)
    Git(path.parent)(*words, path)
    git = Git(path, minutes=2000)
    if not any(option.startswith("--filter") for option in options):
        git.fsck()
    return git


def of_everything(path: Path) -> Git:
    """A history with something of everything that git can say."""
    git = Git(path).init()
    git.write("readme", "first\n")
    git.write("src/main.c", "int main;\n" * 50)
    git.write("src/deep/er/file", b"\0binary\xff" * 1000)
    git.write(b"n\xe9\xff name", b"not UTF-8")
    git.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (path / "link").symlink_to("src/main.c")
    (path / "src" / "up").symlink_to("..")
    git.write("empty", b"")
    git.write("sorts", b"1")
    git.write("sorts-a", b"2")
    git.write("sorts.d/x", b"3")
    git.commit("root\n\nwith a body\n")
    git("tag", "light")
    git.write("readme", "second\n")
    (path / "src" / "main.c").rename(path / "src" / "moved.c")
    git.commit("rename\u00e9")
    git("tag", "-a", "-m", "annotated\n\nwith text", "v1.0")
    git("tag", "-a", "-m", "of a tag", "nested", "v1.0")
    git("checkout", "-q", "-b", "feature/one", "HEAD~1")
    git.write("one", "one\n")
    (path / "empty").unlink()
    (path / "empty").mkdir()
    git.write("empty/now a directory", "x")
    git.commit("one")
    git("checkout", "-q", "-b", "two", "main")
    git.write("two", "two\n")
    (path / "run.sh").chmod(0o644)
    git.commit("two")
    git("checkout", "-q", "-b", "three", "main")
    git.write("three", "three\n")
    (path / "link").unlink()
    git.write("link", "a file now")
    git.commit("three")
    git("checkout", "-q", "main")
    git.write("main", "main\n")
    git.commit("on main", "--author", "Zo\u00eb <z@example.org>")
    git.merge("two", "three")  # an octopus
    git.merge("feature/one")
    git("checkout", "-q", "--orphan", "other")
    git("rm", "-rfq", ".")
    git.commit("a second root, with an empty tree")
    git.write("other", "other\n")
    git.commit("other")
    git("checkout", "-q", "main")
    git.merge("--allow-unrelated-histories", "other")
    git.write("last", "last\n")
    git.commit("last")
    _by_hand(git)
    return git


def _by_hand(git: Git) -> None:
    """A branch of commits that no command of git makes any more, but that git accepts."""
    tip = git("rev-parse", "main").strip()
    blob = git("rev-parse", "main:last").strip()
    empty = git("mktree", given=b"").strip()
    lines = [
        f"100644 blob {blob}\tplain",
        f"040000 tree {empty}\tnothing in it",
        f"160000 commit {tip}\tsubmodule",
    ]
    tree = git("mktree", given="\n".join(lines).encode()).strip()
    raw = (
        f"tree {tree}\nparent {tip}\nauthor No Mail <> 12345 -0130\n"
        "committer C <c@example.org> 1700000000 +1400\nencoding ISO-8859-1\n"
        "gpgsig -----BEGIN PGP SIGNATURE-----\n \n abc\n -----END PGP SIGNATURE-----\n\n"
    ).encode() + b"caf\xe9 without a newline"
    oid = git("hash-object", "-t", "commit", "-w", "--stdin", given=raw).strip()
    git("update-ref", "refs/heads/by-hand", oid)
