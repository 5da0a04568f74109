"""FORMAT.md and the code say the same, and stores of every version open or are refused by name."""

from __future__ import annotations

import importlib
import json
import re
import struct
import tarfile
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from store import (
    batch,
    database,
    directory,
    faults,
    gitrows,
    journal_segment,
    keys,
    node,
    objectid,
    pack,
    records,
)
from store.errors import NotAStore, WrongVersion
from store.records import Head
from store.store import Store
from store.types import ROOT as CALLER
from store.types import Inode
from tests.store import make_format_store
from tests.store.breaches import BREAKS
from tests.store.table_breaches import TABLE_BREAKS

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "store" / "FORMAT.md").read_text("utf-8")
DATA = ROOT / "tests" / "data"

CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i64": "q"}

# The layouts of the document, by heading: the code's, and the names of its fields where it has any.
LAYOUTS: dict[str, tuple[struct.Struct, tuple[str, ...]]] = {
    "Node": (node._HEAD, ()),
    "Commit": (records._COMMIT, ()),
    "Pack header": (pack._FILE, ()),
    "Pack record": (pack._BODY, ()),
    "Head": (records._HEAD, Head._fields),
    "Branch": (records._BRANCH, ("created_ns", "bytes_max", "inodes_max")),
    "Layer": (
        records._LAYER,
        ("parent", "frozen", "used_bytes", "inodes", "rows"),
    ),
    "Snapshot": (records._SNAPSHOT, records.SnapshotRecord._fields[:5]),
    "Git commit": (gitrows._GIT_COMMIT, gitrows.GitCommit._fields[:7]),
    "Git object": (gitrows._GIT_OBJECT, gitrows.GitObject._fields),
    "Git entry": (gitrows._GIT_ENTRY, gitrows.GitEntry._fields),
    "Location": (pack._INDEX, pack.Location._fields),
    "Inode": (records.INODE_RECORD, Inode._fields[1:]),
    "Entry": (records._DIRENT_HEAD, ()),
    "Segment header": (journal_segment._HEADER, ()),
    "Journal record": (journal_segment._RECORD, ()),
    "Operation": (batch._OP, ()),
    "Trim": (batch._TRIM_KEY, ()),
}


def section(heading: str) -> str:
    """What stands under a heading of any level, up to the next heading."""
    found = re.search(
        rf"^#+ (?:\d+\. )?{re.escape(heading)}\n(.*?)(?=^#|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL
    )
    assert found, f"FORMAT.md has no heading {heading!r}"
    return found[1]


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose header begins with a cell, as cells without code marks."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(f"| {first} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return found


# --- layouts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("heading", LAYOUTS)
def test_layout_is_the_codes(heading: str) -> None:
    layout, names = LAYOUTS[heading]
    order = layout.format[0]
    told = order
    for at, kind, _, _ in rows(section(heading), "at"):
        assert int(at) == struct.calcsize(told)
        told += f"{kind[1:]}s" if kind.startswith("b") else CODES[kind]
    assert told == layout.format
    if names:
        assert tuple(row[2] for row in rows(section(heading), "at")) == names


@pytest.mark.parametrize("heading", LAYOUTS)
def test_byte_order_is_told(heading: str) -> None:
    """A section says its own order; otherwise its chapter's counts, or else big-endian."""
    chapter = DOCUMENT[: DOCUMENT.index(section(heading))].rpartition("\n## ")[2]
    told = [
        re.search(r"(little|big)-endian", text, re.IGNORECASE)
        for text in (section(heading), chapter.partition("\n###")[0])
    ]
    order = next((found[1].lower() for found in told if found), "big")
    assert (order == "little") == LAYOUTS[heading][0].format.startswith("<")


def test_nothing_of_the_code_is_missing() -> None:
    """Every struct of the modules that know the format stands in the document."""
    known = {layout for layout, _ in LAYOUTS.values()}
    # Single integers, and parts of the above.
    parts = {"<Q", "<I", "<IIQ", ">Q", ">I", ">q", ">QQ", ">QB", "<HBBII32s"}
    for module in (batch, gitrows, journal_segment, keys, node, pack, records):
        for name, value in vars(module).items():
            if isinstance(value, struct.Struct) and value not in known:
                assert value.format in parts, f"{module.__name__}.{name}"


