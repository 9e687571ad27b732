"""Parameters that a strategy declares, and what is accepted for them."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import StrategyRejected
from strategies.parameters import Parameter, Parameters, ParameterValues, Value

DECLARED = Parameters(
    fast=Parameter(10, minimum=2, maximum=100, description="bars"),
    level=Parameter(30.0, minimum=0.0, maximum=100.0),
    exit=Parameter("middle", choices=("middle", "lower")),
    reverse=Parameter(default=False),
    note=Parameter(""),
)
WRONG: dict[str, Any] = {"period": 14}
NOTHING: Any = None


def refusal(given: object) -> str:
    with pytest.raises(StrategyRejected) as refused:
        DECLARED.bind(given)  # type: ignore[arg-type]  # some are wrong on purpose
    return str(refused.value)


def test_without_values_the_defaults_hold() -> None:
    assert dict(DECLARED.bind({})) == {
        "fast": 10,
        "level": 30.0,
        "exit": "middle",
        "reverse": False,
        "note": "",
    }


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("fast", 2, 2),
        ("fast", 100, 100),
        ("fast", 20.0, 20),
        ("level", 0.0, 0.0),
        ("level", 100, 100.0),
        ("exit", "lower", "lower"),
        ("reverse", True, True),
        ("note", "anything: ü\n", "anything: ü\n"),
    ],
)
def test_a_fitting_value_comes_back_in_the_declared_type(name: str, given: Value, value: Value) -> None:
    bound = DECLARED.bind({name: given})[name]
    assert (bound, type(bound)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        ("fast", 1, "fast is 1; it must be at least 2"),
        ("fast", 101, "fast is 101; it must be at most 100"),
        ("fast", 10**400, "it must be of type int"),
        ("fast", 2.5, "fast is 2.5; it must be of type int"),
        ("fast", "10", "fast is '10'; it must be of type int"),
        ("fast", True, "fast is True; it must be of type int"),
        ("fast", None, "fast is None; it must be of type int"),
        ("fast", [10], "fast is [10]; it must be of type int"),
        ("fast", float("inf"), "fast is inf; it must be of type int"),
        ("level", -0.1, "level is -0.1; it must be at least 0.0"),
        ("level", 100.1, "level is 100.1; it must be at most 100.0"),
        ("level", float("nan"), "level is nan; it must be of type float"),
        ("level", 10**400, "it must be of type float"),
        ("level", False, "level is False; it must be of type float"),
        ("level", "high", "level is 'high'; it must be of type float"),
        ("exit", "upper", "exit is 'upper'; it must be one of middle, lower"),
        ("exit", 1, "exit is 1; it must be of type str"),
        ("reverse", 1, "reverse is 1; it must be of type bool"),
        ("reverse", "yes", "reverse is 'yes'; it must be of type bool"),
        ("note", None, "note is None; it must be of type str"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(
    name: str, given: object, complaint: str
) -> None:
    assert complaint in refusal({name: given})


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"fats": 10}, "no parameter 'fats'; did you mean 'fast'?"),
        ({"zzz": 10}, "no parameter 'zzz'; there are: exit, fast, level, note, reverse"),
        ({7: 10}, "no parameter 7; there are: exit, fast"),
        ([("fast", 10)], "parameters are [('fast', 10)]; they must be names with values"),
        ("fast=10", "parameters are 'fast=10'; they must be names with values"),
    ],
)
def test_what_was_not_declared_is_refused_with_the_nearest_name(given: object, complaint: str) -> None:
    assert complaint in refusal(given)


def test_a_strategy_without_parameters_says_so() -> None:
    with pytest.raises(StrategyRejected, match=re.escape("no parameter 'fast'; there are none")):
        Parameters().bind({"fast": 1})


def test_everything_wrong_is_said_at_once() -> None:
    said = refusal({"fast": 1, "level": "x", "exti": "lower"})
    assert said == (
        "no parameter 'exti'; did you mean 'exit'?; fast is 1; it must be at least 2; "
        "level is 'x'; it must be of type float"
    )


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (lambda: Parameters(**WRONG), "parameter period is 14; declare it as Parameter(14)"),
        (lambda: Parameters(period=Parameter(1, minimum=2)), "period is 1; it must be at least 2"),
        (lambda: Parameters(period=Parameter(9, maximum=2)), "period is 9; it must be at most 2"),
        (
            lambda: Parameters(side=Parameter("up", choices=("long", "short"))),
            "it must be one of long, short",
        ),
        (lambda: Parameters(level=Parameter(float("nan"))), "level is nan; it must be of type float"),
        (lambda: Parameters(level=Parameter(NOTHING)), "level is None; it must be bool, int, float or str"),
        (lambda: Parameters(items=Parameter(3)), "a parameter cannot be called 'items'"),
        (lambda: Parameters(get=Parameter(3)), "a parameter cannot be called 'get'"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused_where_it_is_written(
    declare: Callable[[], Parameters], complaint: str
) -> None:
    with pytest.raises(StrategyRejected, match=re.escape(complaint)):
        declare()


# --- as a strategy sees them --------------------------------------------------------------------------------


class Configured:
    parameters = DECLARED


def test_on_the_class_stands_the_declaration_and_on_an_instance_the_values() -> None:
    assert Configured.parameters is DECLARED
    assert Configured().parameters == DECLARED.bind({})


def test_values_are_read_as_attributes_and_by_name() -> None:
    values = DECLARED.bind({"fast": 5})
    assert (values.fast, values["fast"], len(values), "fast" in values) == (5, 5, 5, True)
    assert dict(**values)["exit"] == "middle"


def test_a_name_that_is_none_is_answered_with_the_nearest() -> None:
    with pytest.raises(AttributeError, match=re.escape("no parameter 'fst'; did you mean 'fast'?")):
        _ = DECLARED.bind({}).fst
    with pytest.raises(KeyError):
        DECLARED.bind({})["fst"]


def test_values_do_not_change_while_a_strategy_runs() -> None:
    values = DECLARED.bind({})
    with pytest.raises(AttributeError, match="'fast' stays as it is"):
        values.fast = 3
    assert values.fast == 10


def test_values_can_be_copied_and_shown() -> None:
    values = ParameterValues({"fast": 3, "exit": "lower"})
    assert copy.deepcopy(values) == values
    assert repr(values) == "ParameterValues(fast=3, exit='lower')"
