"""Every operation of the administrator, declared once: its name, its URL, its arguments, its code.

From this table come the gateway's HTTP API with its description, the checks of what clients send,
and the calls of the command line. It does not import what carries the operations out, so that a
command that only talks to a gateway starts quickly.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

from fsgw.plain import Plain

PREFIX = "/v1"


class Kind(enum.Enum):
    """What an operation answers with."""

    ONE = "one JSON object"
    ROWS = "JSON objects, one a line"
    BYTES = "bytes"
    TASK = "JSON lines: progress objects, then one with result or error"


class Form(enum.Enum):
    """How an operation's function is carried out; see `fsgw.admin`."""

    STEP = "one step on a store"
    PAUSES = "a generator of rows on a store"
    READS = "a generator of reads on a store"
    STEPS = "steps on a store"
    HELD = "steps on a store, while no garbage is collected"
    JOBS = "a generator of jobs of a store"
    MOMENT = "a function of a store or a moment of one, and of progress"
    EXPORTS = "a function of the file of exports"
    GATEWAY = "a function of the gateway alone"
    AWAITED = "a coroutine of the gateway alone"


class Argument(NamedTuple):
    """One argument. `kind` is str, int, bool, list (of strings) or dict; numbers are >= `least`.

    Without a default it has to be given; one whose default is None may be null.
    """

    name: str
    kind: type
    help: str
    default: Any = ...
    least: int = 0

    @property
    def required(self) -> bool:
        """Whether it has to be given."""
        return self.default is ...


