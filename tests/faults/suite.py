"""Which experiments there are, and how a run of them goes."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.faults import (
    engine_faults,
    freeze_faults,
    gateway_faults,
    intake_faults,
    kill_steps,
    kills,
    lease_faults,
    portfolio_faults,
    postgres_faults,
    rebalance_faults,
    redis_faults,
    sealed_faults,
    soak,
    strategy_faults,
)
from tests.faults.databases import Databases
from tests.faults.experiment import Experiment, Terms
from tests.faults.report import Report
from tests.faults.result import Result

QUICK_ROUNDS = 1

EXPERIMENTS: Mapping[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        *kills.EXPERIMENTS,
        *kill_steps.EXPERIMENTS,
        *redis_faults.EXPERIMENTS,
        *gateway_faults.EXPERIMENTS,
        *postgres_faults.EXPERIMENTS,
        *strategy_faults.EXPERIMENTS,
        *sealed_faults.EXPERIMENTS,
        *freeze_faults.EXPERIMENTS,
        *lease_faults.EXPERIMENTS,
        *portfolio_faults.EXPERIMENTS,
        *rebalance_faults.EXPERIMENTS,
        *engine_faults.EXPERIMENTS,
        *intake_faults.EXPERIMENTS,
        *soak.EXPERIMENTS,
    )
}

# What the quick form runs where no names are given: one of each kind of failure, within a minute.
QUICK = (
    "kill-9",
    "redis-restart",
    "redis-kill-clients",
    "redis-slow-reader",
    "redis-slices",
    "gateway-refused",
    "gateway-429",
    "gateway-drops-idempotent",
    "gateway-drops-read-back",
    "lease-kill-9",
    "portfolio-kill",
    "rebalance-kill",
    "postgres-kill",
    "postgres-restart",
    "strategy-raises",
    "strategy-loops",
    "strategy-sleeps",
    "strategy-on-stop",
    "sealed-reloads",
    "sealed-kill-9",
    "engine-kill-9",
    "intake-kill-9",
)


@dataclass(frozen=True)
class Plan:
    """What is to be run, and how. `rounds` None: as many as each experiment usually takes."""

    names: Sequence[str]
    seed: int
    rounds: int | None = None
    quick: bool = False
    minutes: float = 20.0


def run_all(plan: Plan, started: Callable[[Experiment], None]) -> Report:
    """Run the named experiments one after the other; `started` is told of each."""
    began_at = datetime.now(UTC)
    with Databases() as databases:
        results = []
        for name in plan.names:
            experiment = EXPERIMENTS[name]
            started(experiment)
            usual = min(experiment.rounds, QUICK_ROUNDS) if plan.quick else experiment.rounds
            terms = Terms(databases, plan.seed, plan.rounds or usual, plan.quick, plan.minutes)
            results.append(run_one(experiment, terms))
    return Report(began_at, plan.seed, plan.quick, results)


def run_one(experiment: Experiment, terms: Terms) -> Result:
    """Run an experiment; one that does not come to its end has broken its promise.

    The quick form, which runs among other tests on a busy machine, holds it to no time.
    """
    began = time.monotonic()
    try:
        result = experiment.run(terms)
    except Exception as error:  # noqa: BLE001 — the others are still to run, and the table says it
        result = Result(experiment.name, experiment.promise, terms.rounds)
        result.broken.append(f"did not come to its end: {type(error).__name__}: {error}")
    if not terms.quick:
        result.broken += result.late
    result.seconds = time.monotonic() - began
    return result
