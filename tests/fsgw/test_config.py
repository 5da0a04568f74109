"""The configuration: its sample, its bounds, its errors, and what it comes to."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from fsgw import config, settings
from fsgw.config import Config, load, sample
from fsgw.mount_config import MountConfig
from fsgw.settings import Choice, Flag, ListOf, PathName, Whole
from store.engine import Options
from store.errors import InvalidArgument

# All but [[mount]], of which there may be several, and none is there by itself.
TABLES: dict[str, Any] = {
    field.name: field.default for field in dataclasses.fields(Config) if field.name != "mount"
}


def declared() -> Iterator[tuple[str, Any, dataclasses.Field[Any]]]:
    """Table, its class and the declaration of every key."""
    for name, table in TABLES.items():
        yield from ((name, type(table), field) for field in dataclasses.fields(table))


DECLARED = list(declared())
IDS = [f"{name}.{field.name}" for name, _, field in DECLARED]
MOUNT = "[[mount]]\nsource = 'main'\ndirectory = 'm'\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fsgw.toml"


def loaded(file: Path, text: str) -> Config:
    file.write_text(text)
    return load(file)


def refused(file: Path, text: str) -> str:
    """What is said against a file, without the file's name, which must be there."""
    with pytest.raises(InvalidArgument) as caught:
        loaded(file, text)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{file}: ")
    return said.removeprefix(f"{file}: ")


# --- the sample -------------------------------------------------------------------------------


def test_the_sample_is_the_defaults(file: Path) -> None:
    assert loaded(file, sample()) == Config()


def test_the_sample_uncommented_is_the_defaults(file: Path) -> None:
    live = re.sub(r"(?m)^#(?=\w)", "", sample().partition("#[[mount]]")[0])
    raw = tomllib.loads(live)
    assert [f"{table}.{key}" for table in raw for key in raw[table]] == IDS
    assert loaded(file, live) == Config()


def test_the_sample_has_a_mount(file: Path) -> None:
    live = re.sub(r"(?m)^#(?=\w|\[)", "", "".join(sample().rpartition("#[[mount]]")[1:]))
    keys = [field.name for field in dataclasses.fields(MountConfig)]
    (raw,) = tomllib.loads(live)["mount"]
    assert list(raw) == keys
    filled = live.replace('source = ""', 'source = "main"').replace('ory = ""', 'ory = "m"')
    mount = MountConfig(source="main", directory=file.parent / "m")
    assert loaded(file, filled) == dataclasses.replace(Config(), mount=(mount,))


def test_the_sample_says_what_each_key_is_and_what_happens_at_its_limit() -> None:
    flat = " ".join(line.lstrip("# ") for line in sample().splitlines())
    for field in (*(field for _, _, field in DECLARED), *dataclasses.fields(MountConfig)):
        assert field.metadata["text"] in flat
        assert field.metadata["limit"] in flat
        assert f"Value: {field.metadata['kind'].words}." in flat


def test_lines_of_the_sample_are_short() -> None:
    assert max(map(len, sample().splitlines())) <= 80


# --- the declarations -------------------------------------------------------------------------


def test_keys_are_all_there() -> None:
    assert list(config.keys()) == IDS


@pytest.mark.parametrize(("name", "table", "field"), DECLARED, ids=IDS)
def test_a_key_is_declared_in_full(name: str, table: Any, field: dataclasses.Field[Any]) -> None:
    kind, metadata = field.metadata["kind"], field.metadata
    assert metadata["text"].endswith(".")
    assert not metadata["limit"] or metadata["limit"].endswith(".")
    # A unit comes last in a name, and a limit says what happens at it.
    assert (re.search(r"_(bytes|bytes_max)$", field.name) is not None) == (
        getattr(kind, "unit", "") == "bytes"
    )
    assert not field.name.endswith("_s") or kind.unit == "seconds"
    assert not field.name.endswith("_ms") or kind.unit == "milliseconds"
    assert not re.search(r"_max$|timeout", field.name) or metadata["limit"]
    assert field.name in get_type_hints(table)


@pytest.mark.parametrize(("name", "table", "field"), DECLARED, ids=IDS)
def test_a_default_is_allowed(name: str, table: Any, field: dataclasses.Field[Any]) -> None:
    kind = field.metadata["kind"]
    assert kind.read(kind.plain(field.default), Path("/")) == field.default


WRONG: dict[type[Any], list[object]] = {
    Whole: ["1", 1.5, True, [], {}],
    Flag: [0, "true", []],
    Choice: ["", "AUTO", 1, []],
    PathName: [1, ["x"], "a\0b"],
    ListOf: ["127.0.0.1", [], [1], ["localhost"], ["127.0.0.1", "127.0.0.1"], ["::1", "0::1"]],
}