class Operation(NamedTuple):
    """See the module; `code` is `module:function` below fsgw. Names in braces are in the path."""

    name: str
    method: str
    path: str
    kind: Kind
    form: Form
    code: str
    help: str
    arguments: tuple[Argument, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.method != "GET"

    @property
    def in_path(self) -> list[str]:
        """Names of the arguments that stand in the path."""
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    def function(self) -> Callable[..., Any]:
        """The code, imported now."""
        module, _, name = self.code.partition(":")
        return cast(Callable[..., Any], getattr(import_module(f"fsgw.{module}"), name))


class BadArguments(ValueError):
    """Arguments that the operation does not have, or not so; the text says which."""


def checked(operation: Operation, values: Mapping[str, object]) -> dict[str, Any]:
    """The arguments with defaults filled in. Raises BadArguments."""
    known = {argument.name for argument in operation.arguments}
    if unknown := sorted(values.keys() - known):
        raise BadArguments(f"{operation.name} has no argument {unknown[0]!r}")
    return {
        argument.name: _checked(argument, values[argument.name])
        if argument.name in values
        else _default(operation, argument)
        for argument in operation.arguments
    }


def _default(operation: Operation, argument: Argument) -> Any:
    if argument.required:
        raise BadArguments(f"{operation.name} needs the argument {argument.name!r}")
    return argument.default


def _checked(argument: Argument, value: object) -> object:
    name, kind = argument.name, argument.kind
    if value is None and argument.default is None:
        return value
    if type(value) is not kind:
        raise BadArguments(f"{name!r} must be of type {_NAMES[kind]}")
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and not _is_text(text):
            raise BadArguments(f"{name!r} holds what is no text")
    if isinstance(value, int) and not argument.least <= value <= _NUMBER_MAX:
        raise BadArguments(f"{name!r} must be from {argument.least} to {_NUMBER_MAX}")
    if isinstance(value, list) and not all(type(item) is str for item in value):
        raise BadArguments(f"{name!r} must be a list of strings")
    return value


def _is_text(text: str) -> bool:
    """Whether a string has no NUL in it, and stands for some bytes of a path."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


_NUMBER_MAX = 2**63 - 1
_NAMES = {str: "string", int: "integer", bool: "boolean", list: "list", dict: "object"}


def _plain(default: Any) -> Any:
    """A default as JSON has it."""
    return list(default) if isinstance(default, tuple) else default


def describe() -> Plain:
    """All operations, for programs: what `GET /v1` answers."""
    return {"operations": [_described(operation) for operation in OPERATIONS]}


def _described(operation: Operation) -> Plain:
    return {
        "name": operation.name,
        "method": operation.method,
        "path": PREFIX + operation.path,
        "answer": operation.kind.value,
        "help": operation.help,
        "arguments": [
            {
                "name": argument.name,
                "in": _place(operation, argument),
                "type": _NAMES[argument.kind],
                "required": argument.required,
                **({} if argument.required else {"default": _plain(argument.default)}),
                "help": argument.help,
            }
            for argument in (*operation.arguments, *_progress(operation))
        ],
    }


def _place(operation: Operation, argument: Argument) -> str:
    if argument.name in operation.in_path:
        return "path"
    return "body" if operation.method in ("POST", "PATCH") and argument != PROGRESS else "query"


def _progress(operation: Operation) -> tuple[Argument, ...]:
    return (PROGRESS,) if operation.kind is Kind.TASK else ()


PROGRESS = Argument("progress", bool, "Whether to report progress.", False)

_BRANCH = Argument("branch", str, "Name of a branch.")
_REF = "BRANCH, BRANCH@SNAPSHOT or a commit id"
_NAME = Argument("name", str, "The new name.")
_MESSAGE = Argument("message", str, "What the snapshot is for.", "")
_AUTHOR = Argument("author", str, "Who makes the snapshot: Ann <ann@example.org>.", None)
_EXPORT = Argument("which", str, "Name or number of an export.")
_VALUES = Argument("values", dict, "Keys of the export, as in the file of exports.")

_ONE, _ROWS, _TASK = Kind.ONE, Kind.ROWS, Kind.TASK
_STEP, _MOMENT, _EXPORTS = Form.STEP, Form.MOMENT, Form.EXPORTS

OPERATIONS = (
    # --- the gateway ---
    Operation(
        "status", "GET", "/status", _ONE, Form.GATEWAY, "status:status",
        "What the gateway does and how it fares.",
    ),
    Operation(
        "clients", "GET", "/clients", _ROWS, Form.GATEWAY, "status:clients",
        "Who is connected, what they mount, and what they do.",
    ),
    Operation(
        "mounts.list", "GET", "/mounts", _ROWS, Form.GATEWAY, "mounts:listing",
        "What is mounted with FUSE, by directory.",
    ),
    Operation(
        "mounts.create", "POST", "/mounts", _ONE, Form.AWAITED, "mounts:mount",
        "Mount with FUSE, on a directory as the gateway sees it.",
        (
            Argument("source", str, f"{_REF}, with /sub/dir a directory in it."),
            Argument("directory", str, "Absolute path of an empty directory."),
            Argument("options", list, "Options, as after -o.", ()),
        ),
    ),
    Operation(
        "mounts.delete", "DELETE", "/mounts", _ONE, Form.AWAITED, "mounts:unmount",
        "Unmount; what was changed there is durable then.",
        (
            Argument("directory", str, "Absolute path of the directory."),
            Argument("lazy", bool, "Even where it is in use; it ends with its last user.", False),
        ),
    ),
    # --- branches ---
    Operation(
        "branches.list", "GET", "/branches", _ROWS, _STEP, "admin:branches",
        "All branches, by name.",
    ),
    Operation(
        "branches.get", "GET", "/branches/{branch}", _ONE, _STEP, "admin:branch",
        "One branch.", (_BRANCH,),
    ),
    Operation(
        "branches.create", "POST", "/branches", _ONE, _STEP, "admin:create_branch",
        "Make an empty branch.",
        (
            _NAME,
            Argument("uid", int, "Owner of its root.", 0),
            Argument("gid", int, "Group of its root.", 0),
        ),
    ),
    Operation(
        "branches.fork", "POST", "/branches/fork", _ONE, _STEP, "admin:fork",
        "Make a branch that starts as another point.",
        (Argument("source", str, f"{_REF}, with /sub/dir a directory in it."), _NAME),
    ),
    Operation(
        "branches.rename", "PATCH", "/branches/{branch}", _ONE, _STEP, "admin:rename_branch",
        "Give a branch another name.", (_BRANCH, _NAME),
    ),
    Operation(
        "branches.delete", "DELETE", "/branches/{branch}", _ONE, _STEP, "admin:delete_branch",
        "Delete a branch and its snapshots.", (_BRANCH,),
    ),
    Operation(
        "quota.get", "GET", "/branches/{branch}/quota", _ONE, _STEP, "admin:quota",
        "A branch's usage and limits.", (_BRANCH,),
    ),
    Operation(
        "quota.set", "PATCH", "/branches/{branch}/quota", _ONE, _STEP, "admin:set_quota",
        "Set a branch's limits; null or absent: as it is, 0: none.",
        (
            _BRANCH,
            Argument("bytes_max", int, "Most bytes the branch may use.", None),
            Argument("inodes_max", int, "Most inodes.", None),
        ),
    ),
    Operation(
        "rollback", "POST", "/branches/{branch}/rollback", _ONE, _STEP, "admin:rollback",
        "Put a branch back to another point; answers the snapshot of what it was.",
        (_BRANCH, Argument("target", str, f"{_REF}.")),
    ),
    Operation(
        "merge", "POST", "/branches/{branch}/merge", _TASK, Form.HELD, "merging:merge",
        "Merge another point into a branch: what it changed since their common ancestor.",
        (
            _BRANCH,
            Argument("source", str, f"{_REF}."),
            Argument("name", str, "Name of the snapshot that the merge is; null: the time.", None),
            Argument("message", str, "What the merge is for.", ""),
            Argument("author", str, "Who merges: Ann <ann@example.org>.", None),
            Argument("favor", str, "Whose word counts in a conflict: ours, theirs; null: no one's.",
                     None),
            Argument("fast_forward", bool, "Without a commit of its own where none is needed.",
                     True),
            Argument("dry_run", bool, "Only tell what would change.", False),
        ),
    ),
    # --- history ---
    Operation(
        "snapshots.list", "GET", "/branches/{branch}/snapshots", _ROWS, _STEP, "admin:snapshots",
        "A branch's snapshots, oldest first.", (_BRANCH,),
    ),
    Operation(
        "snapshots.create", "POST", "/snapshots", _ROWS, _STEP, "admin:create_snapshots",
        "Snapshot one branch, or several in one atomic step.",
        (
            Argument("branches", list, "Names of the branches."),
            Argument("name", str, "Name of the snapshots; null: the time.", None),
            _MESSAGE,
            _AUTHOR,
        ),
    ),
    Operation(
        "snapshots.delete", "DELETE", "/branches/{branch}/snapshots/{snapshot}", _ONE, _STEP,
        "admin:delete_snapshot", "Delete a snapshot.",
        (_BRANCH, Argument("snapshot", str, "Name of the snapshot.")),
    ),
    Operation(
        "log", "GET", "/log", _ROWS, Form.PAUSES, "admin:log",
        "The history that led to a point, newest first.",
        (
            Argument("ref", str, f"{_REF}."),
            Argument("limit", int, "At most so many entries; null: all.", None),
        ),
    ),
    Operation(
        "diff", "GET", "/diff", _ROWS, _MOMENT, "admin:diff",
        "What differs between two points, by path.",
        (Argument("old", str, f"{_REF}."), Argument("new", str, f"{_REF}.")),
    ),
    # --- files ---
    Operation(
        "ls", "GET", "/ls", _ROWS, Form.PAUSES, "admin:listing",
        "The entries of a directory by name, or the one that is no directory.",
        (Argument("ref", str, f"{_REF}, with /path a directory or file in it."),),
    ),
    Operation(
        "cat", "GET", "/cat", Kind.BYTES, Form.READS, "admin:content",
        "A file's bytes; on an error halfway the connection ends.",
        (
            Argument("ref", str, f"{_REF}, then /path."),
            Argument("offset", int, "The first byte wanted.", 0),
        ),
    ),
    Operation(
        "import", "POST", "/branches/{branch}/import", _TASK, Form.STEPS, "admin:import_tree",
        "Make a directory of a branch equal to a local one, as the gateway sees it.",
        (
            _BRANCH,
            Argument("path", str, "The directory in the branch.", ""),
            Argument("source", str, "Absolute path of the local directory."),
            Argument("checksum", bool, "Compare contents, not size and time.", False),
            Argument("delete", bool, "Remove what the local directory does not have.", True),
            Argument("snapshot", str, "Take this snapshot at the end.", None),
            _MESSAGE,
            _AUTHOR,
        ),
    ),
    Operation(
        "restore", "POST", "/restore", _TASK, _MOMENT, "admin:restore_tree",
        "Restore a point, or a directory in one, as a local directory that the gateway makes.",
        (
            Argument("source", str, f"{_REF}, with /sub/dir a directory in it."),
            Argument("target", str, "Absolute path of the local directory; missing or empty."),
            Argument("force", bool, "Into one that is not empty, over its files.", False),
        ),
    ),
    # --- git ---
    Operation(
        "git.import", "POST", "/git/import", _TASK, Form.HELD, "git:import_git",
        "Bring the history of a git repository in: branches, and tags as snapshots.",
        (
            Argument("source", str, "Absolute path of the local repository."),
            Argument("prefixes", list, "Only branches whose names start so; none: all.", []),
            Argument("uid", int, "Owner of what has no other.", 0),
            Argument("gid", int, "Group of what has no other.", 0),
        ),
    ),
    Operation(
        "git.export", "POST", "/git/export", _TASK, Form.HELD, "git:export_git",
        "Write branches and their named snapshots as a bare git repository.",
        (
            Argument("names", list, "Names of the branches; none: all.", []),
            Argument("target", str, "Absolute path of the local directory; missing or empty."),
        ),
    ),
    # --- upkeep ---
    Operation(
        "gc.plan", "GET", "/gc", _TASK, Form.JOBS, "admin:gc_plan", "What GC would free now.",
    ),
    Operation(
        "gc", "POST", "/gc", _TASK, Form.JOBS, "admin:gc",
        "Free what no branch and no snapshot holds any more.",
    ),
    Operation(
        "check", "GET", "/check", _TASK, _MOMENT, "admin:check", "Verify the store.",
        (Argument("data", bool, "Read and verify every stored byte as well.", False),),
    ),
    Operation(
        "stats", "GET", "/stats", _TASK, _MOMENT, "admin:stats",
        "What is stored, in all and for each branch and snapshot.",
    ),
    # --- exports ---
    Operation(
        "exports.list", "GET", "/exports", _ROWS, _EXPORTS, "exports_file:listing",
        "All exports, in the order in which they are asked.",
    ),
    Operation(
        "exports.add", "POST", "/exports", _ONE, _EXPORTS, "exports_file:add",
        "Add an export.",
        (_VALUES, Argument("to", int, "Its position, from 1; null: the last.", None, 1)),
    ),
    Operation(
        "exports.set", "PATCH", "/exports/{which}", _ONE, _EXPORTS, "exports_file:change",
        "Change keys of an export; null: the default.", (_EXPORT, _VALUES),
    ),
    Operation(
        "exports.remove", "DELETE", "/exports/{which}", _ONE, _EXPORTS, "exports_file:remove",
        "Remove an export.", (_EXPORT,),
    ),
    Operation(
        "exports.move", "POST", "/exports/{which}/move", _ONE, _EXPORTS, "exports_file:move",
        "Move an export in the order.",
        (_EXPORT, Argument("to", int, "Its new position, from 1.", least=1)),
    ),
    Operation(
        "exports.reload", "POST", "/exports/reload", _ROWS, _EXPORTS, "exports_file:listing",
        "Read the file of exports again, after changing it by hand; answers all exports.",
    ),
)  # fmt: skip

BY_NAME = {operation.name: operation for operation in OPERATIONS}
