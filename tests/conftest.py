"""How every test runs: `--quick`, the Hypothesis profiles, the seed, and who may run what.

One seed drives all random choices of a run: Hypothesis takes it (`--hypothesis-seed`), and so does
the `rng` fixture. It is printed, so that a failure can be repeated. Without that option Hypothesis
seeds itself and keeps failing examples in its database, which suits working on one test.
"""

from __future__ import annotations

import os
import random

import pytest
from hypothesis import HealthCheck, Verbosity, settings

# The cases of the suite assert as tests do, whichever test imports them first.
pytest.register_assert_rewrite("tests.posix")

SEED = pytest.StashKey[int]()

# Times on a shared machine say nothing, hence no deadline and no complaint about slow generation.
_COMMON = settings(
    deadline=None,
    derandomize=False,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
    verbosity=Verbosity.normal,
)
settings.register_profile("quick", _COMMON, max_examples=25, stateful_step_count=30)
settings.register_profile("full", _COMMON, max_examples=200, stateful_step_count=50)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="leave out tests marked slow; Hypothesis profile `quick` unless one is given",
    )


def pytest_configure(config: pytest.Config) -> None:
    quick = config.getoption("--quick")
    if config.getoption("--hypothesis-profile") is None:
        settings.load_profile("quick" if quick else "full")
    given = config.getoption("--hypothesis-seed")
    if given is not None:
        config.stash[SEED] = int(given)
    elif hasattr(config, "workerinput"):
        config.stash[SEED] = config.workerinput["fsgw_seed"]
    else:
        config.stash[SEED] = random.SystemRandom().getrandbits(31)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Hand the controller's seed to a process that pytest-xdist starts."""
    node.workerinput["fsgw_seed"] = node.config.stash[SEED]  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> str:
    profile = config.getoption("--hypothesis-profile") or (
        "quick" if config.getoption("--quick") else "full"
    )
    seed = config.stash[SEED]
    return f"fsgw: profile {profile}, seed {seed} (--hypothesis-seed={seed} repeats it)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--quick"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
    if os.geteuid() != 0:
        needs_root = pytest.mark.skip(reason="needs root")
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(needs_root)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """A generator of its own for each test, made from the run's seed and the test's name."""
    return random.Random(f"{request.config.stash[SEED]}:{request.node.nodeid}")
