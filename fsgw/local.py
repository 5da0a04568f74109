"""Operations carried out by the command itself, on a store that no gateway has."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fsgw.operations import Form, Operation
from fsgw.plain import Plain
from fsgw.process import tune
from fsgw.progress import Progress
from fsgw.pump import Pump
from fsgw.session import Bytes, NoGateway
from store import directory
from store.store import Store


class Local:
    """See the module, and `session.Way`; the store is open from the first operation on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._store: Store | None = None
        self._changed = False

    def one(self, operation: Operation, values: Plain, progress: Progress | None) -> Any:
        """Carry an operation out, and make what it changed durable."""
        function = operation.function()
        match operation.form:
            case Form.GATEWAY | Form.AWAITED:
                raise NoGateway(f"no gateway has the store {self._path}")
            case Form.EXPORTS:
                return function(self._exports_file(), **values)
        store = self._opened()
        result = _result(operation.form, function, store, values, progress)
        if operation.changes:
            store.flush()
            self._changed = True
        return result

    @contextmanager
    def rows(self, operation: Operation, values: Plain) -> Iterator[Iterator[Plain]]:
        """Rows as the operation yields them."""
        if operation.form is Form.MOMENT:
            values = {**values, "progress": None}
            found = operation.function()(self._opened(), **values)
        elif operation.form is Form.PAUSES:
            found = operation.function()(self._opened(), **values)
        else:
            found = self.one(operation, values, None)
        yield (row for row in found if row is not None)

    @contextmanager
    def content(self, operation: Operation, values: Plain) -> Iterator[Iterator[Bytes]]:
        """Bytes as they are read."""
        with closing(operation.function()(self._opened(), **values)) as reads:
            yield _read(reads)

    def _opened(self) -> Store:
        if self._store is None:
            tune()
            self._store = Store.open(self._path)
        return self._store

    def _exports_file(self) -> Path:
        from fsgw.config import EXPORTS_NAME

        directory.identity(Path(self._path))
        return Path(self._path) / EXPORTS_NAME

    def close(self, *, settle: bool) -> None:
        """Let the store go. Nothing runs in the background once a command has ended, hence work
        such as sealing is done here; cut short, it is done by the next command."""
        store, self._store = self._store, None
        if store is not None:
            with store:
                if settle and self._changed:
                    store.settle()


def _result(
    form: Form,
    function: Callable[..., Any],
    store: Store,
    values: Plain,
    progress: Progress | None,
) -> Any:
    match form:
        case Form.STEP:
            return function(store, **values)
        case Form.MOMENT:
            return function(store, **values, progress=progress)
        case Form.STEPS | Form.HELD:
            with Pump(store) as pump:
                return pump.run(function(store, **values, progress=progress))
        case _:
            assert form is Form.JOBS
            return _done(function(store, **values, progress=progress))


def _done(jobs: Generator[Any, None, Any]) -> Any:
    """The result of jobs that were all run."""
    with closing(jobs):
        while True:
            try:
                job = next(jobs)
            except StopIteration as end:
                return end.value
            job.run()
            job.finish()


def _read(reads: Generator[Any, Any, None]) -> Iterator[Bytes]:
    job = next(reads, None)
    while job is not None:
        job.run()
        data = job.finish()
        yield data.data
        try:
            job = reads.send(data)
        except StopIteration:
            return
