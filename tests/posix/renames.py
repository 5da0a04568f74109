"""rename in every combination of kinds, within one directory and between two, under each flag."""

from __future__ import annotations

from tests.posix.fs import ALICE, Fs, RenameFlag, Stat, fails
from tests.posix.suite import case, each

FILES = ("file", "symlink", "fifo")
DIRECTORIES = ("empty", "full")
KINDS = (*FILES, *DIRECTORIES, "missing")
FLAGS: tuple[RenameFlag, ...] = ("replace", "noreplace", "exchange")
PLACES = {"within": ("a/x", "a/y"), "across": ("a/x", "b/y")}
DONE = ""

# What a source of this sort meets at a target of that sort, without flags.
REPLACE = {
    ("file", "missing"): DONE,
    ("file", "file"): DONE,
    ("file", "directory"): "EISDIR",
    ("directory", "missing"): DONE,
    ("directory", "file"): "ENOTDIR",
}


def due(source: str, target: str, how: RenameFlag) -> str:
    """The error that POSIX and renameat2(2) ask for, or DONE."""
    if source == "missing":
        return "ENOENT"
    if how == "noreplace":
        return DONE if target == "missing" else "EEXIST"
    if how == "exchange":
        return "ENOENT" if target == "missing" else DONE
    if source in DIRECTORIES and target in DIRECTORIES:
        return DONE if target == "empty" else "ENOTEMPTY"
    sort = dict.fromkeys(DIRECTORIES, "directory") | dict.fromkeys(FILES, "file")
    return REPLACE[sort[source], sort.get(target, target)]


def make(fs: Fs, path: str, kind: str) -> None:
    """Something of that kind at `path`."""
    if kind == "file":
        fs.put(path, b"content of " + path.encode())
    elif kind == "symlink":
        fs.symlink("target", path)
    elif kind == "fifo":
        fs.mknod(path, 0o010600)
    elif kind in DIRECTORIES:
        fs.mkdir(path)
    if kind == "full":
        fs.put(path + "/inside", b"content inside")


def seen(fs: Fs, path: str) -> Stat | None:
    """lstat, or None where there is nothing."""
    parent, _, name = path.rpartition("/")
    return fs.lstat(path) if name in fs.names(parent) else None


@each(
    {
        f"{how} {source} over {target} {place}": (source, target, how, *paths)
        for how in FLAGS
        for source in KINDS
        for target in KINDS
        for place, paths in PLACES.items()
    }
)
def rename(fs: Fs, source: str, target: str, how: RenameFlag, old: str, new: str) -> None:
    fs.mkdir("a")
    fs.mkdir("b")
    make(fs, old, source)
    make(fs, new, target)
    before = seen(fs, old), seen(fs, new)
    error = due(source, target, how)
    if error:
        fails(error, fs.rename, old, new, how)
        assert (seen(fs, old), seen(fs, new)) == before
        return
    fs.rename(old, new, how)
    check(fs, new, source, before[0])
    check(fs, old, *((target, before[1]) if how == "exchange" else ("missing", None)))
    assert fs.names("a") | fs.names("b") == ({"x", "y"} if how == "exchange" else {"y"})


def check(fs: Fs, path: str, kind: str, before: Stat | None) -> None:
    """`path` now is what was `before`, whole but for its change time."""
    now = seen(fs, path)
    if now is None or before is None:
        assert now is before
        return
    assert now._replace(ctime=0) == before._replace(ctime=0)
    if kind == "file":
        assert fs.get(path).startswith(b"content of")
    if kind == "full":
        assert fs.get(path + "/inside") == b"content inside"
    if kind in DIRECTORIES:
        assert fs.stat(path + "/..").ino == fs.stat(path.partition("/")[0]).ino


@each(
    {
        f"{how} {kind} {place}": (kind, how, *paths)
        for how in FLAGS
        for kind in FILES
        for place, paths in PLACES.items()
    }
)
def rename_over_a_link_to_itself(fs: Fs, kind: str, how: RenameFlag, old: str, new: str) -> None:
    """Both names stay: POSIX has it do nothing, and say so."""
    fs.mkdir("a")
    fs.mkdir("b")
    make(fs, old, kind)
    fs.link(old, new)
    before = fs.lstat(old)
    if how == "noreplace":
        fails("EEXIST", fs.rename, old, new, how)
    else:
        fs.rename(old, new, how)
    assert fs.lstat(old) == fs.lstat(new) == before


@each({kind: (kind,) for kind in KINDS if kind != "missing"})
def rename_to_the_same_name_does_nothing(fs: Fs, kind: str) -> None:
    make(fs, "x", kind)
    before = fs.lstat("x")
    fs.rename("x", "x")
    assert fs.lstat("x") == before
    fails("EEXIST", fs.rename, "x", "x", "noreplace")


