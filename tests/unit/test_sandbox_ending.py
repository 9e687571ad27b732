"""What the end of a host means, from what is known of it."""

import signal

import pytest

from services.sandbox.ending import OUT_OF_MEMORY, Cause, Ending, ending_of
from services.sandbox.orders import Ended, ended_with_zygote

TOO_LONG = Ending(Cause.CPU, "a call took more than 250 ms")


def ended(code: int | None = None, by: int | None = None) -> Ended:
    return Ended(number=1, pid=2, code=code, signal=by, cpu_seconds=0.1, max_rss_kib=1)


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        (ended(by=signal.SIGSYS), Cause.FORBIDDEN_CALL),
        (ended(by=signal.SIGSEGV), Cause.CRASHED),
        (ended(by=signal.SIGABRT), Cause.CRASHED),
        (ended(by=signal.SIGKILL), Cause.OUT_OF_MEMORY),
        (ended(code=OUT_OF_MEMORY), Cause.OUT_OF_MEMORY),
        (ended(code=0), Cause.LEFT),
        (ended(code=3), Cause.LEFT),
        (ended_with_zygote(1), Cause.ZYGOTE_LOST),
    ],
)
def test_an_end_that_was_not_asked_for_is_explained(end: Ended, cause: Cause) -> None:
    assert ending_of(end).cause is cause
    assert ending_of(end).reason


@pytest.mark.parametrize("end", [ended(by=signal.SIGKILL), ended(code=0), ended_with_zygote(1)])
def test_a_host_that_was_killed_ended_for_what_it_was_killed_for(end: Ended) -> None:
    assert ending_of(end, TOO_LONG) is TOO_LONG


def test_a_forbidden_call_is_never_excused_by_a_kill_that_came_too_late() -> None:
    assert ending_of(ended(by=signal.SIGSYS), TOO_LONG).cause is Cause.FORBIDDEN_CALL
