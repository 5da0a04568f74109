"""Changes to a file of exports: what they do, what of the file survives them, and atomicity."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fsgw import exports_file, settings
from fsgw.exports import Export
from fsgw.exports_file import Draft
from fsgw.plain import Plain
from store.errors import InvalidArgument, NotFound

KEYS = {"number", *Export.__dataclass_fields__}
NEW: dict[str, object] = {"branches": ["vm-*"], "clients": ["10.0.0.0/8"]}

WRITTEN = """\
# Ours, since the move.

# Everyone in the lab
[[export]]   # the first
name = "lab"          # and its name
branches = [
    "vm-*",    # theirs
]
clients = ["10.0.0.0/8"]
squash = "none"       # they boot from these
# a tail

# The rest
# of us
[[export]]
branches = ["*"]
clients = ["127.0.0.0/8"]

# The end
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "exports.toml"


@pytest.fixture
def written(path: Path) -> Path:
    path.write_text(WRITTEN)
    return path


def names(rows: list[Plain]) -> list[str]:
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["name"] for row in rows]


# --- each change ------------------------------------------------------------------------------


def test_without_a_file_the_default_is_listed_and_nothing_written(path: Path) -> None:
    (row,) = exports_file.listing(path)
    assert set(row) == KEYS
    assert (row["number"], row["name"]) == (1, "default")
    assert row["clients"] == ["127.0.0.0/8", "::1/128"]
    assert not path.exists()


def test_the_first_change_writes_the_default_down(path: Path) -> None:
    made = exports_file.add(path, {"name": "lab", **NEW, "access": "ro"})
    assert set(made) == KEYS
    assert (made["number"], made["access"], made["squash"]) == (2, "ro", "root")
    assert names(exports_file.listing(path)) == ["default", "lab"]
    assert path.read_text().startswith("#")


def test_the_default_can_be_changed_and_removed(path: Path) -> None:
    assert exports_file.change(path, "default", {"access": "ro"})["access"] == "ro"
    assert exports_file.remove(path, "1")["access"] == "ro"
    assert exports_file.listing(path) == []
    assert path.exists()
    assert exports_file.add(path, NEW)["number"] == 1


def test_add_at_a_position(written: Path) -> None:
    assert exports_file.add(written, {"name": "first", **NEW}, 1)["number"] == 1
    assert exports_file.add(written, {"name": "last", **NEW}, 4)["number"] == 4
    assert names(exports_file.listing(written)) == ["first", "lab", "", "last"]


def test_values_are_written_in_their_plain_form(path: Path) -> None:
    made = exports_file.add(path, {"branches": ["*"], "clients": ["::ffff:10.0.0.0/104", "::1"]})
    assert made["clients"] == ["10.0.0.0/8", "::1/128"]
    assert exports_file.listing(path)[1] == made


def test_change_and_back_to_the_default(written: Path) -> None:
    values = {"sync": False, "anonuid": 7, "squash": "all", "name": "vms"}
    changed = exports_file.change(written, "lab", values)
    assert values.items() <= changed.items()
    back = exports_file.change(written, "vms", dict.fromkeys(values))
    assert back["name"] == ""
    assert (back["sync"], back["anonuid"], back["squash"]) == (True, 65534, "root")
    assert "squash" not in written.read_text()


def test_an_empty_name_is_none(written: Path) -> None:
    assert exports_file.change(written, "1", {"name": ""})["name"] == ""
    assert "name = " not in written.read_text()
    assert exports_file.add(written, {"name": "", **NEW})["name"] == ""


