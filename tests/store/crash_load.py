"""A random but seeded workload on a whole store, told step by step to whoever wants to know.

`Load` makes steps at random and does each on the store and on a plain `World`. It reports

    ("op", Op)      a step was done in memory; before any flush that holds it can begin
    ("ack", n)      all of the first n steps are durable, and may be called so
    ("job", name)   a job is about to run

so that a reader of the reports can tell the same history again (`apply`), without the store.
"""

from __future__ import annotations

import random
import stat
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from store import errors
from store.store import Store
from store.types import ROOT, Quota, RenameHow, SetAttr
from tests.store.crash_runners import Inline, Job, Runner, Thread
from tests.store.crash_steps import Fill, Op, apply
from tests.store.model import Model
from tests.store.model_nodes import Node
from tests.store.model_steps import MAKING, clue, plain
from tests.store.model_world import World

BYTES_MAX, INODES_MAX = 400_000, 40  # a tree that holds more is made smaller
NAMES = (b"a", b"b", b"c", b"d", b"e", b"f", b"\xff\xfe", b"n" * 255)
BRANCHES = ("main", "one", "two")
TREE_STEPS = {
    "create": 10,
    "mkdir": 4,
    "symlink": 2,
    "mknod": 1,
    "link": 3,
    "unlink": 6,
    "rmdir": 2,
    "rename": 6,
    "write": 18,
    "setattr": 6,
    "setxattr": 3,
    "removexattr": 1,
    "hold": 2,
    "release": 2,
}
STORE_STEPS = {
    "snapshot": 8,
    "delete_snapshot": 5,
    "rollback": 2,
    "fork": 3,
    "create_branch": 1,
    "delete_branch": 1,
    "rename_branch": 1,
    "set_quota": 1,
}

T = TypeVar("T")
Report = Callable[[tuple[Any, ...]], None]


