"""A process that has a store and a mount of it, and is about to be stuck in the kernel.

Run as `python stuck_gateway.py STORE DIRECTORY`. It answers everything but LOOKUP: at the first one
it tells the kernel of a change in the directory that the caller has locked, which waits for the
answer that never comes. It prints `looked up` just before that.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from fuse import mounting, protocol
from fuse.protocol import Opcode
from store.directory import Lock

_ATTRIBUTES = protocol.ATTR_VALID.pack(0, 0, 0) + protocol.ATTR.pack(
    1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0
)
_ANSWERS = {
    Opcode.INIT: protocol.INIT_OUT.pack(7, 31, 0, 0, 1, 1, 1 << 16, 1, 16, 0, 0),
    Opcode.GETATTR: _ATTRIBUTES,
}


def serve(device: int) -> None:
    """Answer until stuck."""
    os.set_blocking(device, True)
    while True:
        request = os.read(device, 1 << 20)
        _, opcode, unique, *_ = protocol.IN_HEADER.unpack_from(request)
        if opcode == Opcode.LOOKUP:
            print("looked up", flush=True)
            os.write(device, protocol.inval_entry(protocol.ROOT_ID, b"name"))
        answer = _ANSWERS.get(Opcode(opcode), b"")
        os.write(device, protocol.reply_header(unique, len(answer)) + answer)


def main() -> None:
    """Take the store, mount, and serve on a second thread, as a gateway tells its kernels."""
    import threading

    store, directory = Path(sys.argv[1]), sys.argv[2]
    lock = Lock(store)
    device = mounting.mount(directory, "main", ["default_permissions"])
    (store / "mounts.json").write_text(json.dumps([{"directory": directory, "source": "main"}]))
    print("mounted", flush=True)
    thread = threading.Thread(target=serve, args=(device,))
    thread.start()
    thread.join()
    lock.close()


if __name__ == "__main__":
    main()