def test_values_of_fields_are_the_codes() -> None:
    head = {row[2]: row[3] for row in rows(section("Pack header"), "at")}
    assert head["magic"].strip("`") == pack._FILE_MAGIC.decode()
    assert int(head["version"]) == pack.FORMAT_VERSION
    record = {row[2]: row[3] for row in rows(section("Pack record"), "at")}
    assert int(record["magic"], 16) == pack._MAGIC
    segment = {row[2]: row[3] for row in rows(section("Segment header"), "at")}
    assert segment["magic"].strip("`") == journal_segment._MAGIC.decode()
    assert int(segment["version"]) == journal_segment.FORMAT_VERSION
    entry = {row[2]: row[3] for row in rows(section("Journal record"), "at")}
    assert int(entry["magic"], 16) == journal_segment._RECORD_MAGIC
    operations = {row[2]: row[3] for row in rows(section("Operation"), "at")}["kind"]
    assert re.findall(r"(\d): (put|delete|trim)", operations) == [
        (str(batch._PUT), "put"),
        (str(batch._DELETE_RANGE), "delete"),
        (str(batch._TRIM), "trim"),
    ]
    assert node.EMPTY.data.hex() in section("Node")
    assert batch.TOMBSTONE == b""
    assert keys.PRESENT.hex() in section("The map")


def test_constants_are_the_codes() -> None:
    told = rows(section("One form of everything"), "constant")
    assert len(told) > 20
    for name, value in told:
        module, *path = name.split(".")
        found: object = importlib.import_module(f"store.{module}")
        for part in path:
            found = getattr(found, part)
        assert found == int(value), name


# --- tables and keys --------------------------------------------------------------------------


def test_tables_are_the_codes() -> None:
    told = rows(section("Tables"), "table")
    assert tuple(row[0] for row in told) == database.TABLES
    for name, number, *_ in told:
        assert getattr(database, name.upper()) == int(number)


def test_map_kinds_are_the_codes() -> None:
    told = {row[0]: int(row[1]) for row in rows(section("The map"), "kind")}
    kinds = {
        name: value
        for name, value in vars(keys).items()
        if name.isupper() and isinstance(value, int) and name in told
    }
    assert kinds == told
    assert sorted(told.values()) == list(range(keys.INODE, keys.PAGE + 1))


def test_objects_are_the_codes() -> None:
    told = {int(row[1]): row[2] for row in rows(section("Objects"), "kind")}
    assert told == objectid.CONTEXTS


def test_marker_is_the_codes(tmp_path: Path) -> None:
    Store.init(tmp_path / "store")
    marker = json.loads((tmp_path / "store" / directory.MARKER).read_text("utf-8"))
    told = rows(section("The directory"), "member")
    assert [row[0] for row in told] == list(marker)
    paths = {row[0].strip("/") for row in rows(section("The directory"), "path")}
    with Store.open(tmp_path / "store"):
        assert {path.name for path in (tmp_path / "store").iterdir()} == paths


