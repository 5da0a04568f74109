"""Names as people and scripts write them: refs with a path, bytes paths as text."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping

from store import errors

_ESCAPES = {code: f"\\{code:03o}" for code in (*range(32), 127)} | {
    ord("\t"): "\\t",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\\"): "\\\\",
}


def split_ref(text: str) -> tuple[str, bytes]:
    """`main@monday/sub/dir` as the ref and the absolute path in it (`/` when none is given).

    Raises InvalidRef when the ref is empty or the path has a `..` in it.
    """
    ref, _, path = text.partition("/")
    names = [name for name in os.fsencode(path).split(b"/") if name not in (b"", b".")]
    if not ref:
        raise errors.InvalidRef(f"{text!r} names no branch, snapshot or commit")
    if b".." in names:
        raise errors.InvalidRef(f"{text!r}: a path in a ref may not hold '..'")
    return ref, b"/" + b"/".join(names)


def path_fields(key: str, path: bytes) -> dict[str, str]:
    """A path as plain data: `key` as text and, only where it is no UTF-8, `key_base64` as well.

    The text then has U+FFFD for each byte that cannot be shown.
    """
    try:
        return {key: path.decode()}
    except UnicodeDecodeError:
        exact = base64.b64encode(path).decode()
        return {key: path.decode(errors="replace"), f"{key}_base64": exact}


def path_text(data: Mapping[str, object], key: str) -> str:
    """A path out of plain data, for a line of text: the exact bytes, control characters escaped.

    Bytes that are no UTF-8 are kept as surrogate escapes, as `os.fsdecode` does; a newline is
    `\\n`, other control characters octal, and a backslash is doubled, so one path is one line.
    """
    exact = data.get(f"{key}_base64")
    path = os.fsdecode(base64.b64decode(exact)) if isinstance(exact, str) else str(data[key])
    return path.translate(_ESCAPES)
