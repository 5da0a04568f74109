"""`fsgw mount`, `umount` and `mounts`, with a gateway and without, and every error of a user.

What a mount shows is for `tests/fuse`.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuse import mounting
from tests.fsgw.helpers import Fsgw
from tests.fsgw.mounted import FSGW, foreground, place, run
from tests.fsgw.served import serving
from tests.fuse.mounting import require

pytestmark = pytest.mark.root

MOUNT_KEYS = {"directory", "source", "options", "since_ns", "requests", "nodes"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[Path]:
    """An empty directory to mount on."""
    require()
    with place(tmp_path) as directory:
        yield directory


def one_error(fsgw: Fsgw, *words: str | Path, code: int = 3) -> str:
    """The one line that a command ends with."""
    line: str = fsgw(*words, code=code).stderr
    assert line.startswith("fsgw: ")
    assert line.count("\n") == 1
    return line.removeprefix("fsgw: ").rstrip("\n")


def background(fsgw: Fsgw, *words: str | Path) -> str:
    """Mount with a gateway that goes on by itself; what was printed."""
    done = run([*FSGW, "--store", fsgw.path, "mount", "--background", *words])
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# --- with a gateway -------------------------------------------------------------------------------


def test_through_a_gateway(fsgw: Fsgw, there: Path) -> None:
    with serving(fsgw.path):
        assert fsgw.json("mounts") == []
        assert fsgw.lines("mount", "main", there) == [f"mounted main on {there}"]
        (there / "file").write_text("text")
        (row,) = fsgw.json("mounts")
        assert set(row) == MOUNT_KEYS
        assert (row["source"], row["directory"], row["options"]) == ("main", str(there), [])
        head, line = fsgw.lines("mounts")
        assert head.split() == ["SOURCE", "DIRECTORY", "SINCE", "REQUESTS", "NODES", "OPTIONS"]
        assert line.split()[:2] == ["main", str(there)]
        (status,) = fsgw.json("status")
        assert status["doors"]["fuse"]["mounts"] == 1
        assert fsgw.lines("umount", there) == [f"unmounted {there}"]
        assert not there.is_mount()
        assert fsgw.json("mounts") == []
        assert fsgw.lines("cat", "main/file") == ["text"]


def test_options_are_those_that_were_given(fsgw: Fsgw, there: Path) -> None:
    with serving(fsgw.path):
        fsgw("mount", "main", there, "-o", "noatime,allow_other", "-o", "attr_timeout=2")
        (row,) = fsgw.json("mounts")
        assert row["options"] == ["noatime", "allow_other", "attr_timeout=2"]
        (found,) = [m for m in mounting.mount_points() if m.directory == os.fsencode(there)]
        assert (found.type, found.source) == ("fuse.fsgw", b"main")
        line = next(x for x in Path("/proc/mounts").read_text().splitlines() if str(there) in x)
        assert {"noatime", "allow_other", "default_permissions"} <= set(line.split()[3].split(","))


def test_a_relative_directory_and_one_behind_a_link(
    fsgw: Fsgw, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(there.parent)
    (there.parent / "link").symlink_to(there)
    with serving(fsgw.path):
        for name in (there.name, "link", f"./{there.name}/"):
            assert fsgw.lines("mount", "main", name) == [f"mounted main on {name}"]
            assert there.is_mount()
            assert fsgw.json("mounts")[0]["directory"] == str(there)
            assert fsgw.lines("umount", name) == [f"unmounted {name}"]
            assert not there.is_mount()


@pytest.mark.parametrize("source", ["main@v1", "COMMIT", "main@v1/sub", "main/sub"])
def test_sources(fsgw: Fsgw, source: Path, there: Path, tmp_path: Path) -> None:
    (tmp_path / "content" / "sub").mkdir(parents=True)
    (tmp_path / "content" / "sub" / "file").write_text("text")
    fsgw("import", tmp_path / "content", "main", "--snapshot", "v1")
    (entry,) = fsgw.json("log", "main@v1")
    wanted = str(source).replace("COMMIT", entry["commit"])
    with serving(fsgw.path):
        fsgw("mount", wanted, there)
        root = there if "sub" in wanted else there / "sub"
        assert (root / "file").read_text() == "text"
        if wanted == "main/sub":
            (root / "new").touch()
        else:
            with pytest.raises(OSError, match="Read-only") as caught:
                (root / "new").touch()
            assert caught.value.errno == errno.EROFS


def test_the_gateway_ends_with_its_mounts(fsgw: Fsgw, there: Path, tmp_path: Path) -> None:
    """Those in use too: whoever uses one is told that it is not connected."""
    with place(tmp_path, "used") as used, serving(fsgw.path) as served:
        fsgw("mount", "main", there)
        fsgw("mount", "main", used)
        file = os.open(used / "file", os.O_CREAT | os.O_RDWR)
        os.write(file, b"kept")
        served.signal(signal.SIGTERM)
        assert served.ended() == 0
        assert not there.is_mount()
        assert not used.is_mount()
        with pytest.raises(OSError, match="onnect") as caught:
            os.fstat(file)
        assert caught.value.errno in (errno.ENOTCONN, errno.ECONNABORTED)
        with pytest.raises(OSError, match="onnect"):
            os.close(file)
    assert fsgw.lines("cat", "main/file") == ["kept"]


def test_a_gateway_that_was_killed(fsgw: Fsgw, there: Path) -> None:
    """Its mounts are taken away by `umount`, by the next `mount` there, and by the next gateway."""
    for taken_away in ("umount", "mount", "serve"):
        with serving(fsgw.path) as served:
            fsgw("mount", "main", there)
            served.process.kill()
            served.process.wait()
        with pytest.raises(OSError, match="not connected"):
            os.stat(there)
        if taken_away == "umount":
            assert fsgw.lines("umount", there) == [f"unmounted {there}"]
        elif taken_away == "mount":
            (fsgw.path / "mounts.json").unlink()
            with foreground(fsgw.path, "main", there) as running:
                assert running.said.startswith("mounted")
                fsgw("umount", there)
                assert running.ended() == (0, "")
        else:
            with serving(fsgw.path):
                assert not there.is_mount()
        assert not there.is_mount()


# --- without a gateway ----------------------------------------------------------------------------


def test_in_the_foreground_until_it_is_unmounted(fsgw: Fsgw, there: Path) -> None:
    with foreground(fsgw.path, "main", there) as running:
        assert running.said == f"mounted main on {there}; `fsgw umount` or Ctrl-C ends this\n"
        (there / "file").write_text("text")
        assert fsgw.json("mounts")[0]["source"] == "main"
        assert fsgw.lines("umount", there) == [f"unmounted {there}"]
        assert running.ended() == (0, "")
    assert fsgw.lines("cat", "main/file") == ["text"]


def test_in_the_foreground_until_umount_of_the_system(fsgw: Fsgw, there: Path) -> None:
    with foreground(fsgw.path, "main", there) as running:
        (there / "file").write_text("text")
        subprocess.run(["umount", there], check=True)
        assert running.ended() == (0, "")
    assert fsgw.lines("cat", "main/file") == ["text"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_in_the_foreground_until_a_signal(fsgw: Fsgw, there: Path, number: signal.Signals) -> None:
    with foreground(fsgw.path, "main", there) as running:
        (there / "file").write_text("text")
        running.signal(number)
        assert running.ended() == (0, "")
        assert not there.is_mount()
    assert fsgw.lines("cat", "main/file") == ["text"]


def test_a_signal_ends_a_mount_that_is_in_use(fsgw: Fsgw, there: Path) -> None:
    with foreground(fsgw.path, "main", there) as running:
        held = os.open(there, os.O_RDONLY)
        running.signal(signal.SIGTERM)
        code, told = running.ended()
        assert code == 0
        assert f"{there} is in use" in told
        assert not there.is_mount()
        os.close(held)


def test_in_the_background(fsgw: Fsgw, there: Path, tmp_path: Path) -> None:
    """Other mounts join the gateway that it started; that ends with the last of them."""
    with place(tmp_path, "second") as second:
        assert background(fsgw, "main", there) == f"mounted main on {there}\n"
        assert fsgw.lines("mount", "main", second) == [f"mounted main on {second}"]
        (there / "file").write_text("text")
        assert (second / "file").read_text() == "text"
        assert len(fsgw.json("mounts")) == 2
        fsgw("umount", there)
        assert (second / "file").read_text() == "text"
        fsgw("umount", second)
    assert fsgw.lines("cat", "main/file") == ["text"]


def test_again_and_again(fsgw: Fsgw, there: Path) -> None:
    """A command that comes while the last gateway ends does not stumble over that."""
    for number in range(3):
        background(fsgw, "main", there)
        (there / "file").write_text(f"{number}")
        fsgw("umount", there)
        assert fsgw.lines("cat", "main/file") == [f"{number}"]


# --- errors ---------------------------------------------------------------------------------------


def test_what_is_said_of_a_wrong_mount(fsgw: Fsgw, there: Path, tmp_path: Path) -> None:
    """The same through a gateway, in the foreground, and in the background."""
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "file").touch()
    fsgw("import", tmp_path / "content", "main", "--snapshot", "v1")
    full, file, missing = tmp_path / "content", tmp_path / "content" / "file", tmp_path / "no"
    said: dict[tuple[str | Path, ...], str] = {
        ("main", full): f"'{full}': the directory is not empty (-o nonempty mounts over what is "
        "there)",
        ("main", file): f"'{file}': Not a directory",
        ("main", missing): f"'{missing}': No such file or directory",
        ("main", "/proc"): "'/proc': proc is mounted there already",
        ("nope", there): "no branch, and no commit id of at least 8 hex digits: 'nope'",
        ("main@nope", there): "branch 'main' has no snapshot 'nope'",
        ("main/nope", there): "'main/nope': there is no such directory",
        ("main@v1/file", there): "'main@v1/file': there is no such directory",
        ("main", there, "-o", "sideways"): "'sideways' is no option of a mount; these are: ",
        ("main", there, "-o", "ro=1"): "'ro=1' is no option of a mount; these are: ",
        ("main", there, "-o", "attr_timeout=-1"): "attr_timeout=-1: attr_timeout is a number of "
        "seconds",
        ("main", there, "-o", "snapshots=some"): "snapshots=some: snapshots is one of hidden, "
        "listed, off",
    }

    def say(*options: str) -> list[str]:
        return [one_error(fsgw, "mount", *options, *words) for words in said]

    alone = say()
    for line, (words, expected) in zip(alone, said.items(), strict=True):
        assert line.startswith(expected), words
    assert say("--background") == alone
    with serving(fsgw.path):
        assert say() == alone
    assert not there.is_mount()


def test_a_mount_over_a_mount(fsgw: Fsgw, there: Path) -> None:
    with serving(fsgw.path):
        fsgw("mount", "main", there)
        line = one_error(fsgw, "mount", "main", there)
        assert line == f"'{there}': main is mounted there already"
        fsgw("umount", there)
        (there / "file").touch()
        fsgw("mount", "main", there, "-o", "nonempty")
        assert not (there / "file").exists()
        fsgw("umount", there)
        (there / "file").unlink()


def test_a_mount_that_is_in_use(fsgw: Fsgw, there: Path) -> None:
    with serving(fsgw.path):
        fsgw("mount", "main", there)
        with open(there / "file", "w") as file:
            line = one_error(fsgw, "umount", there)
            assert line == f"'{there}': somebody is using it (--lazy unmounts it all the same)"
            assert there.is_mount()
            assert fsgw.lines("umount", "--lazy", there) == [f"unmounted {there}"]
            assert not there.is_mount()
            file.write("still there")
        assert fsgw.lines("cat", "main/file") == ["still there"]


def test_what_is_said_of_a_wrong_umount(fsgw: Fsgw, there: Path) -> None:
    for directory in (there, there / "missing", Path("/proc")):
        expected = f"'{directory}': nothing is mounted there, or not from this store"
        assert one_error(fsgw, "umount", directory) == expected
        with serving(fsgw.path):
            assert one_error(fsgw, "umount", directory) == expected


def test_no_mounts_without_a_gateway(fsgw: Fsgw) -> None:
    line = fsgw("mounts", code=1).stderr
    assert line == f"fsgw: no gateway has the store {fsgw.path}\n"


def test_no_store(there: Path, tmp_path: Path) -> None:
    done = run([*FSGW, "mount", "main", there], FSGW_STORE="")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: no store given")
    done = run([*FSGW, "--store", tmp_path, "mount", "main", there])
    assert done.returncode == 3
    assert re.fullmatch(r"fsgw: .* is not a store.*\n|fsgw: .*\n", done.stderr)


def test_a_store_that_another_has(fsgw: Fsgw, there: Path, tmp_path: Path) -> None:
    with serving(fsgw.path, "--admin-socket", str(tmp_path / "elsewhere")):
        line = one_error(fsgw, "mount", "main", there, code=5)
        assert str(fsgw.path) in line
        done = run([*FSGW, "--store", fsgw.path, "mount", "--background", "main", there])
        assert (done.returncode, done.stderr) == (5, f"fsgw: {line}\n")


def test_no_fuse(fsgw: Fsgw, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounting, "DEVICE", "/dev/no-fuse")
    line = one_error(fsgw, "mount", "main", there)
    assert line == (
        "'/dev/no-fuse': there is no such device: FUSE is not to be had here (modprobe fuse)"
    )


def test_no_helper(fsgw: Fsgw, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(there))
    line = one_error(fsgw, "mount", "main", there)
    assert line == "'fusermount3': not installed (Debian: fuse3)"


# --- [[mount]] ------------------------------------------------------------------------------------


def test_mounts_of_the_configuration(fsgw: Fsgw, there: Path, tmp_path: Path) -> None:
    fsgw("snapshot", "create", "main", "--name", "v1")
    with place(tmp_path, "old") as old:
        file = tmp_path / "fsgw.toml"
        file.write_text(
            "[[mount]]\nsource = 'main'\ndirectory = 'mount'\noptions = ['noatime']\n"
            "[[mount]]\nsource = 'main@v1'\ndirectory = 'old'\n"
        )
        with serving(fsgw.path, "--config", str(file)):
            assert there.is_mount()
            (there / "file").touch()
            rows = [(row["directory"], row["source"]) for row in fsgw.json("mounts")]
            assert rows == [(str(there), "main"), (str(old), "main@v1")]
            assert os.listdir(old) == []
        assert not there.is_mount()
        assert not old.is_mount()


@pytest.mark.parametrize(
    ("second", "code", "said"),
    [
        ("source = 'nope'\ndirectory = 'old'", 3, "no branch, and no commit id .* 'nope'"),
        ("source = 'main'\ndirectory = 'missing'", 3, "'.*/missing': No such file or directory"),
        ("source = 'main'\ndirectory = 'mount'", 3, "'.*/mount': main is mounted there already"),
    ],
)
def test_a_wrong_mount_in_the_configuration(
    fsgw: Fsgw, there: Path, tmp_path: Path, second: str, code: int, said: str
) -> None:
    """The gateway does not start, says why in one line, and takes the other mounts away again."""
    (tmp_path / "old").mkdir()
    file = tmp_path / "fsgw.toml"
    file.write_text(f"[[mount]]\nsource = 'main'\ndirectory = 'mount'\n[[mount]]\n{second}\n")
    done = run([*FSGW, "--store", fsgw.path, "serve", "--port", "0", "--portmap", "off",
                "--log-level", "error", "--config", file])  # fmt: skip
    assert done.returncode == code
    assert re.fullmatch(f"fsgw: {said}\n", done.stderr), done.stderr
    assert not there.is_mount()