def test_move(written: Path) -> None:
    exports_file.add(written, {"name": "c", **NEW})
    assert exports_file.move(written, "c", 1)["number"] == 1
    assert names(exports_file.listing(written)) == ["c", "lab", ""]
    assert exports_file.move(written, "1", 3)["name"] == "c"
    assert names(exports_file.listing(written)) == ["lab", "", "c"]


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda p: exports_file.remove(p, "9"), NotFound, "no export '9': there are 2"),
        (lambda p: exports_file.remove(p, "0"), NotFound, "no export '0'"),
        (lambda p: exports_file.remove(p, ""), NotFound, "no export ''"),
        (lambda p: exports_file.move(p, "lab", 3), InvalidArgument, "position 3: 1 to 2"),
        (lambda p: exports_file.move(p, "lab", 0), InvalidArgument, "position 0: 1 to 2"),
        (lambda p: exports_file.add(p, NEW, 4), InvalidArgument, "position 4: 1 to 3"),
        (lambda p: exports_file.add(p, NEW, 0), InvalidArgument, "position 0: 1 to 3"),
        (lambda p: exports_file.add(p, {"name": "lab", **NEW}), InvalidArgument, "named 'lab'"),
        (lambda p: exports_file.add(p, {"branches": ["*"]}), InvalidArgument, "clients is missing"),
        (lambda p: exports_file.add(p, {**NEW, "x": 1}), InvalidArgument, "no key x"),
        (lambda p: exports_file.add(p, {**NEW, "sync": None}), InvalidArgument, "sync: None"),
        (lambda p: exports_file.change(p, "2", {"name": "lab"}), InvalidArgument, "named 'lab'"),
        (lambda p: exports_file.change(p, "2", {"acess": None}), InvalidArgument, "no key acess"),
        (lambda p: exports_file.change(p, "2", {"access": {}}), InvalidArgument, "access: {}"),
        (lambda p: exports_file.change(p, "2", {"clients": None}), InvalidArgument, "is missing"),
    ],
)
def test_a_refused_change_leaves_the_file(
    written: Path, change: Any, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        change(written)
    assert written.read_text() == WRITTEN
    assert os.listdir(written.parent) == [written.name]


@pytest.mark.parametrize(
    "text",
    [
        'export = [{branches = ["*"], clients = ["::1"]}]\n',
        '[["export"]]\nbranches = ["*"]\nclients = ["::1"]\n',
        "[[export]]\nbranches = ['''\n[[export]]\n''']\nclients = ['::1']\n",
    ],
)
def test_what_only_a_person_can_change(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidArgument):
        exports_file.add(path, NEW)
    assert path.read_text() == text


def test_a_broken_file_is_not_changed(path: Path) -> None:
    path.write_text("[[export]]\nbranches = 1\n")
    with pytest.raises(InvalidArgument, match="export 1: clients"):
        exports_file.add(path, NEW)
    assert path.read_text() == "[[export]]\nbranches = 1\n"


# --- what survives ----------------------------------------------------------------------------


def test_nothing_else_changes(written: Path) -> None:
    exports_file.change(written, "lab", {"squash": "all", "branches": ["vm-*"]})
    assert written.read_text() == WRITTEN.replace('"none"', '"all"')


def test_comments_go_with_their_export(written: Path) -> None:
    exports_file.move(written, "lab", 2)
    text = written.read_text()
    assert text.startswith("# Ours, since the move.\n\n# The rest\n# of us\n[[export]]\n")
    assert "\n\n# Everyone in the lab\n[[export]]   # the first\n" in text
    exports_file.remove(written, "1")
    text = written.read_text()
    assert "of us" not in text
    assert "# Everyone in the lab\n[[export]]" in text
    assert "# a tail" in text


def test_line_ends_survive(path: Path) -> None:
    path.write_bytes(WRITTEN.replace("\n", "\r\n").encode())
    exports_file.change(path, "lab", {"squash": "all"})
    assert path.read_bytes() == WRITTEN.replace("none", "all").replace("\n", "\r\n").encode()


def test_mode_and_links_survive(written: Path, tmp_path: Path) -> None:
    written.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(written)
    exports_file.add(link, NEW)
    assert link.is_symlink()
    assert written.stat().st_mode & 0o777 == 0o640
    assert len(exports_file.listing(written)) == 3


TEXT = {
    "name": st.from_regex(r"[A-Za-z][A-Za-z0-9._-]{0,9}", fullmatch=True).filter(
        lambda name: name != "lab"
    ),
    "branches": st.lists(st.sampled_from(["*", "vm-?", "[!a]*"]), min_size=1, unique=True),
    "access": st.sampled_from(["rw", "ro"]),
    "squash": st.sampled_from(["root", "none", "all"]),
    "anonuid": st.integers(0, 2**32 - 2),
    "sync": st.booleans(),
    "snapshots": st.sampled_from(["hidden", "listed", "off"]),
}


@hypothesis.settings(max_examples=30)
@given(st.fixed_dictionaries({}, optional=TEXT), st.fixed_dictionaries({}, optional=TEXT))
def test_any_values_come_back(first: dict[str, object], second: dict[str, object]) -> None:
    draft = Draft(WRITTEN, "test")
    number = draft.add({**NEW, **first}, 2)
    draft.change(number, second)
    wanted = {**NEW, **first, **second}
    found = settings.plain(Draft(draft.text, "test").exports[number - 1])
    assert wanted.items() <= found.items()


# --- durability and others --------------------------------------------------------------------


def test_the_file_is_replaced_durably(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(fd: int) -> None:
        seen.append(("fsync", os.readlink(f"/proc/self/fd/{fd}")))
        fsync(fd)

    def noted_rename(source: Path, target: Path) -> None:
        seen.append(("rename", str(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    exports_file.add(written, NEW)
    assert seen == [
        ("fsync", f"{written}.new"),
        ("rename", str(written)),
        ("fsync", str(written.parent)),
    ]


def test_a_full_disk_leaves_the_file(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        exports_file.add(written, NEW)
    assert written.read_text() == WRITTEN
    assert os.listdir(written.parent) == [written.name]


def test_a_draft_left_by_a_crash_does_not_matter(written: Path) -> None:
    draft = written.with_name(written.name + ".new")
    draft.write_text("[[export")
    exports_file.add(written, NEW)
    assert not draft.exists()
    assert len(exports_file.listing(written)) == 3


def test_changes_at_the_same_time_are_all_kept(path: Path) -> None:
    def add(letter: str) -> None:
        for number in range(10):
            exports_file.add(path, {"name": f"{letter}{number}", **NEW})

    threads = [threading.Thread(target=add, args=(letter,)) for letter in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = {f"{letter}{number}" for letter in "abc" for number in range(10)}
    assert set(names(exports_file.listing(path))) == wanted | {"default"}


# --- any sequence of changes, against a list --------------------------------------------------


class Changes(RuleBasedStateMachine):
    """A draft against a list of the same entries; each has a comment above, and one within."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = Draft("# The top\n", "test")
        self.rows: list[dict[str, object]] = []
        self.made = 0

    def _one(self, data: st.DataObject) -> int:
        return data.draw(st.integers(1, len(self.rows)))

    @rule(data=st.data())
    def add(self, data: st.DataObject) -> None:
        self.made += 1
        name = f"e{self.made}"
        to = data.draw(st.none() | st.integers(1, len(self.rows) + 1))
        number = len(self.rows) + 1 if to is None else to
        assert self.draft.add({"name": name, **NEW}, to) == number
        self.rows.insert(number - 1, {"name": name})
        head = f'[[export]]\nname = "{name}"\n'
        text = self.draft.text
        assert text.count(head) == 1
        noted = f'# above {name}\n[[export]]\nname = "{name}"  # within {name}\n'
        self.draft = Draft(text.replace(head, noted), "test")

    @precondition(lambda self: self.rows)
    @rule(data=st.data(), key=st.sampled_from(["anonuid", "anongid"]), value=st.integers(0, 9))
    def change(self, data: st.DataObject, key: str, value: int) -> None:
        number = self._one(data)
        self.draft.change(number, {key: value, "secure": None})
        self.rows[number - 1][key] = value

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = self._one(data)
        self.draft.remove(number)
        del self.rows[number - 1]

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        number, to = self._one(data), self._one(data)
        self.draft.move(number, to)
        self.rows.insert(to - 1, self.rows.pop(number - 1))

    @invariant()
    def the_text_is_the_list(self) -> None:
        text = self.draft.text
        found = [settings.plain(export) for export in self.draft.exports]
        for row, mine in zip(found, self.rows, strict=True):
            assert mine.items() <= row.items()
            name = mine["name"]
            assert f'# above {name}\n[[export]]\nname = "{name}"  # within {name}\n' in text
        lines = text.splitlines()
        assert lines[0] == "# The top"
        comments = [line for line in lines if line.startswith("# above ")]
        assert comments == [f"# above {row['name']}" for row in self.rows]


TestChanges = Changes.TestCase
TestChanges.settings = hypothesis.settings(max_examples=30, stateful_step_count=20)
