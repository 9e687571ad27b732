"""The data thread: reads bars and trades, and is the only caller of running strategies.

    message → channel routed? → decode → newer than the last? → on_bar or on_trade of its sessions

What other threads want of a session (reports, gaps, stops) they post to the mailbox, which is emptied between
two messages. So a strategy never meets two threads, and nothing on this path takes a lock.
"""

from collections.abc import Callable, Iterator
from threading import Event, Thread, get_ident
from time import monotonic
from typing import Any

import structlog

from models.errors import DecodeError, StrategyTimedOut
from models.market_data import Bar, Trade
from services.call_times import TimedCalls
from services.dead_letters import DeadLetters
from services.event_reader import EventReader
from services.gap_watch import GapWatch
from services.mailbox import Mailbox
from services.routing import BAR_CHANNEL, PATTERNS, TRADE_CHANNEL, Route, Router
from services.session import Session, deliver_bar, deliver_trade
from services.subscription import Message, Subscription
from services.telemetry.health import Heartbeat
from services.telemetry.metrics import EventCounters
from services.turn import Retired, Tenure, Turn

FAILED_SECONDS = 0.1
LONG_EVENT_SECONDS = 0.25
# Each few hundred messages there is a beat; after an event that took so long, too.
BEAT_SECONDS = 0.001
TIMED_EVENTS = 1_000

Deliver = Callable[[Iterator[Session], Any, Turn], None]

Mark = Callable[[str, float, float], None]
"""Takes a price: symbol, price, when it came (monotonic seconds)."""

Delivery = tuple[Route, Bar | Trade, Iterator[Session]]
"""An event on its way: its route, and the sessions that were not told yet."""

log = structlog.get_logger(__name__)


