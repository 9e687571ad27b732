"""The data thread: reads bars and trades, and is the only caller of running strategies.

    message → channel routed? → decode → newer than the last? → on_bar or on_trade of its sessions

What other threads want of a session (reports, gaps, stops) they post to the mailbox, which is emptied between
two messages. So a strategy never meets two threads, and nothing on this path takes a lock.
"""

import time
from threading import Event, Thread

import structlog

from models.errors import DecodeError
from models.market_data import MAX_PAYLOAD_BYTES, Bar, Trade
from services.dead_letters import DeadLetters
from services.mailbox import Mailbox
from services.routing import PATTERNS, Route, Router
from services.session import Turn, deliver_bar, deliver_trade
from services.subscription import Message, Subscription
from services.telemetry.health import Heartbeat
from services.telemetry.logs import Throttle
from services.telemetry.metrics import EventCounters

LOG_SECONDS = 10.0

log = structlog.get_logger(__name__)


class DataConsumer:
    """Feeds market data to the sessions that the routing table names."""

    def __init__(
        self,
        redis_url: str,
        turn: Turn,
        router: Router,
        mailbox: Mailbox,
        dead_letters: DeadLetters,
    ) -> None:
        self.counters = EventCounters()
        self.heartbeat = Heartbeat()
        self.subscribed = False
        self._turn = turn
        self._router = router
        self._mailbox = mailbox
        self._dead_letters = dead_letters
        self._throttle = Throttle(LOG_SECONDS)
        self._stop = Event()
        self._subscription = Subscription(redis_url, PATTERNS, self)
        self._thread = Thread(target=self._run, name="data-consumer", daemon=True)
        mailbox.wake = self._subscription.wake

    def start(self) -> None:
        """Begin to read."""
        self.heartbeat.beat()
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the thread; false when it did not end within `timeout` seconds."""
        self._stop.set()
        self._subscription.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def on_subscribed(self, silent_seconds: float | None) -> None:
        """Note that market data flow again, and for how long they did not."""
        self.subscribed = True
        log.info("market_data_subscribed", silent_seconds=silent_seconds)
        if silent_seconds is not None:
            self.counters.gaps["bars"] += 1
            self.counters.gaps["trades"] += 1

    def on_lost(self, reason: str) -> None:
        """Note that market data may be missed from now on."""
        self.subscribed = False
        log.warning("market_data_lost", reason=reason)

    def _run(self) -> None:
        for batch in self._subscription.batches(self._stop):
            self.heartbeat.beat()
            self._turn.received_at = time.monotonic()
            self._consume(batch)
        self._mailbox.deliver()
        self._subscription.close()

    def _consume(self, batch: list[Message]) -> None:
        router, letters = self._router, self._mailbox.letters
        unrouted = 0
        for _, _, channel, payload in batch:
            if letters:
                self._mailbox.deliver()
            route = router.table.get(channel)
            if route is None:
                unrouted += 1
                continue
            try:
                if route.carries_bars:
                    self._deliver_bar(route, payload)
                else:
                    self._deliver_trade(route, payload)
            except DecodeError as error:
                self._refuse(channel.decode(), payload, error)
        if unrouted:
            self.counters.dropped["no_session"] += unrouted
        if letters:
            self._mailbox.deliver()

    def _refuse(self, channel: str, payload: bytes, error: DecodeError) -> None:
        self.counters.rejected[error.reason] += 1
        self._dead_letters.add(channel, error.reason, payload)
        self._throttle.log(
            log.warning,
            "market_data_refused",
            key=error.reason,
            channel=channel,
            reason=error.reason,
            detail=error.detail,
        )

    def _deliver_bar(self, route: Route, payload: bytes) -> None:
        feed, counters = route.feed, self.counters
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise DecodeError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
        bar = Bar.decode(payload)
        if bar.symbol != feed.symbol:
            raise DecodeError("symbol_mismatch", f"a bar of {bar.symbol!r} on the channel of {feed.symbol!r}")
        last = feed.last_bars.get(bar.timeframe)
        if last is not None and bar.timestamp <= last:
            counters.dropped["duplicate"] += 1
            return
        feed.last_bars[bar.timeframe] = bar.timestamp
        feed.last_price = bar.close
        started = time.monotonic()
        feed.heard_at = started
        deliver_bar(route.sessions, bar, self._turn)
        told = len(route.sessions)
        counters.handler_seconds.observe((time.monotonic() - started) / told, told)
        counters.bars_delivered += 1
        counters.bar_calls += told

    def _deliver_trade(self, route: Route, payload: bytes) -> None:
        feed, counters = route.feed, self.counters
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise DecodeError("too_large", f"{len(payload)} bytes, at most {MAX_PAYLOAD_BYTES}")
        trade = Trade.decode(payload)
        if trade.symbol != feed.symbol:
            raise DecodeError(
                "symbol_mismatch", f"a trade of {trade.symbol!r} on the channel of {feed.symbol!r}"
            )
        feed.last_price = trade.price
        started = time.monotonic()
        feed.heard_at = started
        deliver_trade(route.sessions, trade, self._turn)
        told = len(route.sessions)
        counters.handler_seconds.observe((time.monotonic() - started) / told, told)
        counters.trades_delivered += 1
        counters.trade_calls += told
