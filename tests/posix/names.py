"""Names: their length, their bytes, and the special ones (XBD 3.170, 4.13 pathname resolution)."""

from __future__ import annotations

import stat

from tests.posix.fs import Call, Fs, Path, fails
from tests.posix.suite import case, each

LONGEST = "n" * 255
TOO_LONG = "n" * 256

MAKERS = {
    "creat": (lambda fs, path: fs.put(path),),
    "mkdir": (lambda fs, path: fs.mkdir(path),),
    "mknod": (lambda fs, path: fs.mknod(path, stat.S_IFIFO | 0o644),),
    "symlink": (lambda fs, path: fs.symlink("t", path),),
    "link": (lambda fs, path: (fs.put("source"), fs.link("source", path)),),
    "rename": (lambda fs, path: (fs.put("source"), fs.rename("source", path)),),
}
OCCUPIERS: dict[str, Call] = {
    "file": lambda fs: fs.put("x"),
    "directory": lambda fs: fs.mkdir("x"),
    "dangling symlink": lambda fs: fs.symlink("missing", "x"),
}
TAKERS = {
    "stat": (lambda fs, path: fs.stat(path),),
    "lstat": (lambda fs, path: fs.lstat(path),),
    "open": (lambda fs, path: fs.open(path),),
    "chmod": (lambda fs, path: fs.chmod(path, 0o600),),
    "chown": (lambda fs, path: fs.chown(path, 1, 1),),
    "truncate": (lambda fs, path: fs.truncate(path, 0),),
    "utimens": (lambda fs, path: fs.utimens(path, 0, 0),),
    "unlink": (lambda fs, path: fs.unlink(path),),
    "rmdir": (lambda fs, path: fs.rmdir(path),),
    "readlink": (lambda fs, path: fs.readlink(path),),
    "readdir": (lambda fs, path: fs.readdir(path),),
    "rename from": (lambda fs, path: fs.rename(path, "elsewhere"),),
    "link from": (lambda fs, path: fs.link(path, "elsewhere"),),
    "getxattr": (lambda fs, path: fs.getxattr(path, "user.a"),),
}


@each(MAKERS)
def the_longest_name_can_be_made(fs: Fs, make: Call) -> None:
    make(fs, LONGEST)
    assert LONGEST in fs.names()
    assert fs.lstat(LONGEST).ino


@each(MAKERS)
def a_name_over_255_bytes_cannot_be_made(fs: Fs, make: Call) -> None:
    fails("ENAMETOOLONG", make, fs, TOO_LONG)
    assert fs.names() <= {"source"}


@each(TAKERS)
def a_name_over_255_bytes_is_too_long_to_look_up(fs: Fs, take: Call) -> None:
    fails("ENAMETOOLONG", take, fs, TOO_LONG)


@each(TAKERS)
def a_missing_name_is_not_found(fs: Fs, take: Call) -> None:
    fails("ENOENT", take, fs, "missing")


@each(TAKERS)
def a_name_in_a_missing_directory_is_not_found(fs: Fs, take: Call) -> None:
    fails("ENOENT", take, fs, "missing/name")


@each(TAKERS)
def a_file_is_not_a_directory_to_look_in(fs: Fs, take: Call) -> None:
    fs.put("file")
    fails("ENOTDIR", take, fs, "file/name")


@each(MAKERS)
def nothing_can_be_made_in_a_missing_directory(fs: Fs, make: Call) -> None:
    fails("ENOENT", make, fs, "missing/name")


@each(MAKERS)
def nothing_can_be_made_in_a_file(fs: Fs, make: Call) -> None:
    fs.put("file")
    fails("ENOTDIR", make, fs, "file/name")


@each(
    {
        f"{maker} over {taken}": (*row, occupy)
        for maker, row in MAKERS.items()
        for taken, occupy in OCCUPIERS.items()
        if maker != "rename"
    }
)
def nothing_can_be_made_over_an_existing_name(fs: Fs, make: Call, occupy: Call) -> None:
    occupy(fs)
    before = fs.lstat("x")
    fails("EEXIST", make, fs, "x")
    assert fs.lstat("x") == before


