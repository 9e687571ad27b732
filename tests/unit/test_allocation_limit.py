"""What is asked for at once is limited; what is taken step by step is not. Each in a process of its own."""

import sys

from tests.support import REPOSITORY, running_process

START = """
import resource, sys
from services.allocation_limit import AllocationLimit
MB = 1 << 20
limit = AllocationLimit({step} * MB)
limit.start()
def taken(megabytes):
    try:
        return bytearray(megabytes * MB)
    except MemoryError:
        return None
"""


def said(code: str, step: int = 64) -> str:
    with running_process(
        [sys.executable, "-c", START.format(step=step) + code], env={"PYTHONPATH": str(REPOSITORY)}
    ) as process:
        assert process.wait() == 0, process.output
        return process.output


def test_more_than_a_step_at_once_is_refused_and_less_is_not() -> None:
    assert said("print(taken(96) is None, taken(32) is None)") == "True False\n"


def test_what_grows_step_by_step_has_no_end_as_long_as_somebody_looks() -> None:
    assert said(
        "kept = []\nfor _ in range(10): kept.append(taken(32)); limit.follow()\nprint(None in kept)"
    ) == ("False\n")
    assert said("kept = [taken(32) for _ in range(10)]\nprint(None in kept)") == "True\n"


def test_what_was_given_back_counts_no_more() -> None:
    grown = "kept = []\nfor _ in range(5): kept.append(taken(32)); limit.follow()\n"
    assert said(grown + "kept.clear(); limit.follow(); print(taken(96) is None)") == "True\n"


def test_the_limit_is_lifted_at_the_end_and_with_0_there_is_none() -> None:
    assert said("limit.stop(); print(taken(96) is None)") == "False\n"
    assert said("print(taken(96) is None)", step=0) == "False\n"


def test_a_lower_limit_from_outside_stays() -> None:
    outside = "limit.stop(); resource.setrlimit(resource.RLIMIT_DATA, (48 * MB, -1)); "
    code = outside + "again = AllocationLimit(64 * MB); again.start(); print(taken(56) is None)"
    assert said(code) == "True\n"
