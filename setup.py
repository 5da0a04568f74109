"""Builds the hot modules with mypyc; everything else about the package is in pyproject.toml.

Only an installation proper (`pip install .`) compiles. An editable one never does: a compiled
module beside its source would hide what is edited. Where no C compiler is there, or FSGW_COMPILE=0
says so, the same modules run as plain Python.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import BaseError, CCompilerError

# What profiles of the gateway under load, and of imports, show the interpreter itself to be the
# limit of. Modules that only declare types, or that wait, gain nothing. Others must stay as they
# are: those whose annotations are read at run time (`nfs.codec` compiles them), whose objects are
# referred to weakly (`store.cache`: compiled classes leave such references dangling), whose classes
# have heirs that are not compiled (`store.objects`), that keep something for each thread
# (`store.codec`: compiled, a `threading.local` is one for all), or that iterate over plain numbers
# (`gitdoor.work`: what mypyc makes of that is no valid C).
MODULES = (
    "fuse/device.py",
    "fuse/files.py",
    "fuse/listing.py",
    "fuse/names.py",
    "fuse/nodes.py",
    "fuse/protocol.py",
    "fuse/request.py",
    "fuse/session.py",
    "fuse/volumes.py",
    "gitdoor/entries.py",
    "gitdoor/making.py",
    "gitdoor/names.py",
    "gitdoor/objects.py",
    "gitdoor/reading.py",
    "gitdoor/translate.py",
    "nfs/attributes.py",
    "nfs/connection.py",
    "nfs/dispatch.py",
    "nfs/door.py",
    "nfs/handle.py",
    "nfs/nfs3_files.py",
    "nfs/nfs3_names.py",
    "nfs/record.py",
    "nfs/replies.py",
    "nfs/shown.py",
    "store/access.py",
    "store/batch.py",
    "store/blocks.py",
    "store/content.py",
    "store/disposal.py",
    "store/gitrows.py",
    "store/grafting.py",
    "store/keys.py",
    "store/layer.py",
    "store/memtable.py",
    "store/names.py",
    "store/node.py",
    "store/objectid.py",
    "store/pack.py",
    "store/pack_writer.py",
    "store/prolly.py",
    "store/prolly_build.py",
    "store/prolly_diff.py",
    "store/prolly_edit.py",
    "store/records.py",
    "store/renaming.py",
    "store/scratch.py",
    "store/tree.py",
    "store/treebase.py",
)


def extensions() -> list[Any]:
    """The modules to compile; none where that is not wanted, or mypyc is not there."""
    editable = {"develop", "editable_wheel", "dist_info", "egg_info", "sdist"} & set(sys.argv)
    if os.environ.get("FSGW_COMPILE") == "0" or editable:
        return []
    try:
        from mypyc.build import mypycify  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return []
    # Types were checked before; here, dependencies need not even be installed.
    relaxed = ["--config-file=", "--ignore-missing-imports", "--no-warn-return-any"]
    try:
        made = mypycify([*relaxed, *MODULES], opt_level="3", debug_level="0")
    except SystemExit as error:
        print(f"fsgw: not compiled, plain Python it is: {error}")
        return []
    return list(made)


class BuildAllOrNothing(build_ext):
    """Compiles all modules, or, where that fails, none: some would not load without others."""

    def run(self) -> None:
        """Build; a failure leaves plain Python."""
        try:
            super().run()
        except (BaseError, CCompilerError, OSError) as error:
            print(f"fsgw: not compiled, plain Python it is: {error}")
            for extension in self.extensions:
                Path(self.get_ext_fullpath(extension.name)).unlink(missing_ok=True)
            self.extensions = []


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildAllOrNothing})
