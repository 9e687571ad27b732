"""The way of a session into the routing table: told of what was before, then of everything after it."""

from collections.abc import Iterable, Iterator

from models.market_data import Bar
from models.session import SessionState
from services.routing import Router
from services.session import Session, deliver_bar
from services.state_memory import SessionMemory
from services.turn import Turn


def join(session: Session, router: Router, turn: Turn) -> None:
    """Warm a session up and route its symbol to it. For the data thread, between two messages.

    The session is told of the last `warmup_bars` bars of each timeframe that the feed of each of its symbols
    has kept, and of none that its restored state has seen. The next bar of a symbol is its first live one:
    none is missing in between, none comes twice. What it sends meanwhile goes nowhere.
    """
    memory = session.memory
    memory.feeds = tuple(router.feed(symbol) for symbol in session.symbols)
    wanted = session.strategy.warmup_bars
    if not isinstance(wanted, int):
        session.end(SessionState.ERROR, f"warmup_bars is {wanted!r}; it must be a whole number")
        return
    if wanted > 0:
        tell_of_the_past(session, _bars_before(memory, wanted), turn)
    if session.state is SessionState.STARTING:
        for feed in memory.feeds:
            router.add(feed.symbol, session, feed)
        session.begin()


def tell_of_the_past(session: Session, bars: Iterable[Bar], turn: Turn) -> None:
    """Tell a session that starts of bars, in the order of time; what it sends meanwhile goes nowhere."""
    memory = session.memory
    memory.is_warming_up = True
    for bar in sorted(bars, key=lambda bar: bar.timestamp):
        if session.state is not SessionState.STARTING:
            break
        deliver_bar(iter((session,)), bar, turn)
    memory.is_warming_up = False
    memory.warm_up_bars = session.bars
    session.events_at_error -= session.bars
    session.bars = 0


def _bars_before(memory: SessionMemory, wanted: int) -> Iterator[Bar]:
    """Give the bars to begin with; have the feeds keep as many from now on."""
    for feed in memory.feeds:
        feed.keep(wanted)
    for feed in memory.feeds:
        yield from feed.warm_up_bars(wanted, memory.seen_of(feed))
