"""What people read and type: sizes, times, paths, refs, progress bars."""

from __future__ import annotations

import io
import sys

import click
import pytest

from fsgw import progress
from fsgw.paths import path_fields, path_text, split_ref
from fsgw.render import size, when
from fsgw.session import parse_size
from store import errors


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"), (10 * 1024**3, "10.0 GiB"), (2**63 - 1, "8.0 EiB"),
        (2**70, "1024.0 EiB"),
    ],
)  # fmt: skip
def test_sizes_for_people(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1k", 1024),
        ("64KiB", 65536),
        ("10G", 10 << 30),
        (" 2mb ", 2 << 20),
    ],
)
def test_sizes_from_people(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5G", "12Q", "1 0", "0x10", "\u0661"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "ref", "path"),
    [
        ("main", "main", b"/"),
        ("main/", "main", b"/"),
        ("main@s/a//b/./c/", "main@s", b"/a/b/c"),
        ("main/\udcff\n", "main", b"/\xff\n"),
    ],
)
def test_refs_with_paths(text: str, ref: str, path: bytes) -> None:
    assert split_ref(text) == (ref, path)


@pytest.mark.parametrize("text", ["", "/a", "main/a/../b"])
def test_what_is_no_ref_with_a_path(text: str) -> None:
    with pytest.raises(errors.InvalidRef):
        split_ref(text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (b"plain", "plain"),
        ("é".encode(), "é"),
        (b"a\nb\tc\\d", "a\\nb\\tc\\\\d"),
        (b"\x1b[0m\x7f", "\\033[0m\\177"),
        (b"\xff", "\udcff"),
    ],
)
def test_paths_for_people(path: bytes, text: str) -> None:
    assert path_text(path_fields("path", path), "path") == text


def test_times_for_people() -> None:
    assert when(1_600_000_000_999_999_999) == "2020-09-13 12:26:40Z"
    assert when(-1) == "1969-12-31 23:59:59Z"
    assert when(2**63 * 10**6).endswith(" s")


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("length", [10 << 20, None])
def test_a_bar_is_shown_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, length: int | None
) -> None:
    for screen, shown in ((io.StringIO(), False), (Terminal(), True)):
        monkeypatch.setattr(sys, "stderr", screen)
        with progress.bar("import") as tell:
            assert (tell is not None) is shown
            for done in range(1, 10):
                if tell is not None:
                    tell(done << 20, length)
        assert ("import" in screen.getvalue()) is shown
        assert ("100%" in screen.getvalue()) is (shown and length is not None)
