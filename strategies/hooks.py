"""The methods that a strategy is called by, and what is wrong with one that could not be."""

import inspect
from types import MappingProxyType

from models.errors import StrategyRejected

HOOKS = MappingProxyType(
    {
        "on_bar": ("bar",),
        "on_trade": ("trade",),
        "on_start": (),
        "on_stop": (),
        "on_execution": ("report",),
        "on_gap": ("gap",),
        "get_state": (),
        "set_state": ("state",),
    }
)
"""What each is called with, beside `self`."""


def check_hooks(cls: type) -> None:
    """Raise StrategyRejected for a class with a method that a session could not call."""
    for name, arguments in HOOKS.items():
        kind, hook = inspect.getattr_static(cls, name), getattr(cls, name)
        if not callable(hook) and not hasattr(kind, "__get__"):
            raise StrategyRejected(f"{cls.__name__}.{name} is {hook!r}; it must be a method")
        given = ("self", *arguments) if inspect.isfunction(kind) else arguments
        is_plain = inspect.isfunction(kind) or isinstance(kind, staticmethod | classmethod)
        _check(f"{cls.__name__}.{name}", hook, given if is_plain else None)


def check_handler(name: str, function: object) -> None:
    """Raise StrategyRejected for a bare function that a session could not call."""
    _check(name, function, HOOKS[name])


def without_effect(name: str, kind: str) -> str:
    """Return what is wrong with a hook whose call would only make a coroutine or a generator."""
    if kind == "async":
        return f"{name} is async and would never run; write `def {_last(name)}` without await"
    return f"{name} is a generator and would never run; write it without yield"


def uncallable(name: str, has: str, given: tuple[str, ...]) -> str:
    """Return what is wrong with a hook that takes the parameters `has` and is called with those `given`."""
    told = [each for each in given if each != "self"]
    with_what = f"the {told[0]}" if told else "nothing"
    return f"{name}({has}) is called with {with_what}: write `def {_last(name)}({', '.join(given)}):`"


def _check(name: str, hook: object, given: tuple[str, ...] | None) -> None:
    if inspect.iscoroutinefunction(hook) or inspect.isasyncgenfunction(hook):
        raise StrategyRejected(without_effect(name, "async"))
    if inspect.isgeneratorfunction(hook):
        raise StrategyRejected(without_effect(name, "generator"))
    if given is None or not callable(hook):
        return  # a descriptor of the author's own: only a call can tell
    try:
        signature = inspect.signature(hook, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # written in C: only a call can tell
    try:
        signature.bind(*given)
    except TypeError:
        raise StrategyRejected(uncallable(name, ", ".join(signature.parameters), given)) from None


def _last(name: str) -> str:
    return name.rpartition(".")[2]
