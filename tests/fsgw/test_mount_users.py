"""Mounts by mount(8) and /etc/fstab, and by users who are not root."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from fuse import mounting
from store.store import Store
from tests.fsgw.helpers import Fsgw
from tests.fsgw.mounted import FSGW, ROOT, place, run
from tests.fsgw.users import NOBODY, User, ordinary_user
from tests.fuse.mounting import require

pytestmark = pytest.mark.root


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Path]:
    """An empty directory to mount on."""
    require()
    with place(tmp_path) as directory:
        yield directory


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program `fsgw` in a directory of its own, as an installation has it."""
    path = tmp_path / "bin" / "fsgw"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\ncd {shlex.quote(str(ROOT))} && exec {shlex.join(FSGW)} "$@"\n')
    path.chmod(0o755)
    return path


def done_well(done: CompletedProcess[str]) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done


# --- mount(8) -------------------------------------------------------------------------------------


def test_as_the_helper_of_mount_calls_it(fsgw: Fsgw, there: Path, program: Path) -> None:
    """mount.fuse3(8) finds `fsgw` by the type, fuse.fsgw, in PATH."""
    if shutil.which("mount.fuse3") is None:
        pytest.skip("no mount.fuse3 (apt-get install fuse3)")
    options = f"rw,noatime,store={fsgw.path},attr_timeout=5"
    words: list[str | Path] = ["mount.fuse3", "main", there, "-t", "fuse.fsgw", "-o", options]
    done_well(run(words, PATH=f"{program.parent}:{os.environ['PATH']}"))
    found = mounting.mounted_at(str(there))
    assert found is not None
    assert (found.type, found.source) == ("fuse.fsgw", b"main")
    (there / "file").write_text("text")
    assert fsgw.lines("umount", there) == [f"unmounted {there}"]
    assert fsgw.lines("cat", "main/file") == ["text"]


def test_a_line_of_fstab(fsgw: Fsgw, there: Path, program: Path, tmp_path: Path) -> None:
    """By mount(8), which passes no PATH on: so the program's place stands in the line."""
    fsgw("snapshot", "create", "main", "--name", "v1")
    table = tmp_path / "fstab"
    options = f"store={fsgw.path},ro,noauto,nofail,_netdev,x-systemd.automount,comment=ours"
    table.write_text(f"{program}#main@v1 {there} fuse {options} 0 0\n")
    done_well(run(["mount", "-T", table, there]))
    found = mounting.mounted_at(str(there))
    assert found is not None
    assert (found.type, found.source) == ("fuse.fsgw", b"main@v1")
    assert fsgw.json("mounts")[0]["source"] == "main@v1"
    assert fsgw.lines("umount", there) == [f"unmounted {there}"]


def test_what_mount_says_of_an_error(fsgw: Fsgw, there: Path, program: Path) -> None:
    done = run(["mount", "-t", "fuse", "-o", f"store={fsgw.path}", f"{program}#nope", there])
    assert done.returncode != 0
    assert "fsgw: no branch, and no commit id of at least 8 hex digits: 'nope'" in done.stderr
    assert mounting.mounted_at(str(there)) is None


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nope"], 2, "Error: No such command 'nope'."),
        (["nope", "relative"], 2, "Error: No such command 'nope'."),
        (["main", "/nowhere", "-x"], 2, "Error: No such option"),
        (["main", "/nowhere", "-o", "sideways"], 3, "fsgw: 'sideways' is no option of a mount; "),
        (["main", "/nowhere"], 3, "fsgw: '/nowhere': No such file or directory"),
    ],
)
def test_words_that_are_no_command(fsgw: Fsgw, words: list[str], code: int, said: str) -> None:
    """Only a source and an absolute path are taken for a mount."""
    done = run([*FSGW, "--store", fsgw.path, *words])
    assert done.returncode == code
    assert done.stderr.splitlines()[-1].startswith(said)


# --- users ----------------------------------------------------------------------------------------


@pytest.fixture
def user() -> Iterator[User]:
    with ordinary_user() as made:
        yield made


def test_a_user_works_on_a_mount_of_their_own(user: User) -> None:
    done = user.run(
        """
        cd "$HOME"; mkdir mount
        fsgw init; fsgw branch create main
        fsgw mount --background main "$HOME/mount"
        id -u; echo text >mount/file; mkdir mount/sub; mv mount/file mount/sub/
        stat -c '%u %a' mount/sub
        grep -o 'nosuid,nodev' /proc/mounts | head -n 1
        ! chown 0 mount/sub 2>/dev/null
        fsgw snapshot create main --name s; cat mount/.snapshots/s/sub/file
        fsgw umount "$HOME/mount"; fsgw cat main/sub/file; fsgw check --data
        """
    )
    done_well(done)
    lines = done.stdout.splitlines()
    assert lines[3:] == [
        *(str(NOBODY), f"{NOBODY} 755", "nosuid,nodev"),
        *(lines[6], "text", f"unmounted {user.home}/mount", "text", "no problems found"),
    ]
    with Store.open(user.home / "store") as store:
        assert store.check() == []


def test_others_are_let_in_only_where_the_system_allows_it(user: User) -> None:
    script = """
        cd "$HOME"; mkdir -p mount
        [ -e store ] || { fsgw init; fsgw branch create main; } >/dev/null
        fsgw mount --background -o allow_other main "$HOME/mount" || { echo "code $?"; exit 0; }
        grep -o 'allow_other' /proc/mounts | head -n 1
        fsgw umount "$HOME/mount"
        """
    done = user.run(script)
    assert done.stdout == "code 3\n"
    said = "option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf"
    assert done.stderr == f"fsgw: '{user.home}/mount': {said}\n"
    user.configure("user_allow_other\n")
    done = user.run(script)
    done_well(done)
    assert "allow_other" in done.stdout.splitlines()


def test_a_directory_that_is_not_theirs(user: User) -> None:
    done = user.run(
        """
        cd "$HOME"; { fsgw init; fsgw branch create main; } >/dev/null
        fsgw mount --background main /mnt || echo "code $?"
        """
    )
    assert done.stdout == "code 3\n"
    assert done.stderr.startswith("fsgw: '/mnt': ")
    assert done.stderr.count("\n") == 1


def test_a_device_that_may_not_be_opened(user: User) -> None:
    (user.home.parent / "dev-fuse").chmod(0o600)
    done = user.run(
        """
        cd "$HOME"; mkdir mount; { fsgw init; fsgw branch create main; } >/dev/null
        fsgw mount --background main mount || echo "code $?"
        """
    )
    assert done.stdout == "code 3\n"
    said = "failed to open /dev/fuse: Permission denied"
    assert done.stderr == f"fsgw: '{user.home}/mount': {said}\n"
