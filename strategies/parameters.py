"""Parameters that a strategy declares: their types, bounds and defaults, and the check of given values."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args, overload

from models.errors import StrategyRejected

Value = bool | int | float | str


@dataclass(frozen=True)
class Parameter:
    """One declared parameter; its type is the type of its default.

    `minimum` and `maximum` are inclusive. Whole numbers are accepted where a float is declared, and 10.0
    where an int is; nothing else is converted.

    >>> Parameter(14, minimum=2, maximum=200, description="bars to average").check("period", 20)
    20
    """

    default: Value
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Value, ...] | None = None
    description: str = ""

    @property
    def kind(self) -> type[Value]:
        """The type that values of this parameter have."""
        return type(self.default)

    def check(self, name: str, given: object) -> Value:
        """Return `given` as this parameter's type. Raises StrategyRejected when it does not fit."""
        value = self._convert(name, given)
        if self.choices is not None and value not in self.choices:
            raise StrategyRejected(
                f"{name} is {value!r}; it must be one of {', '.join(map(str, self.choices))}"
            )
        if isinstance(value, int | float) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise StrategyRejected(f"{name} is {value}; it must be at least {self.minimum}")
            if self.maximum is not None and value > self.maximum:
                raise StrategyRejected(f"{name} is {value}; it must be at most {self.maximum}")
        return value

    def _convert(self, name: str, given: object) -> Value:
        if self.kind in {bool, str}:
            if isinstance(given, bool | str) and isinstance(given, self.kind):
                return given
        elif isinstance(given, int | float) and not isinstance(given, bool):
            value = _finite(given)
            if value is not None and self.kind is float:
                return value
            if value is not None and given == int(given):
                return int(given)
        raise StrategyRejected(f"{name} is {given!r}; it must be of type {self.kind.__name__}")


def _finite(given: float) -> float | None:
    try:
        value = float(given)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


class ParameterValues(Mapping[str, Any]):
    """The checked values of one instance: `self.parameters.fast` or `self.parameters["fast"]`."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"no parameter {name!r}{suggest(name, self.__dict__)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"parameters do not change while a strategy runs; {name!r} stays as it is")

    def __getitem__(self, name: str) -> Any:
        return self.__dict__[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return f"ParameterValues({', '.join(f'{name}={value!r}' for name, value in self.items())})"


class Parameters:
    """The parameters that a strategy class declares.

    On the class it is the declaration; on an instance, the values. Raises StrategyRejected when a default
    does not fit its own declaration.

    >>> declared = Parameters(fast=Parameter(10, minimum=2), slow=Parameter(30, maximum=400))
    >>> declared.bind({"fast": 5}).slow
    30
    """

    def __init__(self, **declared: Parameter) -> None:
        for name, parameter in declared.items():
            if not isinstance(parameter, Parameter):
                raise StrategyRejected(
                    f"parameter {name} is {parameter!r}; declare it as Parameter({parameter!r})"
                )
            if type(parameter.default) not in get_args(Value):
                raise StrategyRejected(f"{name} is {parameter.default!r}; it must be bool, int, float or str")
            if hasattr(Mapping, name):
                raise StrategyRejected(
                    f"a parameter cannot be called {name!r}; a mapping has a method of that name"
                )
            parameter.check(name, parameter.default)
        self.declared: Mapping[str, Parameter] = declared

    @overload
    def __get__(self, instance: None, owner: type) -> "Parameters": ...
    @overload
    def __get__(self, instance: object, owner: type) -> ParameterValues: ...
    def __get__(self, instance: object | None, owner: type) -> "Parameters | ParameterValues":
        """Return the declaration; an instance that was configured keeps its values in its own attribute."""
        return self if instance is None else self.bind({})

    def bind(self, given: Mapping[str, object]) -> ParameterValues:
        """Check `given` and fill in defaults. Raises StrategyRejected naming every problem at once."""
        if not isinstance(given, Mapping):
            raise StrategyRejected(f"parameters are {given!r}; they must be names with values")
        problems = [
            f"no parameter {name!r}{suggest(str(name), self.declared)}"
            for name in given
            if name not in self.declared
        ]
        values: dict[str, Value] = {}
        for name, parameter in self.declared.items():
            try:
                values[name] = parameter.check(name, given.get(name, parameter.default))
            except StrategyRejected as error:
                problems.append(str(error))
        if problems:
            raise StrategyRejected("; ".join(problems))
        return ParameterValues(values)


def suggest(name: str, known: Mapping[str, object]) -> str:
    """Return a hint to add to a message about an unknown name: the nearest one, or the list of all."""
    near = get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there are: {', '.join(sorted(known))}" if known else "; there are none"
