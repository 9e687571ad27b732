"""What a sequence of control events must end in, computed without the code under test."""

from collections.abc import Sequence

Event = tuple[str, str, str | None, str | None]
"""Action, symbol, strategy id and session id of a control event."""


def expected_sessions(
    events: Sequence[Event],
) -> set[tuple[str, str, str | None]]:
    """Compute independently which (symbol, strategy, session id) run after these events."""
    running: dict[tuple[str, ...], tuple[str, str, str | None]] = {}
    for action, symbol, strategy, session in events:
        strategy_id = strategy or f"strat_{symbol}"
        if action == "subscribe":
            running.setdefault(
                (session,) if session else (strategy_id, symbol), (symbol, strategy_id, session)
            )
            continue
        for key, (held_symbol, held_strategy, held_session) in list(running.items()):
            if session is not None:
                gone = held_session == session
            else:
                gone = held_symbol == symbol and strategy in {None, held_strategy}
            if gone:
                del running[key]
    return set(running.values())