class Load:
    """Random steps on an open store, and jobs beside them.

    With `threads` jobs run on two threads of their own, as a gateway runs them; without, each runs
    on this one, some steps after it was begun. `tolerant` takes a job's NoSpace or StorageFailure
    as an answer like any other: the job is tried again later.
    """

    def __init__(
        self,
        store: Store,
        world: World,
        rng: random.Random,
        report: Report,
        *,
        threads: bool,
        tolerant: bool = False,
        gc_chance: float = 0.02,
    ) -> None:
        self.store, self.world, self._rng, self._report = store, world, rng, report
        self._tolerant, self._gc_chance = tolerant, gc_chance
        self.done = 0  # steps done and reported
        self.failures = 0  # jobs and steps that the disk refused
        runner = Thread if threads else Inline
        self._flusher, self._worker = runner(), runner()
        self._collection: Generator[Job, None, None] | None = None

    def run(self, steps: int) -> None:
        """Do so many steps, with jobs in between."""
        while self.done < steps:
            self.step()

    def step(self) -> None:
        """One step at random, and perhaps a stage of a job."""
        self._do(self._next())
        self._work(self._rng.random())

    def end(self, how: str) -> None:
        """Come to an end: `abandon` what is under way, or `flush`, `settle` or `close`."""
        if how == "abandon":
            return
        self.finish_jobs()
        done = self.done
        getattr(self.store, how)()
        self._report(("ack", done))

    # --- jobs -------------------------------------------------------------------------------------

    def _work(self, chance: float) -> None:
        for runner in (self._flusher, self._worker):
            if runner.job is not None and runner.ended():
                self._finish(runner)
        if self._flusher.job is None and chance < 0.25:
            self._begin_flush()
        if self._worker.job is not None:
            return
        if self._collection is not None:
            self._begin(self._next_of_collection)
        elif chance > 1 - self._gc_chance:
            self._collection = self._jobs_of_gc()
        elif chance > 0.5:
            self._begin(self.store.background_job)

    def _begin_flush(self) -> None:
        done = self.done
        job = self._try(self.store.begin_flush)
        if job is not None:
            self._report(("job", "flush"))
            self._flusher.start(job, lambda: self._acknowledge(job, done))

    def _acknowledge(self, job: Any, done: int) -> None:
        if job.error is None:
            self._report(("ack", done))

    def _begin(self, ask: Callable[[], Job | None]) -> None:
        job = self._try(ask)
        if job is not None:
            self._report(("job", type(job).__name__))
            self._worker.start(job, lambda: None)

    def _jobs_of_gc(self) -> Generator[Job, None, None]:
        yield from self.store.gc_steps(lambda result: None)

    def _next_of_collection(self) -> Job | None:
        assert self._collection is not None
        if self._flusher.job is not None:
            self._finish(self._flusher)  # or the collection's next job might be to wait for it
        failures = self.failures
        job = self._try(lambda: next(self._collection or iter(()), None))
        if job is None or self.failures > failures:
            self._collection = None
        return job

    def _finish(self, runner: Runner) -> None:
        """Wait for a job and take over its outcome."""
        runner.join()
        job, runner.job = runner.job, None
        assert job is not None
        failures = self.failures
        self._try(job.finish)
        if self.failures > failures and runner is self._worker and self._collection is not None:
            self._collection.close()  # it goes no further; the next one begins anew
            self._collection = None

    def _try(self, call: Callable[[], T | None]) -> T | None:
        """Call; None where the disk refuses."""
        try:
            return call()
        except (errors.NoSpace, errors.StorageFailure) as error:
            if not self._tolerant or isinstance(error, errors.Damaged):
                raise
            self.failures += 1
            return None

    def finish_jobs(self) -> None:
        """Bring everything under way to its end."""
        while self._flusher.job or self._worker.job or self._collection:
            for runner in (self._flusher, self._worker):
                if runner.job is not None:
                    self._finish(runner)
            if self._collection is not None:
                self._begin(self._next_of_collection)

    # --- steps ------------------------------------------------------------------------------------

    def _do(self, op: Op) -> None:
        """Do a step on store and world; one that the store refuses is none, for both."""
        try:
            op = op._replace(facts=self._call(op))
        except errors.Busy:
            self.finish_jobs()
            self._try(self.store.flush)
            return
        except errors.NoSpace:
            if not self._tolerant:
                raise
            self.failures += 1
            return
        except (errors.StorageFailure, errors.ReadOnly, errors.RefConflict):
            raise
        except errors.StoreError:
            return
        apply(self.world, op)
        self.done += 1
        self._report(("op", op))

    def _call(self, op: Op) -> tuple[Any, ...]:
        """Do it on the store; what the world needs to know of it."""
        store, name = self.store, op.branch
        match op.name:
            case "create_branch":
                info = store.create_branch(name)
                return info.id, plain(store.tree(name).getattr(info.root_ino))
            case "snapshot":
                return tuple(info.id for info in store.snapshot(*op.operands))
            case "rollback":
                kept = store.rollback(name, f"{name}@{op.operands[0]}")
                return kept.name, kept.id
            case "fork":
                return (store.fork(self._ref(*op.operands), name).id,)
            case "rename_branch" | "delete_branch" | "delete_snapshot" | "set_quota":
                getattr(store, op.name)(name, *op.operands)
                return ()
        operands = [x.data() if isinstance(x, Fill) else x for x in op.operands]
        return clue(getattr(store.tree(name), op.name)(*operands))

    def _ref(self, source: str, snapshot: str, directory: int) -> str:
        branch = self.world.branches[source]
        tree, ref = branch.tree, source
        if snapshot:
            tree, ref = branch.snapshots[snapshot].tree, f"{source}@{snapshot}"
        if not directory:
            return ref
        path = next(path for path, _, node in tree.walk() if node.ino == directory)
        return ref + path.decode("utf-8", "surrogateescape")

    # --- choosing ---------------------------------------------------------------------------------

    def _next(self) -> Op:
        """A step that has a fair chance to be possible."""
        rng = self._rng
        if not self.world.branches:
            return Op("create_branch", "main", ())
        if rng.random() < 0.08:
            name = rng.choices(list(STORE_STEPS), list(STORE_STEPS.values()))[0]
            return self._store_step(name)
        branch = rng.choice(list(self.world.branches))
        model = self.world.branches[branch].tree
        usage = model.usage()
        name = rng.choices(list(TREE_STEPS), list(TREE_STEPS.values()))[0]
        if usage.inodes > INODES_MAX and name in MAKING:
            name = "unlink"
        if usage.used_bytes > BYTES_MAX and name == "write":
            name = rng.choice(("unlink", "setattr"))
        if name == "release" and not model.holds:
            name = "hold"
        return Op(name, branch, self._operands(name, model))

    def _store_step(self, name: str) -> Op:
        rng, world = self._rng, self.world
        branch = rng.choice(list(world.branches))
        other = rng.choice(BRANCHES)
        snapshots = world.branches[branch].snapshots
        if name == "snapshot" and len(snapshots) < 4:
            every = rng.sample(list(world.branches), rng.randint(1, len(world.branches)))
            return Op("snapshot", "", (tuple(every), f"s{rng.randrange(1000)}"))
        if name in ("delete_snapshot", "rollback", "snapshot") and snapshots:
            name = "rollback" if name == "rollback" else "delete_snapshot"
            return Op(name, branch, (rng.choice(list(snapshots)),))
        if name == "fork":
            snapshot = rng.choice([*snapshots, ""])
            tree = snapshots[snapshot].tree if snapshot else world.branches[branch].tree
            folders = [node.ino for _, _, node in tree.walk() if node.is_dir and node.entries]
            return Op("fork", other, (branch, snapshot, rng.choice([0, 0, *folders])))
        if name == "set_quota":
            return Op(name, branch, (Quota(rng.choice((0, 10**6)), rng.choice((0, 100))),))
        if name == "rename_branch":
            return Op(name, branch, (other,))
        if name == "delete_branch" and len(world.branches) > 1:
            return Op(name, branch, ())
        return Op("create_branch", other, ())

    def _operands(self, name: str, model: Model) -> tuple[Any, ...]:
        rng = self._rng
        here, entry = self._place(model)
        there, other = self._place(model)
        free = rng.choice(NAMES)
        ino = rng.choice(list(model.nodes))
        file = self._file(model) or ino
        match name:
            case "create" | "mkdir":
                return ROOT, here.ino, free, rng.choice((0o644, 0o755, 0o2755))
            case "symlink":
                return ROOT, here.ino, free, b"t" * rng.choice((1, 40, 300))
            case "mknod":
                return ROOT, here.ino, free, stat.S_IFIFO | 0o600
            case "link":
                return ROOT, file, here.ino, free
            case "unlink" | "rmdir":
                return ROOT, here.ino, entry
            case "rename":
                target = rng.choice((free, other))
                return ROOT, here.ino, entry, there.ino, target, rng.choice(list(RenameHow))
            case "write":
                return ROOT, file, rng.randrange(60_000), self._fill()
            case "setattr":
                size = rng.choice((0, 5000, 8192, 30_000, 100_000))
                change = rng.choice((SetAttr(size=size), SetAttr(mode=0o700, uid=7, mtime_ns=-5)))
                return ROOT, file, change
            case "setxattr":
                value = b"v" * rng.choice((0, 10, 500, 5000))
                return ROOT, ino, b"user.%d" % rng.randrange(3), value
            case "removexattr":
                return ROOT, ino, b"user.%d" % rng.randrange(3)
            case "release":
                return (rng.choice(list(model.holds)),)
        return (file,)

    def _fill(self) -> Fill:
        """Bytes to write: a few, some pages, or enough that a flush stores them in a pack."""
        length = self._rng.choice((1, 700, 4096, 10_000, 16_384, 100_000))
        return Fill(length, self._rng.randrange(1, 50))

    def _place(self, model: Model) -> tuple[Node, bytes]:
        """A directory, and a name in it that is there, if there is any."""
        here = self._rng.choice([node for node in model.known() if node.is_dir])
        return here, self._rng.choice(list(here.entries) or [b"a"])

    def _file(self, model: Model) -> int:
        files = [node.ino for node in model.known() if stat.S_ISREG(node.mode)]
        return self._rng.choice(files) if files else 0