@pytest.mark.parametrize(("name", "table", "field"), DECLARED, ids=IDS)
def test_bounds_hold(name: str, table: Any, field: dataclasses.Field[Any]) -> None:
    kind = field.metadata["kind"]
    wrong = list(WRONG[type(kind)])
    if isinstance(kind, Whole):
        for number in (kind.least, field.default, kind.most):
            read = settings.read(table, {field.name: number}, Path("/"), "test")
            assert getattr(read, field.name) == number
        wrong += [kind.least - 1, kind.most + 1]
    if isinstance(kind, ListOf) and not kind.least:
        wrong.remove([])
    for value in wrong:
        with pytest.raises(InvalidArgument, match=rf"test: x\.{field.name}: .* is not ") as caught:
            settings.read(table, {field.name: value}, Path("/"), "test", "x.")
        assert kind.words in str(caught.value)


def test_the_stores_limits_are_all_keys() -> None:
    assert Config().options == Options()
    assert set(Options._fields) - {"clock"} <= {
        field.name for field in dataclasses.fields(config.StoreConfig)
    }


# --- the file ---------------------------------------------------------------------------------


def test_values_are_taken(file: Path) -> None:
    text = """
    [store]
    directory = "data/store"
    dirty_bytes_max = 33_554_432
    [nfs]
    listen = ["0.0.0.0", "2001:DB8::0:1"]
    port = 0
    portmap = "off"
    [admin]
    socket_mode = 0o660
    [log]
    format = "json"
    """
    read = loaded(file, text)
    assert read.nfs.listen == ("0.0.0.0", "2001:db8::1")
    assert (read.nfs.port, read.nfs.portmap, read.nfs.udp) == (0, "off", True)
    assert read.admin.socket_mode == 0o660
    assert read.log.format == "json"
    assert read.options == Options(dirty_bytes_max=32 << 20)


def test_paths_are_relative_to_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    read = loaded(file, '[store]\ndirectory = "store"\n[exports]\nfile = "/etc/exports.toml"')
    assert read.directory == tmp_path / "store"
    assert read.exports_file == Path("/etc/exports.toml")
    assert read.replace({"store.directory": "other"}).directory == Path("/other")
    monkeypatch.chdir(tmp_path)
    assert load(Path(file.name)) == read


def test_socket_and_exports_are_in_the_store_unless_named() -> None:
    read = Config().replace({"store.directory": "/srv/s"})
    assert read.socket == Path("/srv/s/gateway.sock")
    assert read.exports_file == Path("/srv/s/exports.toml")
    read = read.replace({"admin.socket": "/run/fsgw/main.sock", "exports.file": "/etc/e.toml"})
    assert read.socket == Path("/run/fsgw/main.sock")
    assert read.exports_file == Path("/etc/e.toml")


def test_no_store() -> None:
    with pytest.raises(InvalidArgument, match="no store given"):
        _ = Config().directory


