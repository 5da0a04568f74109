"""What is shipped for installing: the systemd unit, its user, and the sample files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

from fsgw import config, exports
from fsgw.config import Config

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "fsgw@.service"

# What the gateway has open besides its clients' connections.
OTHER_DESCRIPTORS = 4096


class _Repeating(dict[str, str]):
    """A section, in which a key may stand more than once: its values are joined by a newline."""

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, list) and key in self:
            value = [*self[key], *value]
        super().__setitem__(key, value)  # type: ignore[assignment]


@pytest.fixture(scope="module")
def unit() -> ConfigParser:
    """The unit file; its keys as they are written."""
    parser = ConfigParser(
        dict_type=_Repeating, interpolation=None, strict=False, delimiters="=", comment_prefixes="#"
    )
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text())
    return parser


def seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_the_unit_starts_and_stops_the_gateway(unit: ConfigParser) -> None:
    service = unit["Service"]
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    words = service["ExecStart"].split()
    assert words[1:4] == ["--store", "%S/fsgw/%i", "serve"]
    assert service["StateDirectory"] == "fsgw/%i"
    assert service["Type"] == "notify"
    assert service["KillSignal"] == "SIGTERM"
    assert "HUP" in service["ExecReload"]
    assert unit["Unit"]["AssertPathExists"] == "%S/fsgw/%i/fsgw-store"


def test_the_units_limits_cover_those_of_the_configuration(unit: ConfigParser) -> None:
    service, defaults = unit["Service"], Config()
    assert int(service["LimitNOFILE"]) >= defaults.nfs.connections_max + OTHER_DESCRIPTORS
    assert seconds(service["TimeoutStopSec"]) >= 2 * defaults.nfs.drain_timeout_s + 60


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("User", "fsgw"),
        ("UMask", "0077"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectoryMode", "0700"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        ("SystemCallFilter", "@system-service\n~@privileged @resources\n@chown"),
    ],
)
def test_the_unit_is_closed(unit: ConfigParser, key: str, value: str) -> None:
    assert unit["Service"][key] == value


def test_the_user_is_made() -> None:
    lines = (DEPLOY / "fsgw.sysusers").read_text().splitlines()
    (user,) = [line.split() for line in lines if not line.startswith("#")]
    assert user[:2] == ["u", "fsgw"]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    # It looks for the program as well, which stands elsewhere here.
    text = UNIT.read_text().replace("/usr/local/bin/fsgw", sys.executable)
    copy = tmp_path / UNIT.name
    copy.write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("fsgw.toml", config.sample(), "fsgw config sample"),
        ("exports.toml", exports.sample(), "fsgw config sample --exports"),
    ],
)
def test_the_sample_files_are_those_of_the_program(name: str, text: str, command: str) -> None:
    assert (DEPLOY / name).read_text() == text, f"run: {command} > deploy/{name}"
