"""Whose turn it is to be saved: everybody once in a round, nobody all at once."""

import pytest

from services.state_rota import Rota


@pytest.mark.parametrize("count", [1, 7, 30, 1_000])
def test_in_one_round_everybody_has_a_turn_and_the_turns_are_spread(count: int) -> None:
    rota, keys = Rota(), [f"s{number}" for number in range(count)]
    turns = [rota.next(keys, 1 / 30) for _ in range(31)]
    assert {key for turn in turns for key in turn} == set(keys)
    assert max(len(turn) for turn in turns) <= count // 30 + 1


def test_nobody_has_two_turns_however_late_it_is() -> None:
    rota = Rota()
    assert sorted(rota.next(["a", "b", "c"], 100.0)) == ["a", "b", "c"]


def test_those_that_come_and_go_cost_nobody_else_a_turn() -> None:
    rota = Rota()
    had: list[str] = []
    for number in range(8):
        had += rota.next(["a", "c", "e", *(["b"] if number % 2 else ["d"])], 1 / 4)
    assert {"a", "c", "e"} <= set(had)
    assert had.count("a") == had.count("c") == had.count("e")


def test_nobody_is_nobody() -> None:
    assert Rota().next([], 1.0) == []