def test_a_socket_path_that_no_socket_can_have() -> None:
    fits = "/" + "a" * 106
    assert Config().replace({"admin.socket": fits}).socket == Path(fits)
    with pytest.raises(InvalidArgument, match=r"admin\.socket: .* 108 bytes"):
        _ = Config().replace({"admin.socket": fits + "a"}).socket


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[nfs]\nprot = 1", r"there is no key nfs\.prot; did you mean nfs\.port\?"),
        ("[nsf]\nport = 1", r"there is no key nsf; did you mean nfs\?"),
        ("[nfs]\nzzzzzz = 1", r"there is no key nfs\.zzzzzz"),
        ("port = 1", r"port stands in no table; it is a key of \[nfs\]"),
        ('"a\\nb" = 1', r'there is no key "a\\u000ab"'),
        ("nfs = 1", r"nfs is a table of keys: \[nfs\]"),
        ("[[nfs]]\nport = 1", r"nfs is a table of keys: \[nfs\]"),
        ("[nfs]\nport = 65536", r"nfs\.port: 65_536 is not a whole number from 0 to 65_535"),
        ("[nfs]\nport = -1", r"nfs\.port: -1 is not a whole number from 0 to 65_535"),
        ('[nfs]\nportmap = "no"', r'nfs\.portmap: "no" is not "auto", "off" or "require"'),
        ('[nfs]\nlisten = ["here"]', r"nfs\.listen: .* \('here' is no IP address\)"),
        ('[nfs]\nlisten = ["::1", "::1"]', r"nfs\.listen: .* twice\)"),
        ("[admin]\nsocket_mode = 0o1000", r"admin\.socket_mode: 512 is not .* 0o600 to 0o777"),
        ("[nfs]\nudp = 1979-05-27", r"nfs\.udp: 1979-05-27 is not true or false"),
        (f'[log]\nlevel = "{"x" * 500}"', r'log\.level: "x{59}\.\.\. is not .*'),
        ("[nfs\n", r".*line 1.*"),
        ("[nfs]\nport = 1\nport = 2", r"Cannot overwrite a value .*"),
        ("[nfs]\nrecord_bytes_max = 1_048_576", r"nfs\.record_bytes_max must .* \+ 4096 or more"),
        (
            "[nfs]\nconnection_buffer_bytes_max = 1_048_576",
            r"nfs\.connection_buffer_bytes_max must .* \+ 4096 or more",
        ),
        ("[store]\nflush_bytes = 67_108_865", r"store\.flush_bytes must not be more than .*"),
        ("mount = 1", r"mount is a list of tables: \[\[mount\]\]"),
        ("[mount]\nsource = 'main'", r"mount is a list of tables: \[\[mount\]\]"),
        ("mount = [1]", r"mount is a list of tables: \[\[mount\]\]"),
        (MOUNT + "[[mount]]\nsource = 'main'", "mount 2: it needs source and directory"),
        ("[[mount]]\ndirectory = 'm'", "mount 1: it needs source and directory"),
        ("[[mount]]\nsource = ''", r'mount 1: source: "" is not a branch, .*'),
        ("[[mount]]\nsource = 1", r"mount 1: source: 1 is not a branch, .*"),
        ("[[mount]]\ndirectory = 1", r"mount 1: directory: 1 is not a path"),
        (MOUNT + "option = []", r"there is no key mount 1: option; did you mean .*options\?"),
        (MOUNT + "options = 'ro'", r'mount 1: options: "ro" is not a list of options, .*'),
        (MOUNT + "options = ['sideways']", r"mount 1: options: .*'sideways' is no option of .*"),
        (MOUNT + "options = ['attr_timeout=x']", r"mount 1: options: .*a number of seconds\)"),
    ],
)
def test_what_is_said_against_a_file(file: Path, text: str, said: str) -> None:
    assert re.fullmatch(said, refused(file, text))


def test_limits_that_agree_are_allowed_together(file: Path) -> None:
    text = "[nfs]\nwrite_bytes_max = 65_536\nrecord_bytes_max = 69_632"
    assert loaded(file, text).nfs.record_bytes_max == 69_632


@pytest.mark.parametrize("data", [b"\xff", b"a = " + b"[" * 100_000])
def test_a_file_that_is_no_toml(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(InvalidArgument, match=re.escape(str(file))):
        load(file)


def test_mounts_are_read_in_their_order(file: Path) -> None:
    text = MOUNT + "options = ['ro', 'attr_timeout=1.5']\n[[mount]]\nsource = 'a@b/c'\n"
    assert loaded(file, text + "directory = '/m'").mount == (
        MountConfig(source="main", directory=file.parent / "m", options=("ro", "attr_timeout=1.5")),
        MountConfig(source="a@b/c", directory=Path("/m")),
    )


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(file)


# --- options ----------------------------------------------------------------------------------


def test_options_go_over_the_file(file: Path) -> None:
    read = loaded(file, "[nfs]\nport = 3000\nudp = false")
    other = read.replace({"nfs.port": 4000, "nfs.listen": ["::1"], "log.level": "debug"})
    assert (other.nfs.port, other.nfs.udp, other.nfs.listen) == (4000, False, ("::1",))
    assert other.log.level == "debug"
    assert read.nfs.port == 3000
    assert read.replace({}) == read


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nfs.prot": 1}, r"serve: there is no key nfs\.prot; did you mean nfs\.port\?"),
        ({"nfs": {}}, r"serve: there is no key nfs.*"),
        ({"nfs.port": "x"}, r'serve: nfs\.port: "x" is not a whole number from 0 to 65_535'),
        ({"nfs.record_bytes_max": 8192}, r"serve: nfs\.record_bytes_max must .*"),
    ],
)
def test_what_is_said_against_options(values: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Config().replace(values, "serve")
    assert re.fullmatch(said, str(caught.value))


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().nfs.port = 1  # type: ignore[misc]


# --- values in TOML ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        0,
        9999,
        10_000,
        -123_456,
        True,
        False,
        "",
        'a "b" \\c\n\t\x01\x7f \N{SNOWMAN}',
        ["a", "b"],
        [],
    ],
)
def test_values_are_written_as_toml(value: object) -> None:
    assert tomllib.loads(f"x = {settings.toml(value)}") == {"x": value}