@each(
    {
        "child": ("d", "d/e", "replace", "EINVAL"),
        "new name in child": ("d", "d/e/new", "replace", "EINVAL"),
        "new name in itself": ("d", "d/new", "replace", "EINVAL"),
        "new name in itself, noreplace": ("d", "d/new", "noreplace", "EINVAL"),
        "exchange with child": ("d", "d/e", "exchange", "EINVAL"),
        "exchange with parent": ("d/e", "d", "exchange", "EINVAL"),
        "over its parent": ("d/e", "d", "replace", "ENOTEMPTY"),
        "file over its parent": ("d/f", "d", "replace", "ENOTEMPTY"),
        "file exchanged with its parent": ("d/f", "d", "exchange", "EINVAL"),
    }
)
def a_directory_cannot_come_under_itself(
    fs: Fs, old: str, new: str, how: RenameFlag, error: str
) -> None:
    fs.mkdir("d")
    fs.mkdir("d/e")
    fs.put("d/f")
    fails(error, fs.rename, old, new, how)
    assert fs.names() == {"d"} and fs.names("d") == {"e", "f"}


@each(
    {
        "dot": ("d/.", "x"),
        "dot dot": ("d/e/..", "x"),
        "to dot": ("f", "d/."),
        "to dot dot": ("f", "d/.."),
    }
)
def dots_cannot_be_renamed(fs: Fs, old: str, new: str) -> None:
    fs.mkdir("d")
    fs.mkdir("d/e")
    fs.put("f")
    fails("EBUSY", fs.rename, old, new)


@case
def a_full_directory_moves_with_all_below(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("a/b")
    fs.put("a/b/f", b"deep")
    fs.mkdir("c")
    fs.rename("a", "c/a")
    assert fs.get("c/a/b/f") == b"deep"
    fails("ENOENT", fs.stat, "a")
    assert fs.stat("c/a/b/../..").ino == fs.stat("c").ino


@case
def a_moved_directory_may_take_its_former_parent(fs: Fs) -> None:
    fs.mkdir("a")
    fs.mkdir("a/b")
    fs.rename("a/b", "b")
    fs.rename("a", "b/a")
    assert fs.stat("b/a/..").ino == fs.stat("b").ino


@case
def three_renames_swap_two_names(fs: Fs) -> None:
    fs.put("a", b"a")
    fs.put("b", b"b")
    for old, new in (("a", "t"), ("b", "a"), ("t", "b")):
        fs.rename(old, new)
    assert (fs.get("a"), fs.get("b")) == (b"b", b"a")


@case
def exchange_twice_is_as_before(fs: Fs) -> None:
    fs.put("a", b"a")
    fs.mkdir("b")
    fs.put("b/x", b"x")
    before = fs.stat("a").ino
    for _ in range(2):
        fs.rename("a", "b", "exchange")
    assert fs.stat("a").ino == before and fs.get("b/x") == b"x"


@case
def exchange_of_parents_cousins(fs: Fs) -> None:
    for path in ("p", "p/a", "q", "q/b"):
        fs.mkdir(path)
    fs.put("p/a/f", b"from p")
    fs.put("q/b/f", b"from q")
    fs.rename("p/a", "q/b", "exchange")
    assert (fs.get("p/a/f"), fs.get("q/b/f")) == (b"from q", b"from p")
    assert fs.stat("p/a/..").ino == fs.stat("p").ino


@case
def the_last_link_of_a_replaced_file_is_gone(fs: Fs) -> None:
    fs.put("old", b"old")
    fs.link("old", "kept")
    fs.put("new", b"new")
    fs.rename("new", "old")
    assert fs.get("old") == b"new" and fs.get("kept") == b"old"
    assert fs.stat("kept").nlink == 1


@case
def a_renamed_file_keeps_its_other_links(fs: Fs) -> None:
    fs.put("a")
    fs.link("a", "b")
    fs.rename("a", "c")
    assert fs.stat("b") == fs.stat("c") and fs.stat("c").nlink == 2


@case
def rename_back_and_forth_many_times(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("f", b"kept")
    for _ in range(20):
        fs.rename("f", "d/f")
        fs.rename("d/f", "f")
    assert fs.get("f") == b"kept" and fs.names("d") == set()


@case
def a_case_change_is_a_rename(fs: Fs) -> None:
    fs.put("name")
    fs.rename("name", "Name")
    assert fs.names() == {"Name"}


@case
def a_file_of_another_may_be_moved_in_ones_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    fs.give("d", ALICE)
    fs.as_(ALICE).rename("d/f", "d/g")
    assert fs.stat("d/g").uid == 0
