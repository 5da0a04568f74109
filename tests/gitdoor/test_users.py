"""Git by users who are not root: `.git` belongs to whom the branch's root belongs to."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fsgw.mounted import FSGW
from tests.fsgw.users import NOBODY, User, open_room, ordinary_user
from tests.gitdoor.mounted import Scene, scene
from tests.gitdoor.repositories import ENVIRONMENT

pytestmark = pytest.mark.root

ANN, BEN = 61001, 61002
DUBIOUS = "detected dubious ownership in repository"
SETTINGS = " ".join(f"export {name}='{value}';" for name, value in ENVIRONMENT.items())


@pytest.fixture
def user() -> Iterator[User]:
    with ordinary_user() as made:
        yield made


@pytest.fixture
def here() -> Iterator[Scene]:
    with open_room() as room, scene(room) as made:
        yield made


def git_as(user: int, where: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run git as a user who has no settings at all."""
    # The directory that the tests are in may be where only root may look.
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--inh-caps=-all"]
    command = [*become, "git", "-C", where, *words]
    environment = {**ENVIRONMENT, "HOME": "/nonexistent"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def good(user: int, where: Path, *words: str | Path) -> str:
    done = git_as(user, where, *words)
    assert (done.returncode, done.stderr) == (0, ""), (words, done.stderr)
    return done.stdout


def refused(user: int, where: Path, *words: str | Path) -> None:
    done = git_as(user, where, *words)
    assert done.returncode == 128, words
    assert DUBIOUS in done.stderr, done.stderr


def test_whom_the_root_belongs_to_git_works_for(here: Scene) -> None:
    """And for others once they say that they trust it, as with any repository."""
    mounted = here.mount("main", "allow_other").path
    (mounted / "sub").mkdir()
    (mounted / "sub" / "file").write_text("one\n")
    (mounted / "sub").chmod(0o755)
    subprocess.run(["chown", "-R", f"{ANN}:{ANN}", mounted], check=True)
    subprocess.run(["chown", "-R", f"{BEN}:{BEN}", mounted / "sub"], check=True)
    here.snapshot("first", "the first")
    (mounted / "sub" / "file").write_text("two\n")
    sub = here.mount("main/sub", "allow_other").path
    homes = {}
    for who in (ANN, BEN):
        homes[who] = here.room / f"home{who}"
        homes[who].mkdir()
        subprocess.run(["chown", str(who), homes[who]], check=True)
    for where, owner, other, path in ((mounted, ANN, BEN, "sub/file"), (sub, BEN, ANN, "file")):
        for name in ("", "HEAD", "index", "objects", "objects/pack", "refs/heads"):
            assert (where / ".git" / name).stat().st_uid == owner
            assert (where / ".git" / name).stat().st_gid == owner
        assert good(owner, where, "log", "--format=%s") == "the first\n"
        assert good(owner, where, "status", "--porcelain") == f" M {path}\n"
        assert "+two" in good(owner, where, "diff")
        assert good(owner, where, "blame", "-s", "HEAD", "--", path).endswith(" 1) one\n")
        good(owner, where, "fsck", "--strict")
        for number, how in enumerate(([], ["--no-local"], ["--shared"], ["--mirror"])):
            copy = homes[owner] / f"copy{number}"
            good(owner, where, "clone", "-q", *how, ".", copy)
            assert good(owner, copy, "log", "--format=%s") == "the first\n"
        done = git_as(owner, where, "commit", "-a", "-m", "x")
        assert "Read-only file system" in done.stderr
        for who in (other, 0):
            for words in (["log"], ["status"], ["show"]):
                refused(who, where, *words)
            trusting = ["-c", "safe.directory=*"]
            assert good(who, where, *trusting, "log", "--format=%s") == "the first\n"
            assert good(who, where, *trusting, "status", "--porcelain") == f" M {path}\n"
            assert "+two" in good(who, where, *trusting, "diff")
        refused(other, homes[other], "clone", "-q", where, homes[other] / "refused")
        assert not (homes[other] / "refused").exists()


def test_what_a_user_may_not_read_git_does_not_show(here: Scene) -> None:
    """`.git` is as open as the branch's root is: who may not enter that does not get there."""
    mounted = here.mount("main", "allow_other").path
    (mounted / "file").write_text("secret\n")
    subprocess.run(["chown", "-R", f"{ANN}:{ANN}", mounted], check=True)
    here.snapshot("first", "the first")
    mounted.chmod(0o700)
    assert good(ANN, mounted, "show", "HEAD:file") == "secret\n"
    done = git_as(BEN, mounted, "-c", "safe.directory=*", "log")
    assert done.returncode == 128
    assert "Permission denied" in done.stderr


@pytest.mark.slow
def test_a_user_has_a_store_and_a_mount_and_serves_git(user: User) -> None:
    """All by a user without rights: `.git` in a mount, clone and push over HTTP."""
    done = user.run(
        SETTINGS
        + f"""
        export HOME={user.home}; cd "$HOME"; mkdir mount
        fsgw init >/dev/null
        fsgw branch create main >/dev/null
        : >log
        {shlex.join(FSGW)} --store "$HOME/store" serve --port 0 --portmap off --log-format json \\
            --git-listen 127.0.0.1 --git-port 0 >log 2>&1 &
        trap 'kill %1' EXIT
        until grep -q '"ready"' log; do kill -0 $!; done
        port=$(sed -n 's/.*"git_port": *\\([0-9]*\\).*/\\1/p' log)
        fsgw mount main "$HOME/mount" >/dev/null
        cd mount
        mkdir dir; echo one >dir/file
        fsgw snapshot create main --name first -m 'the first' >/dev/null
        stat -c %u . .git .git/HEAD .git/index dir | uniq
        git log --format=%s
        git status --porcelain
        git clone -q . ../copy
        git clone -q http://127.0.0.1:$port/main.git ../clone
        git fsck --strict
        echo own >own
        cd ../clone
        git describe --tags
        echo pushed >dir/pushed; git add dir/pushed; git commit -qm pushed; git push -q
        cd ../mount
        cat dir/pushed; git log -1 --format=%s; git status --porcelain; stat -c %u dir/pushed
        echo more >>dir/pushed; git diff --stat | tail -n 1
        cd ..
        git -C copy pull -q; cat copy/dir/pushed
        fsgw umount "$HOME/mount" >/dev/null
        trap - EXIT
        kill %1; wait %1
        fsgw check --data
        """
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.splitlines() == [
        *(str(NOBODY), "the first", "first"),
        *("pushed", "pushed", "?? own", str(NOBODY), " 1 file changed, 1 insertion(+)"),
        *("pushed", "no problems found"),
    ]
