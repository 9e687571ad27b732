"""What a worker records of each attack by stored code, and that a session beside it is answered still."""

import os
from collections import defaultdict
from collections.abc import Iterator
from itertools import count

import pytest

from models.session import SessionState
from services.sandbox.budgets import Budgets
from services.sandbox.ending import Cause, Ending
from services.sandbox.strikes import StrikeBook, Verdict
from services.sandbox.ward import Ward
from tests.sandbox_attacks import ATTACKS, ENDLESS, TALKATIVE, Attack
from tests.sealed_world import SealedWorld, warded

FORBIDDEN = Ending(Cause.FORBIDDEN_CALL, "it made a system call that sealed code may not make")
TARGETS = {
    "worker": os.getpid(),
    "sibling": os.getpid(),
    "address": 0,
    "spoiled": 0,
    "descriptor": 0,
    "port": 1,
    "file": "/never-written",
    "bytes": 10 << 30,
}
LONG_SECONDS = 600.0
SURVIVED = {"OSError": 1, "nothing": 0}
"""What some attacks meet, and how many errors of the strategy that is; its host goes on."""


class NotedStrikes(StrikeBook):
    """Keeps what every host ended by and what is said of it; then no other one starts soon."""

    def __init__(self) -> None:
        super().__init__(None)
        self.noted: dict[str, list[tuple[Ending, Verdict]]] = defaultdict(list)

    def strike(self, key: str, ending: Ending) -> Verdict:
        """Note it."""
        verdict = super().strike(key, ending)
        self.noted[key].append((ending, verdict))
        return verdict if verdict.pause is None else verdict._replace(pause=LONG_SECONDS)


class Attacked:
    """A world with a session that attacks at its first bar, beside one that answers every bar."""

    def __init__(self, ward: Ward, strikes: NotedStrikes) -> None:
        self._strikes = strikes
        self._ward = ward
        self._beside = SealedWorld(ward, "def on_bar(bar): send_signal('BUY', 1.0, 1.0)")
        self._beside.manager.start_session("MSFT", "counting", "beside")
        self._beside.deliver()
        self._minutes = count(1)

    def attack(self, attack: Attack) -> SealedWorld:
        """Have a session attack, and its host answer for it."""
        world = SealedWorld(self._ward, attack.source)
        world.parameters = dict(TARGETS)
        world.manager.start_session("AAPL", "counting", attack.name)
        world.deliver()
        world.bar(1)
        return world

    def ending(self, world: SealedWorld, attack: Attack) -> tuple[Ending, Verdict]:
        """Wait for the end of the host and return what was recorded of it."""
        world.until(lambda: self._strikes.noted[attack.name])
        (noted,) = self._strikes.noted[attack.name]
        world.until(lambda: world.described(attack.name)["reason"] == noted[1].reason)
        return noted

    def assert_beside_answers(self) -> None:
        """The worker lives, and the session beside is told of a bar and heard."""
        minute = next(self._minutes)
        self._beside.bar(minute, "MSFT")
        self._beside.until(lambda: len(self._beside.sent) == minute)
        assert self._beside.sealed("beside").link.restarts == 0


@pytest.fixture(scope="module")
def attacked() -> Iterator[Attacked]:
    strikes = NotedStrikes()
    with warded(strikes=strikes) as ward:
        yield Attacked(ward, strikes)


@pytest.fixture(scope="module")
def patiently_attacked() -> Iterator[Attacked]:
    """So much time for a call that it can take all its memory on a slow machine, too."""
    strikes = NotedStrikes()
    with warded(Budgets(cpu_seconds=20.0, cpu_kill_seconds=20.0, wall_seconds=60.0), strikes) as ward:
        yield Attacked(ward, strikes)


def named(attacks: list[Attack]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attack", attacks, ids=[attack.name for attack in attacks])


@named([attack for attack in ATTACKS if attack.outcome is Cause.FORBIDDEN_CALL])
def test_an_attack_quarantines_its_session_with_the_reason(attacked: Attacked, attack: Attack) -> None:
    world = attacked.attack(attack)
    ending, verdict = attacked.ending(world, attack)
    assert ending == FORBIDDEN
    assert verdict.pause is None
    assert world.session(attack.name).state is SessionState.QUARANTINED
    assert FORBIDDEN.reason in str(world.session(attack.name).reason)
    attacked.assert_beside_answers()


@named([attack for attack in ATTACKS if attack.outcome in SURVIVED])
def test_an_attack_that_its_host_survives_costs_nothing_but_errors(
    attacked: Attacked, attack: Attack
) -> None:
    world = attacked.attack(attack)
    world.settle()
    assert len(world.errors) == SURVIVED[str(attack.outcome)]
    assert world.session(attack.name).state is SessionState.RUNNING
    assert world.sealed(attack.name).link.restarts == 0
    attacked.assert_beside_answers()


@named([attack for attack in ATTACKS if attack.outcome == "MemoryError"])
def test_an_attack_on_memory_is_recorded_as_that(patiently_attacked: Attacked, attack: Attack) -> None:
    world = patiently_attacked.attack(attack)
    ending, verdict = patiently_attacked.ending(world, attack)
    assert ending == Ending(Cause.OUT_OF_MEMORY, "on_bar had no memory left")
    assert verdict.reason.startswith(f"its process ended: {ending.reason}; it starts again in 1 s")
    patiently_attacked.assert_beside_answers()


@named(ENDLESS)
def test_a_call_without_end_is_recorded_with_the_budget_that_it_broke(
    attacked: Attacked, attack: Attack
) -> None:
    world = attacked.attack(attack)
    attacked.assert_beside_answers()
    ending, verdict = attacked.ending(world, attack)
    assert ending.cause in {Cause.CPU, Cause.WALL}
    assert "took too long" in ending.reason or "longer than" in ending.reason
    assert ending.reason in verdict.reason
    attacked.assert_beside_answers()


@named(TALKATIVE)
def test_what_is_said_out_of_turn_is_recorded_with_what_was_said(
    attacked: Attacked, attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sandbox.budgets.RATE_SECONDS", 60.0)  # however slow the machine is
    world = attacked.attack(attack)
    ending, verdict = attacked.ending(world, attack)
    assert ending.cause is attack.outcome
    assert {Cause.FLOOD: "it ", Cause.PROTOCOL: "a frame of "}[ending.cause] in ending.reason
    assert ending.reason in verdict.reason
    attacked.assert_beside_answers()
