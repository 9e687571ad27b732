"""The experiments of `make faults` in their quick form: what the worker promises when things break."""

from collections import Counter
from collections.abc import Iterator

import pytest

from services.embedded import EmbeddedPostgres
from tests.faults.databases import Databases
from tests.faults.experiment import Terms
from tests.faults.result import Result, Tally
from tests.faults.suite import EXPERIMENTS, QUICK, run_one

SEED = 20260128
# What other acceptance tests try, too: here it would only take time.
TRIED_ELSEWHERE = {
    "redis-kill-clients",
    "gateway-refused",
    "gateway-drops-idempotent",
    "postgres-restart",
    "strategy-raises",
    "strategy-loops",
}


@pytest.fixture(scope="module")
def databases(postgres: EmbeddedPostgres) -> Iterator[Databases]:
    with Databases(postgres) as made:
        yield made


@pytest.mark.parametrize("name", [name for name in QUICK if name not in TRIED_ELSEWHERE])
def test_the_promise_of_the_experiment_is_kept(databases: Databases, name: str) -> None:
    experiment = EXPERIMENTS[name]
    result = run_one(experiment, Terms(databases, SEED, rounds=1, quick=True))
    assert result.kept, f"{experiment.promise} But: {'; '.join(result.broken)}"


def test_what_is_executed_twice_or_never_or_unasked_is_counted() -> None:
    executions = Counter({"once": 1, "twice": 2, "unasked": 1})
    statuses = {"once": "executed", "twice": "executed", "waiting": "sending", "unasked": "executed"}
    tally = Tally.of(["once", "twice", "waiting", "unrecorded"], executions, statuses)
    assert tally == Tally(decided=4, executed=2, lost=1, duplicated=1, not_recorded=1, invented=1)


def test_a_signal_reported_otherwise_than_it_went_is_counted() -> None:
    statuses = {"rejected": "rejected", "forgotten": "executed", "open": "unknown"}
    tally = Tally.of(statuses, Counter({"rejected": 1, "open": 1}), statuses)
    assert (tally.misreported, tally.unknown, tally.lost) == (2, 1, 1)


def test_only_a_crash_may_cost_a_decision_its_row() -> None:
    result = Result("any", "Nothing is lost.", 1)
    result.expect_nothing_lost(Tally(decided=1, not_recorded=1), crashed=True)
    assert result.kept
    result.expect_nothing_lost(Tally(decided=1, not_recorded=1))
    assert not result.kept
