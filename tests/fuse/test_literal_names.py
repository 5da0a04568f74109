"""A request and its reply in the fields that `linux/fuse.h` has: names and directories."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from store.store import Store
from tests.fuse.literal import ENTRY, FILE, LINK, NEW, ROOT_CHANGED, VALID, Scene
from tests.nfs.gateway import Clock

ENTRY_FILE, ENTRY_LINK = ENTRY.replace("node", "file"), ENTRY.replace("node", "link")
ENTRY_NEW = ENTRY.replace("node", "new")
GETATTR = "00000000 00000000 0000000000000000"


@pytest.fixture
def scene(store: Store, clock: Clock) -> Iterator[Scene]:
    made = Scene(store, clock)
    yield made
    made.kernel.session.end()


def changed(scene: Scene, links: int = 2) -> None:
    """The root is as after a change in second 5."""
    scene.check(3, "root", GETATTR, VALID + ROOT_CHANGED, links=f"{links:08x}")


def test_1_lookup(scene: Scene) -> None:
    scene.check(1, "root", "'f'", ENTRY_FILE + FILE)
    scene.check(1, "root", "'l'", ENTRY_LINK + LINK)


def test_1_lookup_of_what_is_not_there(scene: Scene) -> None:
    """An entry without a node: the kernel may remember that for entry_valid."""
    scene.check(
        1,
        "root",
        "'nothing'",
        """
        0000000000000000 0000000000000000  # no node, generation
        0000000000000001 0000000000000000  # entry_valid, attr_valid
        1dcd6500 00000000
        0000000000000000 0000000000000000 0000000000000000  # a fuse_attr of nothing
        0000000000000000 0000000000000000 0000000000000000
        00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
        """,
    )


def test_1_lookup_fails(scene: Scene) -> None:
    scene.check(1, "file", "'f'", "", errno.ENOTDIR)
    scene.check(1, "new", "'f'", "", errno.ESTALE)
    scene.check(1, "root", f"'{'n' * 256}'", "", errno.ENAMETOOLONG)


def test_35_create(scene: Scene) -> None:
    scene.check(
        35,
        "root",
        """
        000000c1 00008180  # flags: O_CREAT | O_EXCL | O_WRONLY, mode 0600
        00000012 00000000  # umask, which the kernel has applied; open_flags
        'new'
        """,
        ENTRY_NEW + NEW + "0000000000000000 00000002 00000000  # fh, KEEP_CACHE, padding",
        size="0" * 16,
        blocks="0" * 16,
        mode="00008180",
        links="00000001",
        rdev="00000000",
    )
    changed(scene)


def test_35_create_of_what_is_there(scene: Scene) -> None:
    """Somebody else was quicker: EEXIST where it must be new, else the kernel looks again."""
    asked = "{flags} 000081a4 00000012 00000000 'f'"
    scene.check(35, "root", asked, "", errno.EEXIST, flags="000000c1")
    scene.check(35, "root", asked, "", errno.ESTALE, flags="00000041")


def test_8_mknod(scene: Scene) -> None:
    scene.check(
        8,
        "root",
        """
        000021a4 12305678  # mode: a character device, 0644; rdev: major 0x056, minor 0x12378
        00000012 00000000  # umask, padding
        'new'
        """,
        ENTRY_NEW + NEW,
        size="0" * 16,
        blocks="0" * 16,
        mode="000021a4",
        links="00000001",
        rdev="12305678",
    )
    changed(scene)


def test_9_mkdir(scene: Scene) -> None:
    scene.check(
        9,
        "root",
        "000001ed 00000012 'new'  # mode 0755, umask, name",
        ENTRY_NEW + NEW,
        size="0000000000001000",
        blocks="0000000000000008",
        mode="000041ed",
        links="00000002",
        rdev="00000000",
    )
    changed(scene, links=3)
    scene.check(9, "root", "000001ed 00000012 'f'", "", errno.EEXIST)


def test_6_symlink(scene: Scene) -> None:
    scene.check(
        6,
        "root",
        "'new' 'where/to'  # name, target",
        ENTRY_NEW + NEW,
        size="0000000000000008",
        blocks="0" * 16,
        mode="0000a1ff",
        links="00000001",
        rdev="00000000",
    )
    changed(scene)


def test_13_link(scene: Scene) -> None:
    scene.check(
        13,
        "root",
        "{file} 'new'  # oldnodeid, name",
        ENTRY_FILE
        + """
        {file} 0000000000000005 0000000000000008
        0000000065000002 0000000065000003 0000000065000005
        00000000 00000000 00000000
        000081a4 00000002 000003e8 00000064
        00000000 00001000 00000000
        """,
    )
    changed(scene)


def test_10_unlink(scene: Scene) -> None:
    scene.check(10, "root", "'f'", "")
    changed(scene)
    scene.check(10, "root", "'f'", "", errno.ENOENT)
    scene.check(3, "file", GETATTR, "", errno.ESTALE)


def test_11_rmdir(scene: Scene) -> None:
    scene.check(11, "root", "'f'", "", errno.ENOTDIR)
    scene.kernel.mkdir(b"d")
    scene.check(10, "root", "'d'", "", errno.EISDIR)
    scene.check(11, "root", "'d'", "")
    scene.check(11, "root", "'d'", "", errno.ENOENT)


def test_12_rename(scene: Scene) -> None:
    scene.check(12, "root", "{root} 'f' 'new'  # newdir, old name, new name", "")
    changed(scene)
    scene.check(
        1, "root", "'new'", ENTRY_FILE + FILE.replace("0000000065000003\n", "0000000065000005\n")
    )
    scene.check(12, "root", "{root} 'f' 'l'", "", errno.ENOENT)


def test_45_rename2(scene: Scene) -> None:
    how = "{root} {flags} 00000000 'f' 'l'  # newdir, flags, padding, names"
    scene.check(45, "root", how, "", errno.EEXIST, flags="00000001")  # RENAME_NOREPLACE
    scene.check(45, "root", how, "", errno.EINVAL, flags="00000004")  # RENAME_WHITEOUT
    scene.check(45, "root", how, "", errno.EINVAL, flags="00000003")
    scene.check(45, "root", how, "", flags="00000002")  # RENAME_EXCHANGE
    found = [scene.kernel.lookup(name).nodeid for name in (b"l", b"f")]
    assert found == [int(scene.words[word], 16) for word in ("file", "link")]
    scene.check(45, "root", how, "", flags="00000000")
    scene.check(1, "root", "'f'", NOTHING)


NOTHING = "0" * 32 + f" {1:016x} {0:016x} 1dcd6500 00000000 " + "0" * 176

READ = """
    0000000000000000 {cookie} {size} 00000000  # fh, offset, size, read_flags
    0000000000000000 00000000 00000000  # lock_owner, flags, padding
