"""The way of a session into the routing table: told of what was before, then of everything after it."""

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
        memory.is_warming_up = True
        for bar in _bars_before(memory, wanted):
            if session.state is not SessionState.STARTING:
                break
            deliver_bar(iter((session,)), bar, turn)
        memory.is_warming_up = False
        memory.warm_up_bars = session.bars
        session.events_at_error -= session.bars
        session.bars = 0
    if session.state is SessionState.STARTING:
        for feed in memory.feeds:
            router.add(feed.symbol, session, feed)
        session.begin()


def _bars_before(memory: SessionMemory, wanted: int) -> list[Bar]:
    """Return the bars to begin with, in time's order; have the feeds keep as many from now on."""
    for feed in memory.feeds:
        feed.keep(wanted)
    bars = (bar for feed in memory.feeds for bar in feed.warm_up_bars(wanted, memory.seen_of(feed)))
    return sorted(bars, key=lambda bar: bar.timestamp)
