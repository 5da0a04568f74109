"""The table of operations fits the code, and errors come through HTTP as they went in."""

from __future__ import annotations

import inspect
import json
from http import HTTPStatus
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsgw import failures
from fsgw.operations import (
    BY_NAME,
    OPERATIONS,
    BadArguments,
    Form,
    Kind,
    Operation,
    checked,
    describe,
)
from store import errors

GIVEN = {
    Form.STEP: ["store"],
    Form.PAUSES: ["store"],
    Form.READS: ["store"],
    Form.STEPS: ["store"],
    Form.HELD: ["store"],
    Form.JOBS: ["store"],
    Form.MOMENT: ["store"],
    Form.EXPORTS: ["path"],
    Form.GATEWAY: ["gateway"],
    Form.AWAITED: ["gateway"],
}
HEARS = {Form.STEPS, Form.HELD, Form.JOBS, Form.MOMENT}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_the_code_takes_the_arguments(operation: Operation) -> None:
    named = [argument.name for argument in operation.arguments]
    more = ["progress"] if operation.form in HEARS else []
    function = inspect.signature(operation.function())
    assert sorted(function.parameters) == sorted([*GIVEN[operation.form], *named, *more])
    assert set(operation.in_path) <= set(named)
    assert all(argument.help.endswith(".") for argument in operation.arguments)
    assert operation.help.endswith((".", "now."))


def test_names_and_places_are_told_apart() -> None:
    assert len(BY_NAME) == len(OPERATIONS)
    assert len({(operation.method, operation.path) for operation in OPERATIONS}) == len(OPERATIONS)
    assert {operation.kind for operation in OPERATIONS} == set(Kind)
    assert json.loads(json.dumps(describe())) == describe()


SNAPSHOT = BY_NAME["snapshots.create"]
QUOTA = BY_NAME["quota.set"]


def test_defaults_are_filled_in() -> None:
    assert checked(SNAPSHOT, {"branches": ["a"]}) == {
        "branches": ["a"],
        "name": None,
        "message": "",
        "author": None,
    }


@pytest.mark.parametrize(
    ("operation", "values"),
    [
        (SNAPSHOT, {}),
        (SNAPSHOT, {"branches": None}),
        (SNAPSHOT, {"branches": "main"}),
        (SNAPSHOT, {"branches": [1]}),
        (SNAPSHOT, {"branches": ["a\0"]}),
        (SNAPSHOT, {"branches": ["\ud800"]}),
        (SNAPSHOT, {"branches": ["a"], "message": None}),
        (SNAPSHOT, {"branches": ["a"], "nonsense": 1}),
        (QUOTA, {"branch": "a", "bytes_max": -1}),
        (QUOTA, {"branch": "a", "bytes_max": 2**63}),
        (QUOTA, {"branch": "a", "bytes_max": True}),
        (QUOTA, {"branch": "a", "bytes_max": 1.0}),
        (QUOTA, {"branch": 1}),
        (BY_NAME["exports.move"], {"which": "a", "to": 0}),
    ],
)
def test_wrong_arguments_are_refused(operation: Operation, values: dict[str, Any]) -> None:
    with pytest.raises(BadArguments):
        checked(operation, values)


# --- errors -----------------------------------------------------------------------------------


def test_every_store_error_has_its_status() -> None:
    assert set(failures.STATUS) == set(failures.family())


@pytest.mark.parametrize("kind", list(failures.family()), ids=lambda kind: kind.__name__)
def test_store_errors_come_through(kind: type[errors.StoreError]) -> None:
    status, body = failures.answer(kind("what \udcff"))
    assert status >= HTTPStatus.BAD_REQUEST
    found = failures.raised(json.loads(json.dumps(body)))
    assert type(found) is kind
    assert str(found) == "what \udcff"


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file or directory", b"/a\xff"),
        OSError(28, "No space left on device"),
        BadArguments("which"),
    ],
)
def test_other_errors_come_through(error: Exception) -> None:
    _, body = failures.answer(error)
    found = failures.raised(json.loads(json.dumps(body)))
    assert type(found) is type(error)
    if isinstance(error, OSError) and isinstance(found, OSError):
        assert (found.errno, found.strerror) == (error.errno, error.strerror)
        assert found.filename == ("/a\udcff" if error.filename else None)
    else:
        assert str(found) == str(error)


def test_what_nobody_expects_tells_nothing() -> None:
    status, body = failures.answer(ValueError("a secret"))
    assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert "secret" not in json.dumps(body)
    assert failures.raised(body) is None


@given(
    st.dictionaries(
        st.sampled_from(["error", "message", "errno", "filename", "x"]),
        st.none() | st.integers() | st.text() | st.sampled_from(["OSError", "NotFound"]),
    )
)
def test_any_body_of_an_error_is_taken(body: dict[str, Any]) -> None:
    found = failures.raised(body)
    assert found is None or isinstance(found, errors.StoreError | OSError | BadArguments)
