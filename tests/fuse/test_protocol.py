"""Structs and numbers are those of `linux/fuse.h`, by a C compiler's word; names; notices."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse import protocol as p
from fuse.operations import OPERATIONS

HEADER = Path("/usr/include/linux/fuse.h")

STRUCTS = {
    "fuse_in_header": p.IN_HEADER,
    "fuse_out_header": p.OUT_HEADER,
    "fuse_attr": p.ATTR,
    "fuse_dirent": p.DIRENT,
    "fuse_init_in": p.INIT_IN,
    "fuse_init_out": p.INIT_OUT,
    "fuse_forget_in": p.FORGET_IN,
    "fuse_batch_forget_in": p.BATCH_FORGET_IN,
    "fuse_forget_one": p.FORGET_ONE,
    "fuse_setattr_in": p.SETATTR_IN,
    "fuse_mknod_in": p.MKNOD_IN,
    "fuse_mkdir_in": p.MKDIR_IN,
    "fuse_rename_in": p.RENAME_IN,
    "fuse_rename2_in": p.RENAME2_IN,
    "fuse_link_in": p.LINK_IN,
    "fuse_open_in": p.OPEN_IN,
    "fuse_open_out": p.OPEN_OUT,
    "fuse_create_in": p.CREATE_IN,
    "fuse_read_in": p.READ_IN,
    "fuse_write_in": p.WRITE_IN,
    "fuse_write_out": p.WRITE_OUT,
    "fuse_getxattr_in": p.GETXATTR_IN,
    "fuse_getxattr_out": p.GETXATTR_OUT,
    "fuse_lseek_in": p.LSEEK_IN,
    "fuse_lseek_out": p.LSEEK_OUT,
    "fuse_interrupt_in": p.INTERRUPT_IN,
    "fuse_statfs_out": p.STATFS_OUT,
    "fuse_notify_inval_inode_out": p.INVAL_INODE_OUT,
    "fuse_notify_inval_entry_out": p.INVAL_ENTRY_OUT,
}
# Later kernels' headers have more at the end of these than what is spoken here.
LARGER = {"fuse_init_in": 64}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Sizes of the structs, and values of the names that the header has, as a compiler sees it."""
    if shutil.which("gcc") is None or not HEADER.exists():
        pytest.skip("no gcc, or no linux/fuse.h (apt-get install gcc libc6-dev)")
    room = tmp_path_factory.mktemp("header")
    names = [f"FUSE_{opcode.name}" for opcode in p.Opcode]
    names += [f"FUSE_NOTIFY_{code.name}" for code in p.Notify]
    names += [f"FUSE_{flag.name}" for flag in p.Init] + [f"FATTR_{flag.name}" for flag in p.Fattr]
    names += ["FOPEN_KEEP_CACHE", "FOPEN_CACHE_DIR", "FUSE_WRITE_CACHE", "FUSE_WRITE_KILL_SUIDGID"]
    known = set(re.findall(r"\bF[A-Z0-9_]+\b", HEADER.read_text()))
    lines = [f'say("{name}", sizeof(struct {name}));' for name in STRUCTS]
    lines += [f'say("{name}", {name});' for name in names if name in known]
    (room / "said.c").write_text(
        "#include <stdio.h>\n#include <stddef.h>\n#include <linux/fuse.h>\n"
        'static void say(const char *n, long v) { printf("%s %ld\\n", n, v); }\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )
    subprocess.run(["gcc", "-o", room / "said", room / "said.c"], check=True)
    said = subprocess.run([room / "said"], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, value in (line.split() for line in said.splitlines())}


@pytest.mark.parametrize("name", STRUCTS)
def test_a_struct_is_as_long_as_the_kernels(told: dict[str, int], name: str) -> None:
    assert told[name] in (STRUCTS[name].size, LARGER.get(name))


def test_entries_and_attributes_are_as_long_as_the_kernels() -> None:
    assert (p.ENTRY_BYTES, p.ATTR_VALID.size + p.ATTR.size) == (128, 104)


def test_numbers_are_the_kernels(told: dict[str, int]) -> None:
    ours = {
        **{f"FUSE_{opcode.name}": int(opcode) for opcode in p.Opcode},
        **{f"FUSE_NOTIFY_{code.name}": int(code) for code in p.Notify},
        **{f"FUSE_{flag.name}": int(flag) for flag in p.Init},
        **{f"FATTR_{flag.name}": int(flag) for flag in p.Fattr},
        "FOPEN_KEEP_CACHE": p.FOPEN_KEEP_CACHE,
        "FOPEN_CACHE_DIR": p.FOPEN_CACHE_DIR,
        "FUSE_WRITE_CACHE": p.WRITE_CACHE,
        "FUSE_WRITE_KILL_SUIDGID": p.WRITE_KILL_SUIDGID,
    }
    shared = told.keys() & ours.keys()
    assert len(shared) > 60
    assert {name: told[name] for name in shared} == {name: ours[name] for name in shared}


def test_each_operation_has_its_row() -> None:
    for number, operation in OPERATIONS.items():
        assert p.Opcode(number).name == operation.name
    assert not {"FLUSH", "ACCESS", "GETLK", "SETLK", "POLL"} & {o.name for o in OPERATIONS.values()}


# --- names ----------------------------------------------------------------------------------------


@given(st.binary().filter(lambda name: b"\0" not in name), st.binary(max_size=20))
def test_a_name_goes_to_its_zero(name: bytes, before: bytes) -> None:
    assert p.name(before + name + b"\0", len(before)) == name


@pytest.mark.parametrize("body", [b"", b"name", b"name\0more", b"a\0b\0", b"name\0\0"])
def test_what_is_no_name(body: bytes) -> None:
    with pytest.raises(p.BadRequest):
        p.name(body)


@pytest.mark.parametrize("body", [b"", b"old", b"old\0", b"old\0new", b"old\0new\0more"])
def test_what_is_no_two_names(body: bytes) -> None:
    with pytest.raises(p.BadRequest):
        p.two_names(body)


def test_two_names() -> None:
    assert p.two_names(b"..old\0new\0", 2) == (b"old", b"new")
    assert p.two_names(b"\0\0") == (b"", b"")


# --- replies and notices --------------------------------------------------------------------------


def fields(*numbers: tuple[int, int]) -> bytes:
    """Numbers, each with its length, in the host's order."""
    return b"".join(n.to_bytes(length, sys.byteorder, signed=n < 0) for n, length in numbers)


def test_a_reply_header() -> None:
    assert p.reply_header(7, 5) == fields((21, 4), (0, 4), (7, 8))
    assert p.reply_header(7, 0, 2) == fields((16, 4), (-2, 4), (7, 8))


def test_the_notice_of_an_inode() -> None:
    # length, code, unique 0; ino, off, len
    assert p.inval_inode(9, 3, 4) == fields((40, 4), (2, 4), (0, 8), (9, 8), (3, 8), (4, 8))
    assert p.inval_inode(9, -1, 0) == fields((40, 4), (2, 4), (0, 8), (9, 8), (-1, 8), (0, 8))


def test_the_notice_of_an_entry() -> None:
    # length, code, unique 0; parent, namelen, flags; the name with its zero
    head = fields((37, 4), (3, 4), (0, 8), (9, 8), (4, 4), (0, 4))
    assert p.inval_entry(9, b"name") == head + b"name\0"


@given(st.integers(0, 300))
def test_alignment(length: int) -> None:
    assert p.align(length) % 8 == 0
    assert length <= p.align(length) < length + 8