def test_names_in_meta_are_the_codes(tmp_path: Path) -> None:
    Store.init(tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        store.create_branch("main")
        store.tree("main").mkdir(CALLER, 1, b"x", 0o755)
        store.flush()
        store.checkpoint()
        stored = {key.decode() for key, _ in store.engine.reader.all(database.META)}
    assert stored == {row[0] for row in rows(section("Tables"), "name in `meta`")}


# --- invariants and crash cases ---------------------------------------------------------------


def numbers(text: str) -> set[str]:
    return set(re.findall(r"\b[PMFSCLG]\d+\b", text))


def test_every_invariant_is_looked_at_and_its_breach_is_tested() -> None:
    listed = re.findall(r"^\* \*\*(\w+)\*\* ", section("Invariants"), re.MULTILINE)
    assert len(listed) == len(set(listed))
    told = set(listed)
    assert len(told) > 30
    code = "".join(path.read_text("utf-8") for path in (ROOT / "store").glob("check*.py"))
    assert numbers(code) == told
    broken = {number for number, _, _ in (*BREAKS, *TABLE_BREAKS)}
    elsewhere = numbers((ROOT / "tests" / "store" / "test_corruption.py").read_text("utf-8"))
    by_hand = numbers((ROOT / "tests" / "store" / "test_check_maps.py").read_text("utf-8"))
    assert broken | elsewhere | by_hand == told


def test_every_fault_point_has_its_crash_case() -> None:
    told = re.findall(r"\[`([a-z.]+)`\]", section("Crashes"))
    assert sorted(told) == sorted(faults.NAMES)


def test_every_version_is_in_the_history() -> None:
    told = [int(row[0]) for row in rows(section("Versions"), "version")]
    assert told == list(range(1, directory.FORMAT_VERSION + 1))
    stored = {path.name for path in DATA.glob("store-v*.tar.gz")}
    assert stored == {f"store-v{version}.tar.gz" for version in told}


# --- stores of every version ------------------------------------------------------------------


def unpacked(version: int, where: Path) -> Path:
    with tarfile.open(DATA / f"store-v{version}.tar.gz") as archive:
        archive.extractall(where, filter="data")
    return where / "store"


def expected(version: int) -> dict[str, object]:
    found = json.loads((DATA / f"store-v{version}.json").read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def test_store_of_version_1_opens_and_shows_what_it_did(tmp_path: Path) -> None:
    path = unpacked(1, tmp_path)
    assert any((path / "journal").iterdir())  # it was left as a crash would
    for _ in range(2):
        with Store.open(path) as store:
            assert store.check(data=True) == []
            assert make_format_store.shown(store) == expected(1)
    with Store.open(path) as store:
        store.settle()
        assert store.gc().packs_removed >= 0
        assert store.check(data=True) == []
        told = make_format_store.shown(store)
        assert {**told, "commits": None} == {**expected(1), "commits": None}


def test_same_content_still_gets_the_same_ids(tmp_path: Path) -> None:
    """What version 1 stored years ago and what this code stores now are one and the same."""
    make_format_store.make(tmp_path / "store")
    with Store.open(tmp_path / "store") as store:
        assert make_format_store.shown(store) == expected(1)


def test_store_of_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    path = unpacked(1, tmp_path)
    before = sorted(file.relative_to(path) for file in path.rglob("*"))
    marker = (DATA / "store-later.json").read_text("utf-8")
    (path / directory.MARKER).write_text(marker, "utf-8")
    version = json.loads(marker)["format"]
    assert version > directory.FORMAT_VERSION
    with pytest.raises(WrongVersion, match=rf"format {version}; .* {directory.FORMAT_VERSION}$"):
        Store.open(path)
    assert sorted(file.relative_to(path) for file in path.rglob("*")) == before


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "{",
        "[]",
        "null",
        '{"format": 1}',
        '{"format": 1, "id": "x", "replica": 1, "block_bytes": 1}',
    ],
)
def test_marker_that_is_none_is_refused(tmp_path: Path, marker: str) -> None:
    path = unpacked(1, tmp_path)
    (path / directory.MARKER).write_text(marker, "utf-8")
    with pytest.raises(NotAStore):
        Store.open(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "00"},
        {"replica": 0},
        {"replica": 8192},
        {"replica": "1"},
        {"block_bytes": 5000},
        {"block_bytes": 2**25},
        {"block_bytes": "16384"},
    ],
    ids=str,
)
def test_marker_with_a_member_out_of_range_is_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    path = unpacked(1, tmp_path) / directory.MARKER
    marker = {**json.loads(path.read_text("utf-8")), **changes}
    path.write_text(json.dumps(marker), "utf-8")
    with pytest.raises(NotAStore):
        Store.open(path.parent)


def test_segment_of_a_later_version_is_refused(tmp_path: Path) -> None:
    path = unpacked(1, tmp_path)
    for segment in (path / "journal").glob("*.log"):
        data = bytearray(segment.read_bytes())
        for at in range(0, 4096, 512):
            struct.pack_into("<H", data, at + 8, 2)
            struct.pack_into("<Q", data, at + 504, xxh3_64_intdigest(bytes(data[at : at + 504])))
        segment.write_bytes(data)
    with pytest.raises(WrongVersion, match="format version 2 is unknown"):
        Store.open(path)
