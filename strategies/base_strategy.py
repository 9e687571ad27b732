"""The class that every strategy subclasses."""

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from numbers import Number
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, Self, get_args

import structlog
from msgspec.structs import asdict

from models.errors import StrategyRejected
from models.execution import ExecutionReport
from models.gap import Gap
from models.market_data import Bar, Trade
from models.position import Position
from models.signal import Action, Decision, Signal, derive_signal_id
from strategies.parameters import Parameters

ACTIONS = get_args(Action)
MAX_METADATA_BYTES = 8 * 1024
NUL_IN_JSON = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class SignalSink(Protocol):
    """Who takes a strategy's decisions: a session of the worker, a backtest, or nobody yet."""

    def emit(self, decision: Decision) -> str:
        """Take over a checked decision; return its signal's id."""


class _Booked:
    """Holds what `position` shows: an attribute of its own, read as quickly as any other."""

    __slots__ = ("booked_position",)
    booked_position: Position


def _refuse_position(strategy: "BaseStrategy", _value: object) -> NoReturn:
    raise StrategyRejected(
        f"{type(strategy).__name__} sets its position, which the worker keeps, from your signals and what "
        "became of them: read it, and keep numbers of your own under another name"
    )


class BaseStrategy(_Booked, ABC):
    """A strategy: it is told of bars and trades of its symbol, and sends signals.

    Override `on_bar` and `on_trade`; everything else is optional. One instance serves one session, and
    is never called by two threads at once. What it must declare, if anything, stands on the class:

    - `name`, under which sessions start it (default: the class's name in snake_case, `buy_the_dip` below);
    - `parameters`, with types, bounds and defaults;
    - `warmup_bars`, how many past bars it needs before its decisions count;
    - `watched_symbols`, further symbols whose bars and trades it is told of; it trades its own alone;
    - `deadline_ms`, the time that one call may take, where HANDLER_DEADLINE_MS is too little.

    Made by hand in a test it needs no worker: its signals collect in `sent_signals`. Its host, or such a
    test, writes `booked_position`, which `position` shows.

    >>> from strategies.parameters import Parameter
    >>> class BuyTheDip(BaseStrategy):
    ...     parameters = Parameters(drop=Parameter(0.02, minimum=0.0, description="fall within a bar"))
    ...     def on_bar(self, bar):
    ...         if bar.close < bar.open * (1 - self.parameters.drop) and not self.position.expected:
    ...             self.send_signal("BUY", bar.close, 10)
    ...     def on_trade(self, trade):
    ...         pass
    """

    name: ClassVar[str] = ""
    parameters: ClassVar[Parameters] = Parameters()
    warmup_bars: int = 0
    watched_symbols: Collection[str] = ()
    deadline_ms: ClassVar[int | None] = None

    if TYPE_CHECKING:

        @property
        def position(self) -> Position:
            """What the session holds, and will hold once its signals are answered; to be read only."""
    else:  # a call in C: half as dear as one of a Python function
        position = property(
            _Booked.booked_position.__get__,
            _refuse_position,
            doc="What the session holds, and will hold once its signals are answered; to be read only.",
        )

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = snake_case(cls.__name__)

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        self.strategy_id = strategy_id
        self.symbol = symbol
        self.session_id = session_id
        self.booked_position = Position()
        self.sent_signals: list[Signal] = []
        self.log = structlog.get_logger("strategy").bind(
            strategy_id=strategy_id, symbol=symbol, session_id=session_id
        )
        self._sink: SignalSink = _ByHand(self)
        self.__dict__.setdefault("parameters", type(self).parameters.bind({}))

    @classmethod
    def build(
        cls,
        strategy_id: str,
        symbol: str,
        session_id: str | None = None,
        parameters: Mapping[str, object] | None = None,
    ) -> Self:
        """Make an instance with checked parameters, which are in place before `__init__` runs.

        Raises StrategyRejected when a parameter is unknown or out of its bounds.
        """
        strategy = cls.__new__(cls)
        strategy.__dict__["parameters"] = cls.parameters.bind(parameters or {})
        strategy.__init__(strategy_id, symbol, session_id)  # type: ignore[misc]
        if "_sink" not in strategy.__dict__:
            raise StrategyRejected(
                f"{cls.__name__}.__init__ must call super().__init__(strategy_id, symbol, session_id)"
            )
        return strategy

    @abstractmethod
    def on_bar(self, bar: Bar) -> None:
        """Answer a completed bar."""

    @abstractmethod
    def on_trade(self, trade: Trade) -> None:
        """Answer a trade."""

    def on_start(self) -> None:
        """Prepare: called once, before the first bar, with parameters and restored state in place."""

    def on_stop(self) -> None:
        """Finish: called once, after the last bar. Signals sent here still go out."""

    def on_execution(self, report: ExecutionReport) -> None:
        """Answer the outcome of a signal; `self.position` already holds it."""

    def on_gap(self, gap: Gap) -> None:
        """Answer a stretch of time in which bars or trades may have been missed."""

    def get_state(self) -> dict[str, Any]:
        """Return what should survive a restart, as JSON."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take back what `get_state` returned; called before `on_start`."""

    def send_signal(
        self,
        action: Action,
        price: float,
        quantity: float,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Ask for an order and return the signal's id; `on_execution` will tell what became of it.

        `price` and `quantity` are finite and positive, `confidence` lies from 0 to 1, `metadata` is JSON
        of at most 8 KiB. Raises StrategyRejected, and sends nothing, when one of them is not.
        """
        if action not in ACTIONS:
            raise StrategyRejected(f"action is {action!r}; it must be 'BUY' or 'SELL'")
        decision = Decision(
            action=action,
            price=_positive("price", price),
            quantity=_positive("quantity", quantity),
            confidence=_share("confidence", confidence),
            metadata=_json_object(metadata),
        )
        return self._sink.emit(decision)

    def attach(self, sink: SignalSink) -> None:
        """Connect the strategy to whoever takes its decisions. Called by the host, not by authors."""
        self._sink = sink

    def apply_report(self, report: ExecutionReport) -> None:
        """Book an answer into `self.position`, then call `on_execution`.

        The worker does this for every answer; call it in a test to play the gateway.
        """
        self.booked_position = self.booked_position.after_report(report)
        self.on_execution(report)


class _ByHand:
    """Takes the decisions of a strategy that nobody hosts: they collect in its `sent_signals`."""

    def __init__(self, strategy: BaseStrategy) -> None:
        self._strategy = strategy

    def emit(self, decision: Decision) -> str:
        strategy = self._strategy
        key = strategy.session_id or strategy.strategy_id
        signal = Signal(
            **asdict(decision),
            signal_id=derive_signal_id(key, "by hand", len(strategy.sent_signals)),
            session_key=key,
            session_id=strategy.session_id,
            strategy_id=strategy.strategy_id,
            symbol=strategy.symbol,
            timestamp=datetime.now(UTC),
        )
        strategy.sent_signals.append(signal)
        strategy.booked_position = strategy.booked_position.after_signal(signal)
        return signal.signal_id


def snake_case(class_name: str) -> str:
    """Return the name that a class has where it declares none: `MACDTrend` is `macd_trend`.

    A word starts at a capital after a small letter or digit, and at the last capital of several where a
    small letter follows.
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()


def _number(name: str, given: object) -> float:
    if type(given) is not float and (isinstance(given, bool) or not isinstance(given, Number)):
        raise StrategyRejected(f"{name} is {given!r}; it must be a number")
    try:
        value = float(given)  # type: ignore[arg-type]  # the except clause is the check
    except (TypeError, ValueError, OverflowError):
        raise StrategyRejected(f"{name} is {given!r}; it must be a number that a float can hold") from None
    if not math.isfinite(value):
        raise StrategyRejected(f"{name} is {given!r}; it must be a finite number")
    return value


def _positive(name: str, given: object) -> float:
    value = _number(name, given)
    if value <= 0:
        raise StrategyRejected(f"{name} is {value}; it must be above 0")
    return value


def _share(name: str, given: object) -> float:
    value = _number(name, given)
    if not 0 <= value <= 1:
        raise StrategyRejected(f"{name} is {value}; it must lie from 0 to 1")
    return value


def _json_object(given: Mapping[str, Any] | None) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise StrategyRejected(f"metadata is of type {type(given).__name__}; it must be a dict")
    try:
        encoded = json.dumps(dict(given), allow_nan=False, ensure_ascii=False)
        size = len(encoded.encode())
        copy: dict[str, Any] = json.loads(encoded)
    except (TypeError, ValueError, RecursionError) as error:
        raise StrategyRejected(f"metadata is not JSON: {error}") from None
    if size > MAX_METADATA_BYTES:
        raise StrategyRejected(f"metadata is {size} bytes as JSON; at most {MAX_METADATA_BYTES} are sent")
    if NUL_IN_JSON.search(encoded):
        raise StrategyRejected("metadata holds a NUL character, which no database takes")
    return copy