@each({name: row for name, row in MAKERS.items() if name in ("mkdir", "mknod", "symlink", "link")})
def dot_and_dot_dot_exist_already(fs: Fs, make: Call) -> None:
    fs.mkdir("d")
    fails("EEXIST", make, fs, "d/.")
    if "source" in fs.names():
        fs.unlink("source")
    fails("EEXIST", make, fs, "d/..")


@each(
    {
        "newline": (b"a\nb",),
        "space": (b" a b ",),
        "leading dash": (b"-rf",),
        "backslash": (b"a\\b",),
        "control": (b"\x01\x02\x1f\x7f",),
        "not utf-8": (b"\xff\xfe\x80",),
        "high nonsense": (b"\xc0\xaf\xed\xa0\x80",),
        "utf-8": ("naïve-文件-\U0001f600".encode(),),
        "three dots": (b"...",),
        "dot first": (b".hidden",),
        "dot last": (b"a.",),
        "two dots first": (b"..a",),
        "star": (b"*",),
        "quotes": (b"'\"`$",),
        "percent": (b"%s%n%00",),
        "colon": (b"c:",),
    }
)
def any_bytes_make_a_name(fs: Fs, name: bytes) -> None:
    fs.put(name, b"content")
    assert fs.get(name) == b"content"
    assert name in {entry.name for entry in fs.readdir(".")}
    fs.rename(name, "plain")
    fails("ENOENT", fs.stat, name)


@case
def every_single_byte_but_slash_and_nul_is_a_name(fs: Fs) -> None:
    every = {bytes([b]) for b in range(1, 256)} - {b"/", b"."}
    for name in every:
        fs.put(name)
    assert {entry.name for entry in fs.readdir(".")} == every | {b".", b".."}


@case
def the_longest_name_may_be_255_bytes_of_utf_8(fs: Fs) -> None:
    fs.put("é" * 127 + "x")
    fails("ENAMETOOLONG", fs.put, "é" * 128)


@case
def names_differ_by_case(fs: Fs) -> None:
    fs.put("name", b"lower")
    fs.put("NAME", b"upper")
    assert (fs.get("name"), fs.get("NAME")) == (b"lower", b"upper")


@case
def composed_and_decomposed_letters_are_two_names(fs: Fs) -> None:
    fs.put("\u00e9", b"composed")
    fs.put("e\u0301", b"decomposed")
    assert fs.get("\u00e9") == b"composed"


@case
def a_long_name_and_its_prefix_are_two_names(fs: Fs) -> None:
    fs.put(LONGEST, b"long")
    fs.put(LONGEST[:-1], b"shorter")
    assert fs.get(LONGEST) == b"long"


@case
def the_empty_path_is_not_found(fs: Fs) -> None:
    for call in (fs.stat, fs.mkdir, fs.rmdir, fs.unlink, fs.open):
        fails("ENOENT", call, "")


@each({"dot": (".",), "down and up": ("d/..",), "dots along": ("./d/./../d/..",)})
def dots_lead_back(fs: Fs, path: Path) -> None:
    fs.mkdir("d")
    assert fs.stat(path).ino == fs.stat(".").ino


@case
def repeated_slashes_count_as_one(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("d/f")
    assert fs.stat("d///f").ino == fs.stat("d/f").ino


@case
def a_trailing_slash_asks_for_a_directory(fs: Fs) -> None:
    fs.mkdir("d")
    fs.put("f")
    assert fs.stat("d/").kind == "directory"
    fails("ENOTDIR", fs.stat, "f/")


@case
def a_deep_path_is_walked(fs: Fs) -> None:
    path = "d"
    fs.mkdir(path)
    for _ in range(60):
        path += "/d"
        fs.mkdir(path)
    fs.put(path + "/leaf", b"deep")
    assert fs.get(path + "/leaf") == b"deep"
    assert fs.stat(path + "/.." * 60).ino == fs.stat("d").ino