"""
# The entries by their cookies, which are hashes of the names.
DOTS = """
    0000000000000001 0000000000000001 00000001 00000004 "." 00000000000000  # ino, off, namelen,
    0000000000000001 0000000000000002 00000002 00000004 ".." 000000000000  # type DT_DIR, name
"""


def cookies(scene: Scene) -> dict[str, str]:
    """The places of both names, in hexadecimal."""
    return {
        entry.name.decode(): f"{entry.off:016x}" for entry in scene.kernel.listed() if entry.ino > 1
    }


def test_28_readdir(scene: Scene) -> None:
    places = cookies(scene)
    lines = {
        "f": "{file} " + places["f"] + ' 00000001 00000008 "f" 00000000000000  # DT_REG\n',
        "l": "{link} " + places["l"] + ' 00000001 0000000a "l" 00000000000000  # DT_LNK\n',
    }
    names = sorted(places, key=places.__getitem__)
    first, second = (lines[name] for name in names)
    scene.check(28, "root", READ, DOTS + first + second, cookie=f"{0:016x}", size="00001000")
    scene.check(28, "root", READ, DOTS + first, cookie=f"{0:016x}", size="00000060")
    scene.check(28, "root", READ, DOTS + first, cookie=f"{0:016x}", size="0000007f")
    scene.check(28, "root", READ, second, cookie=places[names[0]], size="00001000")
    scene.check(28, "root", READ, "", cookie=places[names[1]], size="00001000")
    scene.check(28, "file", READ, "", errno.ENOTDIR, cookie=f"{0:016x}", size="00001000")
    assert len(scene.kernel.session.nodes) == 0


def test_44_readdirplus(scene: Scene) -> None:
    """Each name but the dots has what a LOOKUP would say, and counts as one."""
    places = cookies(scene)
    lines = {
        "f": ENTRY_FILE + FILE + "{file} " + places["f"] + ' 00000001 00000008 "f" 00000000000000',
        "l": ENTRY_LINK + LINK + "{link} " + places["l"] + ' 00000001 0000000a "l" 00000000000000',
    }
    first, second = (lines[name] for name in sorted(places, key=places.__getitem__))
    dots = "".join("0" * 256 + " " + line + "\n" for line in DOTS.strip().splitlines())
    scene.check(44, "root", READ, dots + first + second, cookie=f"{0:016x}", size="00001000")
    scene.check(44, "root", READ, dots + first, cookie=f"{0:016x}", size=f"{4 * 160 - 1:08x}")
    nodes = scene.kernel.session.nodes
    assert len(nodes) == 2
    assert nodes.known(int(scene.words["file"], 16))