class DataConsumer:
    """Feeds market data to the sessions that the routing table names.

    After an event that took longer than `long_event_seconds`, which is set once before the thread starts, the
    calls of its symbol are timed one by one for a while.
    """

    def __init__(
        self,
        redis_url: str,
        turn: Turn,
        router: Router,
        mailbox: Mailbox,
        dead_letters: DeadLetters,
    ) -> None:
        self.counters = EventCounters()
        self.gaps = GapWatch(router, mailbox, self.counters)
        self.heartbeat = Heartbeat()
        self.subscribed = False
        self.long_event_seconds = LONG_EVENT_SECONDS
        self.mark: Mark | None = None
        self._reader = EventReader(self.counters, self.gaps, dead_letters)
        self._turn = turn
        self._router = router
        self._mailbox = mailbox
        self._stop = Event()
        self._subscription = Subscription(redis_url, PATTERNS, self)
        self._batches = self._subscription.batches(self._stop)
        self._messages: Iterator[Message] = iter(())
        self._delivery: Delivery | None = None
        self._ended = Event()
        self._ended.set()
        mailbox.wake = self._subscription.wake

    def start(self) -> None:
        """Begin to read, on a thread of its own."""
        self.heartbeat.beat()
        self.take_over()

    def read_here(self) -> None:
        """Read on the calling thread until `stop`, or until a successor took its place.

        On the main thread a `HandlerAlarm` can interrupt more than the supervisor can from another one.
        """
        self.heartbeat.beat()
        self._run(self._begin())

    def take_over(self) -> None:
        """Start a thread that goes on where the last one is: with the next session of the event at hand."""
        Thread(target=self._run, args=(self._begin(),), name="data-consumer", daemon=True).start()

    def stop(self, timeout: float) -> bool:
        """Have the reading end; false when it did not within `timeout` seconds."""
        self._stop.set()
        self._subscription.wake()
        return self._ended.wait(timeout)

    def on_subscribed(self, silent_seconds: float | None) -> None:
        """Note that market data flow again, and for how long they did not."""
        self.subscribed = True
        log.info("market_data_subscribed", silent_seconds=silent_seconds)
        if silent_seconds is not None:
            self.gaps.reconnected(silent_seconds)

    def on_lost(self, reason: str) -> None:
        """Note that market data may be missed from now on."""
        self.subscribed = False
        log.warning("market_data_lost", reason=reason)

    def _begin(self) -> Tenure:
        tenure = Tenure()
        self._turn.session, self._turn.tenure = None, tenure
        self._ended.clear()
        return tenure

    def _run(self, tenure: Tenure) -> None:
        tenure.thread = get_ident()
        while True:
            try:
                self._read()
                self._mailbox.deliver()
            except Retired:
                log.warning("stuck_thread_came_back")
                return
            except StrategyTimedOut:
                log.warning("interruption_came_too_late")
                continue
            except (
                Exception
            ):  # whatever one message or letter meets must not end the thread that reads the others
                log.exception("data_thread_failed")
                self._delivery = None
                self._batches = self._subscription.batches(self._stop)
                self._stop.wait(FAILED_SECONDS)
                continue
            self._subscription.close()
            self._ended.set()
            return

    def _read(self) -> None:
        if self._delivery is not None:
            self._mailbox.deliver()
            self._deliver(self._still_routed(self._delivery))
        self._consume()
        for batch in self._batches:
            self.heartbeat.beat()
            self._turn.received_at = monotonic()
            self._messages = iter(batch)
            self._consume()
            self.gaps.look_for_silence()

    def _still_routed(self, delivery: Delivery) -> Delivery:
        """Leave out whoever was stopped while this event waited; for the thread that takes it over."""
        route, event, waiting = delivery
        channel = (BAR_CHANNEL if route.carries_bars else TRADE_CHANNEL) + route.feed.symbol.encode()
        now = self._router.table.get(channel)
        named = {id(session) for session in route.left_of(now).sessions}
        self._delivery = route, event, iter([each for each in waiting if id(each) in named])
        return self._delivery

    def _consume(self) -> None:
        """Deal with the messages at hand; letters come before the event that waits behind them."""
        router, reader, letters = self._router, self._reader, self._mailbox.letters
        unrouted = 0
        reader.begin()
        if letters:
            self._mailbox.deliver()
        for _, _, channel, payload in self._messages:
            route = router.table.get(channel)
            if route is None:
                unrouted += 1
                continue
            try:
                feed = route.feed
                event = reader.bar(feed, payload) if route.carries_bars else reader.trade(feed, payload)
            except DecodeError as error:
                reader.refuse(channel.decode(), payload, error)
                continue
            if event is not None:
                delivery: Delivery | None = (route, event, iter(route.sessions))
                self._delivery = delivery  # kept before letters may hold us up
                if letters:
                    self._mailbox.deliver()
                    left = route.left_of(router.table.get(channel))
                    delivery = (left, event, iter(left.sessions)) if left.sessions else None
                    self._delivery = delivery
                if delivery is not None:
                    self._deliver(delivery)
            if (
                letters
            ):  # only between two messages: one that waits behind a letter could be lost with the thread
                self._mailbox.deliver()
        if unrouted:
            self.counters.dropped["no_session"] += unrouted

    def _deliver(self, delivery: Delivery) -> None:
        """Tell every session that was not told yet; survives interruptions, and the loss of the thread."""
        route, event, waiting = delivery
        feed, carries_bars = route.feed, route.carries_bars
        deliver: Deliver = deliver_bar if carries_bars else deliver_trade
        if feed.timed_events:
            feed.timed_events -= 1
            waiting = TimedCalls(waiting, self._turn)
        feed.heard_at = started = monotonic()
        if self.mark is not None and feed.last_price is not None:
            self.mark(feed.symbol, feed.last_price, started)
        while True:
            try:
                deliver(waiting, event, self._turn)
                seconds = monotonic() - started  # a call: an interruption that came too late is raised here
            except StrategyTimedOut:
                continue
            break
        self._delivery = None
        if seconds > BEAT_SECONDS:
            self.heartbeat.beat()
            if seconds > self.long_event_seconds:
                feed.timed_events = TIMED_EVENTS
        counters, told = self.counters, len(route.sessions)
        counters.handler_seconds.observe(seconds, told)
        if carries_bars:
            counters.bars_delivered += 1
            counters.bar_calls += told
        else:
            counters.trades_delivered += 1
            counters.trade_calls += told
