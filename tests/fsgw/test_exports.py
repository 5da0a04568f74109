"""Exports: which rule a client comes under, for any exports at all, and what a file may say."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsgw import exports, settings
from fsgw.config import EXPORTS_NAME, SOCKET_NAME
from fsgw.exports import DEFAULT, Export, Exports, parse
from nfs.export import Rule, Shown, Squash
from store.errors import InvalidArgument
from tests.fsgw.helpers import Fsgw

# --- matching, against a model ----------------------------------------------------------------

# Few networks and names, close to each other, so that they meet.
V4_TEXTS = ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.0", "10.1.0.0", "127.0.0.1", "0.0.0.0"]
V6_TEXTS = ["::1", "::", "2001:db8::", "2001:db8::1", "2001:db8:0:1::", "fe80::1"]
ADDRESSES = st.sampled_from([ipaddress.ip_address(text) for text in V4_TEXTS + V6_TEXTS]) | (
    st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None)
)
BRANCHES = st.sampled_from(["main", "mainly", "MAIN", "vm-1", "vm-22", "vm-x", "a.b", "a_b"])
PATTERNS = st.sampled_from(["*", "main", "ma*", "vm-?", "vm-*", "vm-[0-9]*", "vm-[!0-9]", "a.b"])


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = draw(ADDRESSES)
    bits = draw(st.integers(0, address.max_prefixlen))
    return str(ipaddress.ip_network(f"{address}/{bits}", strict=False))


ENTRIES = st.builds(
    Export,
    branches=st.lists(PATTERNS, min_size=1, max_size=3, unique=True).map(tuple),
    clients=st.lists(networks(), min_size=1, max_size=3, unique=True).map(tuple),
    access=st.sampled_from(["rw", "ro"]),
    squash=st.sampled_from(Squash),
    anonuid=st.integers(0, 2**32 - 2),
)


def first_match(entries: list[Export], branch: str, address: Any) -> Rule | None:
    """The rules as they are written: the first entry that names branch and client."""
    for entry in entries:
        if any(fnmatchcase(branch, pattern) for pattern in entry.branches) and any(
            address in ipaddress.ip_network(network) for network in entry.clients
        ):
            return entry.rule
    return None


@given(st.lists(ENTRIES, max_size=5), BRANCHES, ADDRESSES)
def test_the_first_export_that_names_branch_and_client_decides(
    entries: list[Export], branch: str, address: Any
) -> None:
    found = Exports(exports=entries)
    expected = first_match(entries, branch, address)
    assert found.rule(branch, str(address)) == expected
    assert found.rule(branch, address.exploded) == expected
    if address.version == 4:
        assert found.rule(branch, f"::ffff:{address}") == expected
    if expected is not None:
        assert found.may_mount_any(str(address))


@given(st.lists(ENTRIES, max_size=5), ADDRESSES)
def test_may_mount_any(entries: list[Export], address: Any) -> None:
    expected = any(
        address in ipaddress.ip_network(network) for entry in entries for network in entry.clients
    )
    assert Exports(exports=entries).may_mount_any(str(address)) == expected


@given(st.lists(ENTRIES, max_size=5), BRANCHES, ADDRESSES)
def test_clients_of_a_branch_are_those_with_a_rule(
    entries: list[Export], branch: str, address: Any
) -> None:
    found = Exports(exports=entries)
    clients = found.clients_of(branch)
    assert len(set(clients)) == len(clients)
    listed = any(address in ipaddress.ip_network(client) for client in clients)
    assert listed == (found.rule(branch, str(address)) is not None)


@pytest.mark.parametrize("address", ["", "localhost", "10.0.0.1/8", "\0", "10.0.0.01", "1.2.3"])
def test_what_is_no_address_is_let_in_nowhere(address: str) -> None:
    found = Exports(exports=[Export(clients=("0.0.0.0/0", "::/0"))])
    assert found.rule("main", address) is None
    assert not found.may_mount_any(address)


def test_a_branch_name_matches_as_a_whole() -> None:
    found = Exports(exports=[Export(branches=("main", "vm-*"))])
    for branch in ("domain", "mainly", "main\n", "main/x", "", "VM-1", "xvm-1"):
        assert found.rule(branch, "127.0.0.1") is None
    assert found.rule("vm-", "127.0.0.1") is not None


def test_a_link_local_address_has_an_interface() -> None:
    found = Exports(exports=[Export(clients=("fe80::/10",))])
    assert found.rule("main", "fe80::1%eth0") is not None


def test_without_a_file_this_host_has_all_and_no_one_else_any(tmp_path: Path) -> None:
    found = Exports(tmp_path / "exports.toml")
    for address in ("127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"):
        rule = found.rule("any", address)
        assert rule == Rule()
        assert rule.squash is Squash.ROOT
        assert not rule.read_only
    for address in ("10.0.0.1", "::2", "::ffff:10.0.0.1", "128.0.0.1"):
        assert found.rule("any", address) is None
        assert not found.may_mount_any(address)
    assert found.entries() == DEFAULT


# --- the file ---------------------------------------------------------------------------------

FULL = """
[[export]]
name = "lab"
branches = ["vm-*"]
clients = ["10.0.0.0/8", "10.9.8.7", "::ffff:192.0.2.0/120"]
access = "ro"
squash = "all"
anonuid = 1000
anongid = 100
sync = false
secure = true
snapshots = "listed"
git = "off"
snapshot_admin = true
git_write = true
"""


def test_every_key_is_taken() -> None:
    (entry,) = parse(FULL, "test")
    assert set(tomllib.loads(FULL)["export"][0]) == set(Export.__dataclass_fields__)
    assert entry.clients == ("10.0.0.0/8", "10.9.8.7/32", "192.0.2.0/24")
    rule = Rule(True, Squash.ALL, 1000, 100, False, True, Shown.LISTED, Shown.OFF, True, True)
    assert entry.rule == rule
    assert Exports(exports=[entry]).rule("vm-1", "192.0.2.200") == rule


def test_the_defaults_of_a_file_are_the_defaults_of_a_rule() -> None:
    (entry,) = parse('[[export]]\nbranches = ["*"]\nclients = ["::1"]', "test")
    assert entry.rule == Rule()


def test_a_file_without_exports_lets_no_one_in(tmp_path: Path) -> None:
    path = tmp_path / "exports.toml"
    path.write_text("# nothing\n")
    assert Exports(path).rule("main", "127.0.0.1") is None
    assert not Exports(path).may_mount_any("127.0.0.1")


def test_the_sample_is_the_default() -> None:
    assert parse(exports.sample(), "test") == DEFAULT
    live = re.sub(r"(?m)^#(?=\w)", "", exports.sample())
    assert parse(live, "test") == DEFAULT
    assert list(tomllib.loads(live)["export"][0]) == list(Export.__dataclass_fields__)


@given(ENTRIES)
def test_plain_data_and_back(entry: Export) -> None:
    assert settings.read(Export, settings.plain(entry), Path(), "test") == entry


BRANCH, CLIENT = 'branches = ["*"]\n', 'clients = ["::1"]\n'
HEAD = f"[[export]]\n{BRANCH}{CLIENT}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[export]]\n" + BRANCH, r"export 1: clients is missing"),
        (HEAD + "[[export]]\n" + CLIENT, r"export 2: branches is missing"),
        (HEAD + "acess = 1", r"export 1: there is no key acess; did you mean access\?"),
        ("[[exports]]\n" + BRANCH + CLIENT, r"there is no key exports; did you mean export\?"),
        ("[export]\n" + BRANCH + CLIENT, r"exports are tables: \[\[export\]\]"),
        ("export = [1]", r"exports are tables: \[\[export\]\]"),
        (HEAD + 'access = "wr"', r'export 1: access: "wr" is not "rw" or "ro"'),
        (HEAD + 'squash = "yes"', r'export 1: squash: "yes" is not "root", "none" or "all"'),
        (HEAD + "squash = [[1]]", r"export 1: squash: \[\[1\]\] is not .*"),
        (HEAD + "anonuid = -1", r"export 1: anonuid: -1 is not .*"),
        (HEAD + "anongid = 4294967295", r"export 1: anongid: 4_294_967_295 is not .*"),
        (HEAD + "sync = 1", r"export 1: sync: 1 is not true or false"),
        (HEAD + 'name = "7"', r'export 1: name: "7" is not a name: .*'),
        (HEAD + 'name = "a"\n' + HEAD + 'name = "a"', r"two exports are named 'a'"),
        ("[[export]]\nbranches = []\n" + CLIENT, r"export 1: branches: \[\] is not .*"),
        ('[[export]]\nbranches = ["a/b"]\n' + CLIENT, r".* \('a/b' is no pattern .*"),
        ('[[export]]\nbranches = ["a@b"]\n' + CLIENT, r".* \('a@b' is no pattern .*"),
        (
            "[[export]]\n" + BRANCH + 'clients = ["10.0.0.1/8"]',
            r".* \('10.0.0.1/8' has bits beyond its length: 10.0.0.0/8 is the network\)",
        ),
        ("[[export]]\n" + BRANCH + 'clients = ["host"]', r".* \('host' is no address .*"),
        ("[[export]]\n" + BRANCH + 'clients = ["fe80::%eth0/64"]', r".* is no address .*"),
        ("[[export]]\n" + BRANCH + 'clients = ["10.0.0.0/33"]', r".* is no address .*"),
        ("[[export]]\n" + BRANCH + 'clients = ["::1", "0::1"]', r".* twice\)"),
        ("[[export", r"Expected .*"),
    ],
)
def test_what_is_said_against_a_file(text: str, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text, "exports.toml")
    assert re.fullmatch(f"exports.toml: {said}", str(caught.value))


# --- reloading --------------------------------------------------------------------------------


def test_the_version_changes_with_the_rules(tmp_path: Path) -> None:
    path = tmp_path / "exports.toml"
    found = Exports(path)
    seen = [found.version]
    path.write_text(HEAD)
    assert found.reload()
    seen.append(found.version)
    assert found.rule("main", "::1") == Rule()
    assert found.rule("main", "127.0.0.1") is None

    path.write_text("# a remark\n" + HEAD)
    assert not found.reload()
    assert found.version == seen[-1]

    path.write_text(HEAD + 'access = "ro"')
    assert found.reload()
    seen.append(found.version)
    assert found.rule("main", "::1") == Rule(read_only=True)

    path.unlink()
    assert found.reload()
    assert found.version not in seen
    assert found.entries() == DEFAULT


@pytest.mark.parametrize("data", [b"[[export]]\n", b"\xff", b"x = 1", b"[[export"])
def test_a_broken_file_leaves_the_rules_in_force(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "exports.toml"
    path.write_text(HEAD + 'access = "ro"')
    found = Exports(path)
    version = found.version
    path.write_bytes(data)
    with pytest.raises(InvalidArgument, match=re.escape(str(path))):
        found.reload()
    assert found.version == version
    assert found.rule("main", "::1") == Rule(read_only=True)
    with pytest.raises(InvalidArgument):
        Exports(path)


def test_a_file_that_cannot_be_read_leaves_the_rules_in_force(tmp_path: Path) -> None:
    path = tmp_path / "exports.toml"
    path.write_text(HEAD)
    found = Exports(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError):
        found.reload()
    assert found.rule("main", "::1") == Rule()


# --- where they are ---------------------------------------------------------------------------


def test_a_store_does_not_mind_the_gateways_files(fsgw: Fsgw) -> None:
    (fsgw.path / EXPORTS_NAME).write_text(HEAD)
    (fsgw.path / SOCKET_NAME).touch()
    fsgw("branch", "create", "other")
    fsgw("gc")
    assert fsgw.lines("check", "--data") == ["no problems found"]
    assert (fsgw.path / EXPORTS_NAME).read_text() == HEAD
