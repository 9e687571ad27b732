"""Starts that end, fail, and never end."""

import time

import pytest

from models.errors import StrategyTimedOut
from services.starter import Starter


def test_what_the_work_returns_and_raises_comes_back() -> None:
    starter = Starter(10)
    assert starter.run(lambda: 7) == 7
    with pytest.raises(SystemExit, match="no"):
        starter.run(lambda: exec("raise SystemExit('no')"))  # noqa: S102 — a raise in an expression
    assert starter.run(lambda: 8) == 8
    starter.close()


@pytest.mark.parametrize("hang", ["while True: pass", "import time; time.sleep(3600)"])
def test_a_start_that_never_ends_is_given_up_and_the_next_one_runs(hang: str) -> None:
    starter = Starter(0.2)
    with pytest.raises(StrategyTimedOut, match=r"longer than 0\.2 s"):
        starter.run(lambda: exec(hang))  # noqa: S102 — the point
    starter = Starter(10)
    assert starter.run(lambda: "next") == "next"
    starter.close()


def test_a_start_that_ends_just_in_time_is_never_confused_with_the_next() -> None:
    starter = Starter(0.01)
    for number in range(50):

        def work(result: int = number) -> int:
            time.sleep(0.0001 * (result % 20))
            return result

        try:
            assert starter.run(work) == number
        except StrategyTimedOut:
            continue  # a slow machine; the next result must still be its own
