"""The thread that speaks with all hosts: who is served when."""

import os
import socket
from collections.abc import Iterator
from typing import Protocol

import pytest

from services.sandbox import exchange
from services.sandbox.exchange import MOST_TICK_SECONDS, TICK_SECONDS, Exchange, pause_after
from tests.support import eventually


class SomeTalk:
    """A host that answers what it is told when it is let."""

    wire = None

    def __init__(self, served: Exchange, order: list[str], name: str) -> None:
        self.is_known = False
        self.name = name
        self._served, self._order = served, order
        self.near, self.far = socket.socketpair()
        self.near.settimeout(0)

    def fileno(self) -> int:
        return self.near.fileno()

    def pump(self) -> None:
        self._order.append(self.name)
        self._served.busy.add(self)

    def write(self) -> None:
        """Have nothing to write."""

    def read(self) -> None:
        if self.near.recv(1):
            self.is_known = True
            self._served.busy.discard(self)
            self._order.append(f"{self.name} has answered")

    def look(self, now: float, *, is_late: bool) -> None:
        """Have nothing to be held to."""

    def look_at_share(self, now: float) -> None:
        """Have nothing to be held to."""

    def answer(self) -> None:
        self.far.send(b"x")

    def close(self) -> None:
        self.near.close()
        self.far.close()


class Meet(Protocol):
    """Has a host served that there was not before, and tells it something."""

    def __call__(self, name: str, *, is_known: bool = False) -> SomeTalk: ...


@pytest.fixture
def order() -> list[str]:
    """What happened, in its order."""
    return []


@pytest.fixture
def meet(monkeypatch: pytest.MonkeyPatch, order: list[str]) -> Iterator[Meet]:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    served, talks = Exchange(), list[SomeTalk]()
    served.start()

    def meet(name: str, *, is_known: bool = False) -> SomeTalk:
        talk = SomeTalk(served, order, name)
        talk.is_known = is_known
        talks.append(talk)
        served.call(lambda: served.enter(talk))
        served.schedule(talk)
        return talk

    yield meet
    served.stop(5)
    for each in talks:
        each.close()


def test_newcomers_begin_one_after_the_other_and_the_known_at_once(
    meet: Meet, order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sandbox.newcomers.PATIENCE_SECONDS", 60.0)
    first, second, _ = meet("a"), meet("b"), meet("c")
    meet("d", is_known=True)
    eventually(lambda: order == ["a", "d"], 5, "one newcomer and the one that is known were told")
    first.answer()
    eventually(lambda: order[2:] == ["a has answered", "b"], 5, "the next one was told")
    second.answer()
    eventually(lambda: order[4:] == ["b has answered", "c"], 5, "the last one was told")


def test_a_newcomer_that_does_not_answer_keeps_nobody_waiting(meet: Meet, order: list[str]) -> None:
    for name in "abc":
        meet(name)
    eventually(lambda: order == ["a", "b", "c"], 5, "all were told")


def test_looks_take_a_tenth_of_the_time_at_most_and_are_never_far_apart() -> None:
    assert pause_after(0.0) == TICK_SECONDS
    assert pause_after(0.004) == pytest.approx(0.04)
    assert pause_after(3.0) == MOST_TICK_SECONDS
    assert exchange.LATE_SECONDS > 2 * MOST_TICK_SECONDS


def test_it_ends_however_soon_it_sees_that_it_should() -> None:
    for _ in range(300):
        served = Exchange()
        talk = SomeTalk(served, [], "busy")
        served.busy.add(talk)  # so that it looks around all the time
        served.start()
        served.stop(5)
        talk.close()
