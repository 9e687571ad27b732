"""At which price the reference OMS fills: the order's own, or the last one that went through Redis."""

import threading
from typing import TYPE_CHECKING, Protocol

import structlog

from models.errors import DecodeError
from models.market_data import Bar, Trade
from services.subscription import Message, Subscription

if TYPE_CHECKING:
    from services.oms.protocol import OrderRequest

BARS = "market_data:*"
TRADES = "market_trades:*"

log = structlog.get_logger(__name__)


class Prices(Protocol):
    """What knows the last price of the symbol of an order."""

    def price_of(self, order: "OrderRequest") -> float | None:
        """Return it in the quote currency, or None where none is known."""

    def start(self) -> None:
        """Begin to look for prices."""

    def close(self) -> None:
        """Look for prices no more."""


class OrderPrices:
    """Takes every order's own price for the last one: the price it was decided at."""

    def price_of(self, order: "OrderRequest") -> float | None:
        """Return the price of the order."""
        return order.price

    def start(self) -> None:
        """Every order brings its price along."""

    def close(self) -> None:
        """Nothing is open."""


class MarketPrices:
    """The last price of each symbol that is published in Redis from the start on: closes of bars, trades."""

    def __init__(self, redis_url: str) -> None:
        self._last: dict[str, float] = {}
        self._stop = threading.Event()
        self._subscription = Subscription(redis_url, (BARS, TRADES), self)
        self._thread = threading.Thread(target=self._run, name="oms-prices", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def price_of(self, order: "OrderRequest") -> float | None:
        """Return the last price of its symbol."""
        return self._last.get(order.symbol)

    def close(self) -> None:
        """Stop listening."""
        self._stop.set()
        self._subscription.wake()
        if self._thread.ident is not None:
            self._thread.join()
        self._subscription.close()

    def on_subscribed(self, silent_seconds: float | None) -> None:
        """Prices come."""
        log.info("oms_prices_subscribed", silent_seconds=silent_seconds)

    def on_lost(self, reason: str) -> None:
        """Prices may be old until the next `on_subscribed`."""
        log.warning("oms_prices_lost", reason=reason)

    def _run(self) -> None:
        for batch in self._subscription.batches(self._stop):
            for message in batch:
                self._note(message)

    def _note(self, message: Message) -> None:
        _, pattern, channel, payload = message
        symbol = channel.partition(b":")[2].decode(errors="replace")
        try:
            event = Bar.decode(payload) if pattern == BARS.encode() else Trade.decode(payload)
        except DecodeError as error:
            log.debug("oms_price_refused", channel=symbol, reason=error.reason)
            return
        if event.symbol == symbol:
            self._last[symbol] = event.close if isinstance(event, Bar) else event.price
