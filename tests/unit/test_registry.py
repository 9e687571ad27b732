"""Strategies by name: the built-in ones, and what may be registered beside them."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from functools import cached_property

import pytest

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters
from strategies.registry import BUILT_IN, StrategyRegistry, describe


class Quiet(BaseStrategy):
    """Says nothing."""

    def on_bar(self, bar: Bar) -> None:
        """Nothing."""

    def on_trade(self, trade: Trade) -> None:
        """Nothing."""


def named(name: object) -> type[BaseStrategy]:
    return type("Named", (Quiet,), {"name": name})


def refusal(cls: object) -> str:
    with pytest.raises(StrategyRejected) as refused:
        StrategyRegistry().register(cls)  # type: ignore[arg-type]  # some are wrong on purpose
    return str(refused.value)


def test_the_built_in_strategies_are_known_by_the_names_of_the_documentation() -> None:
    assert StrategyRegistry(BUILT_IN).names() == (
        "bollinger_breakout",
        "buy_and_hold",
        "macd_trend",
        "mean_reversion",
        "mock",
        "momentum",
        "rsi_reversion",
        "sector_rotation",
        "sma_cross",
        "trend_following",
    )


def test_a_name_leads_to_its_class() -> None:
    registry = StrategyRegistry()
    assert [registry.get(cls.name) for cls in BUILT_IN] == list(BUILT_IN)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("sma_cros", "did you mean 'sma_cross'?"),
        ("MACD_TREND", "did you mean 'macd_trend'?"),
        ("qqqqqq", "there are: bollinger_breakout, buy_and_hold, macd_trend"),
        ("", "there are: bollinger_breakout"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(asked: str, hint: str) -> None:
    with pytest.raises(StrategyRejected, match=re.escape(f"no strategy {asked!r}; {hint}")):
        StrategyRegistry().get(asked)


def test_a_registered_class_is_found() -> None:
    registry = StrategyRegistry()
    registry.register(Quiet)
    assert registry.get("quiet") is Quiet
    assert "quiet" in registry.names()


def test_registering_a_class_twice_changes_nothing() -> None:
    registry = StrategyRegistry([Quiet, Quiet])
    assert registry.names() == ("quiet",)


def test_what_one_registry_learns_the_next_does_not_know() -> None:
    StrategyRegistry().register(Quiet)
    assert "quiet" not in StrategyRegistry().names()


def test_a_taken_name_is_refused_by_naming_who_has_it() -> None:
    assert refusal(named("mock")) == (
        "the name 'mock' belongs to MockStrategy already; give Named another `name`"
    )


@pytest.mark.parametrize("name", ["a", "x" * 64, "mean-reversion.v2_1", "2", "0-1"])
def test_names_of_these_forms_are_taken(name: str) -> None:
    registry = StrategyRegistry([named(name)])
    assert registry.names() == (name,)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 65, "Mock", "my strategy", "größe", "a/b", "a\n", None, 7],
)
def test_names_of_other_forms_are_refused(name: object) -> None:
    assert f"has the name {name!r}; a name is 1 to 64 of a-z 0-9 _ . -" in refusal(named(name))


@pytest.mark.parametrize("name", ["8f2c1c1e-6a55-5d0b-9c35-0d2f6b0c9a11", "8f2c1c1e6a555d0b9c350d2f6b0c9a11"])
def test_a_name_that_reads_as_a_row_of_the_catalogue_is_refused(name: str) -> None:
    assert "no UUID" in refusal(named(name))


@pytest.mark.parametrize("wrong", [object, 3, "mock", None])
def test_only_strategies_are_registered(wrong: object) -> None:
    assert refusal(wrong).endswith("is not a subclass of BaseStrategy")


def test_an_abstract_class_is_refused_by_naming_what_is_missing() -> None:
    class HalfDone(BaseStrategy):
        def on_bar(self, bar: Bar) -> None:
            """Nothing."""

    assert refusal(HalfDone) == "HalfDone must define on_trade"
    assert refusal(BaseStrategy) == "BaseStrategy must define on_bar and on_trade"


def test_parameters_that_are_a_plain_dict_are_refused_with_what_to_write() -> None:
    wrong = type("Wrong", (Quiet,), {"parameters": {"period": 14}})
    assert refusal(wrong) == (
        "Wrong.parameters is {'period': 14}; declare it as Parameters(period=Parameter(14))"
    )


@pytest.mark.parametrize("wrong", ["250", 0, -5, 2.5, True])
def test_a_deadline_is_whole_milliseconds(wrong: object) -> None:
    assert "it must be whole milliseconds above 0" in refusal(type("Slow", (Quiet,), {"deadline_ms": wrong}))


HOOKS = ["on_bar", "on_trade", "on_start", "on_stop", "on_execution", "on_gap", "get_state", "set_state"]


async def _coroutine(*_: object) -> None:
    """Nothing."""


async def _async_generator(*_: object) -> AsyncIterator[None]:
    yield


def _generator(*_: object) -> Iterator[None]:
    yield


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("wrong", [_coroutine, _async_generator, _generator])
def test_a_hook_that_would_never_run_is_refused_with_what_to_write(hook: str, wrong: object) -> None:
    said = (
        f"Idle.{hook} is a generator and would never run; write it without yield"
        if wrong is _generator
        else f"Idle.{hook} is async and would never run; write `def {hook}` without await"
    )
    assert refusal(type("Idle", (Quiet,), {hook: wrong})) == said


def test_a_method_that_no_session_could_call_is_refused_with_what_to_write() -> None:
    class Misled(Quiet):
        def on_bar(self) -> None:  # type: ignore[override]
            """Nothing."""

    assert refusal(Misled) == "Misled.on_bar(self) is called with the bar: write `def on_bar(self, bar):`"
    assert refusal(type("Unset", (Quiet,), {"on_gap": None})) == "Unset.on_gap is None; it must be a method"


@pytest.mark.parametrize("wrong", ["20", -1, 2.0, True, None, lambda _: 20])
def test_warmup_bars_that_are_no_whole_number_are_refused(wrong: object) -> None:
    said = refusal(type("Cold", (Quiet,), {"warmup_bars": wrong}))
    assert said.startswith(f"Cold.warmup_bars is {wrong!r}; it must be a whole number of bars, 0 or more")


@pytest.mark.parametrize("right", [0, 20, property(lambda _: 20), cached_property(lambda _: 20)])
def test_warmup_bars_are_a_whole_number_or_a_property(right: object) -> None:
    warm = type("Warm", (Quiet,), {"warmup_bars": right})
    assert StrategyRegistry([warm]).names() == ("warm",)


@pytest.mark.parametrize("hiding", [0, None, property(lambda _: 0)])
def test_a_position_of_the_authors_own_is_refused(hiding: object) -> None:
    said = refusal(type("Hiding", (Quiet,), {"name": "hiding", "position": hiding}))
    assert said == "Hiding.position hides the position that the worker keeps; call it something else"


def test_an_init_that_no_session_could_call_is_refused() -> None:
    class Lonely(Quiet):
        def __init__(self, symbol: str) -> None:
            super().__init__("strategy", symbol)

    assert refusal(Lonely).startswith(
        "Lonely.__init__ must take (strategy_id, symbol, session_id=None): too many positional arguments"
    )


def test_a_description_says_what_a_person_chooses_by() -> None:
    class Described(Quiet):
        """Waits.

        For ever.
        """

        parameters = Parameters(
            period=Parameter(14, minimum=2, maximum=50, description="bars to wait"),
            side=Parameter("long", choices=("long", "short")),
        )

        def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
            super().__init__(strategy_id, symbol, session_id)
            self.warmup_bars = 2 * self.parameters.period

    assert describe(Described) == {
        "name": "described",
        "doc": "Waits.\n\nFor ever.",
        "parameters": {
            "period": {
                "type": "int",
                "default": 14,
                "minimum": 2,
                "maximum": 50,
                "choices": None,
                "description": "bars to wait",
            },
            "side": {
                "type": "str",
                "default": "long",
                "minimum": None,
                "maximum": None,
                "choices": ["long", "short"],
                "description": "",
            },
        },
        "rules": None,
        "warmup_bars": 28,
    }


def test_a_class_without_a_docstring_does_not_show_that_of_its_base() -> None:
    class Wordless(Quiet):
        pass

    assert describe(Wordless)["doc"] == ""


@pytest.mark.parametrize("cls", BUILT_IN)
def test_every_built_in_strategy_describes_itself_and_each_parameter(cls: type[BaseStrategy]) -> None:
    described = json.loads(json.dumps(describe(cls)))
    assert described["doc"]
    assert all(parameter["description"] for parameter in described["parameters"].values())
