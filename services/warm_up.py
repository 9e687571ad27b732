"""The way of a session into the routing table: told of what was before, then of everything after it."""

from models.session import SessionState
from services.routing import Router
from services.session import Session, deliver_bar
from services.turn import Turn


def join(session: Session, router: Router, turn: Turn) -> None:
    """Warm a session up and route its symbol to it. For the data thread, between two messages.

    The session is told of the last `warmup_bars` bars of each timeframe that the symbol's feed has kept,
    and of none that its restored state has seen. The next bar of the symbol is its first live one: none is
    missing in between, none comes twice. What it sends meanwhile goes nowhere.
    """
    memory, symbol = session.memory, session.identity.symbol
    memory.feed = feed = router.feed(symbol)
    wanted = session.strategy.warmup_bars
    if not isinstance(wanted, int):
        session.end(SessionState.ERROR, f"warmup_bars is {wanted!r}; it must be a whole number")
        return
    if wanted > 0:
        feed.keep(wanted)
        memory.is_warming_up = True
        for bar in feed.warm_up_bars(wanted, memory.seen):
            if session.state is not SessionState.STARTING:
                break
            deliver_bar(iter((session,)), bar, turn)
        memory.is_warming_up = False
        memory.warm_up_bars = session.bars
        session.events_at_error -= session.bars
        session.bars = 0
    if session.state is SessionState.STARTING:
        router.add(symbol, session, feed)
        session.begin()
