"""Imports a repository into a store, and says so after every commit: to be killed on the way.

python -m tests.gitdoor.crash_child STORE REPOSITORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from fsgw.pump import Pump
from gitdoor import translate
from gitdoor.importing import import_repository
from gitdoor.source import Repository
from gitdoor.translate import NOBODYS
from store.store import Store


def main() -> None:
    """Import, making all durable after every commit or two."""
    translate._OBJECTS_MAX = 1
    with Store.open(sys.argv[1]) as store:

        def advance(done: int) -> None:
            store.flush()
            print(done, flush=True)

        with Pump(store) as pump:
            pump.run(import_repository(store, Repository(Path(sys.argv[2])), [], NOBODYS, advance))
        print("done", flush=True)


if __name__ == "__main__":
    main()
