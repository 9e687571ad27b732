"""The two forms of source beside a class: bare handler functions, and a script that is run once per bar."""

from collections.abc import Callable
from types import CodeType
from typing import Any, ClassVar

import structlog

from models.errors import StrategyRejected
from models.market_data import Bar, Trade
from models.position import Position
from services.sandbox.protocol import Load
from strategies.base_strategy import BaseStrategy
from strategies.hooks import HOOKS, check_handler
from strategies.parameters import Parameter, Parameters, ParameterValues
from strategies.registry import check_strategy


def surroundings(load: Load) -> dict[str, Any]:
    """Return the names that a source has in reach without importing them."""
    log = structlog.get_logger("strategy").bind(
        strategy_id=load.strategy_id, symbol=load.symbol, session_id=load.session_id
    )
    return {
        "BaseStrategy": BaseStrategy,
        "Parameter": Parameter,
        "Parameters": Parameters,
        "Bar": Bar,
        "Trade": Trade,
        "log": log,
        "symbol": load.symbol,
        "position": Position(),
        "parameters": ParameterValues(load.parameters),
        "send_signal": _too_early,
    }


def _too_early(*_: object, **__: object) -> str:
    raise StrategyRejected("send_signal answers an event: call it in a handler")


class _InNamespace(BaseStrategy):
    """A strategy whose code lives in a namespace, and finds there what it would find on `self`."""

    namespace: ClassVar[dict[str, Any]] = {}

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        names = type(self).namespace
        names["send_signal"] = self._send_from_namespace
        if isinstance(names.get("parameters"), Parameters):
            names["parameters"] = self.parameters
        self._show_position()

    def _show_position(self) -> None:
        type(self).namespace["position"] = self.booked_position

    def _send_from_namespace(self, *arguments: Any, **named: Any) -> str:
        signal_id = self.send_signal(*arguments, **named)
        self._show_position()
        return signal_id

    def on_bar(self, bar: Bar) -> None:
        """Answer nothing: the source may have no handler of bars."""

    def on_trade(self, trade: Trade) -> None:
        """Answer nothing, as above."""


def handlers_strategy(namespace: dict[str, Any], load: Load) -> BaseStrategy:
    """Return a strategy that calls the functions of this namespace."""
    functions = {name: namespace[name] for name in HOOKS if callable(namespace.get(name))}
    if not {"on_bar", "on_trade"} & set(functions):
        raise StrategyRejected("neither on_bar nor on_trade is defined, so no market data would be answered")
    for name, function in functions.items():
        check_handler(name, function)
    methods = {name: _method(function) for name, function in functions.items()}
    return _build("Handlers", methods, namespace, load)


def script_strategy(code: CodeType, namespace: dict[str, Any], load: Load) -> BaseStrategy:
    """Return a strategy that runs this code for every bar.

    Its names stay from bar to bar; what it puts into `state`, a dict, outlives a restart, too.
    """
    namespace["state"] = {}

    def on_bar(strategy: _InNamespace, bar: Bar) -> None:
        strategy._show_position()  # noqa: SLF001 — a method of its
        namespace["bar"] = bar
        exec(code, namespace)  # noqa: S102 — what this process is for

    def get_state(_: BaseStrategy) -> Any:
        return namespace["state"]

    def set_state(_: BaseStrategy, state: dict[str, Any]) -> None:
        namespace["state"] = state

    return _build(
        "Script", {"on_bar": on_bar, "get_state": get_state, "set_state": set_state}, namespace, load
    )


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(strategy: _InNamespace, *arguments: Any) -> Any:
        strategy._show_position()  # noqa: SLF001 — a method of its
        return function(*arguments)

    return call


def _build(
    name: str, methods: dict[str, Callable[..., Any]], namespace: dict[str, Any], load: Load
) -> BaseStrategy:
    """Make the class that the source did not write, with what it declares at its top, and its instance."""
    declared = namespace.get("parameters")
    body: dict[str, Any] = {
        **methods,
        "name": name.lower(),
        "namespace": namespace,
        "parameters": declared if isinstance(declared, Parameters) else Parameters(),
        "warmup_bars": namespace.get("warmup_bars", 0),
        "deadline_ms": namespace.get("deadline_ms"),
        "watched_symbols": namespace.get("watched_symbols", ()),
    }
    cls: type[BaseStrategy] = type(name, (_InNamespace,), body)
    check_strategy(cls)
    given = load.parameters if isinstance(declared, Parameters) else {}
    return cls.build(load.strategy_id, load.symbol, load.session_id, given)
