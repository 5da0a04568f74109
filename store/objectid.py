"""Object ids: what names an immutable object, and what proves that its bytes are the right ones.

An id is the BLAKE3-256 of the uncompressed bytes in derive-key mode, with one context string for
each kind: the same bytes as a chunk and as a node are two objects. The kinds' numbers and the
context strings are part of the format.
"""

from __future__ import annotations

from typing import Final

import blake3

ID_BYTES: Final = 32

CHUNK: Final = 1
NODE: Final = 2
COMMIT: Final = 3

CONTEXTS: Final = {
    CHUNK: "fsgw 2026 chunk v1",
    NODE: "fsgw 2026 node v1",
    COMMIT: "fsgw 2026 commit v1",
}

# A keyed hasher is set up once for each kind; a copy of it costs less than deriving the key again.
_HASHERS = {kind: blake3.blake3(derive_key_context=text) for kind, text in CONTEXTS.items()}


def object_id(kind: int, data: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte id of `data` as an object of `kind`; KeyError for an unknown kind.

    May run on any thread; large inputs are hashed without the interpreter's lock.
    """
    hasher = _HASHERS[kind].copy()
    hasher.update(data)
    return hasher.digest()
