"""`python main.py session …`: start and stop sessions as the platform does, and see those of a worker."""

import json
from typing import Annotated, Any

import typer

from config import Settings, load_settings
from models.errors import DecodeError
from models.session import AssetType
from services.commands.output import AsJson, print_json, print_line, print_table

COLUMNS = ("key", "symbol", "strategy", "state", "bars", "trades", "signals", "position", "reason")

Symbol = Annotated[str, typer.Argument(help="Such as AAPL or BTC/USD.")]
Strategy = Annotated[
    str | None, typer.Option("--strategy", help="A strategy's name, or its id in the catalogue.")
]
SessionId = Annotated[str | None, typer.Option("--session", help="The session's own id.")]
Kind = Annotated[
    AssetType | None, typer.Option("--type", help="By default crypto for a symbol with a slash, else stock.")
]

sessions = typer.Typer(help="Start, stop and list sessions.", no_args_is_help=True)


@sessions.command()
def start(
    symbol: Symbol,
    strategy: Strategy = None,
    session: SessionId = None,
    kind: Kind = None,
    as_json: AsJson = False,
) -> None:
    """Ask the worker to start a session; without --strategy it takes its DEFAULT_STRATEGY."""
    payload = control_event("subscribe", symbol, strategy, session, kind)
    announce(load_settings(), payload, f"asked to start {_named(strategy, session)} on {symbol}", as_json)


@sessions.command()
def stop(
    symbol: Symbol,
    strategy: Strategy = None,
    session: SessionId = None,
    kind: Kind = None,
    as_json: AsJson = False,
) -> None:
    """Ask the worker to stop a session, all of a strategy, or without options all on the symbol."""
    payload = control_event("unsubscribe", symbol, strategy, session, kind)
    what = _named(strategy, session) if strategy or session else "every session"
    announce(load_settings(), payload, f"asked to stop {what} on {symbol}", as_json)


@sessions.command()
def resume(
    key: Annotated[str, typer.Argument(help="The session's key, as `session list` shows it.")],
) -> None:
    """Bring back a session that is HALTED, QUARANTINED or in ERROR, once you know what was wrong."""
    from services.commands.peers import order_worker

    order_worker(load_settings(), f"/sessions/{key}/resume")
    print_line(f"session {key} is being started again")


@sessions.command("list")
def list_sessions(as_json: AsJson = False) -> None:
    """Show the sessions of the worker that answers at HTTP_HOST and HEALTH_PORT."""
    from services.commands.peers import ask_worker

    found = ask_worker(load_settings(), "/sessions")
    if as_json:
        print_json(found)
    elif found:
        print_table(COLUMNS, map(_cells, found))
    else:
        print_line("the worker runs no session")


def control_event(
    action: str, symbol: str, strategy: str | None, session: str | None, kind: AssetType | None
) -> bytes:
    """Return the control event as published. Raises typer.BadParameter where a worker would refuse it."""
    from models.market_data import ControlEvent

    event = {
        "action": action,
        "symbol": symbol,
        "type": kind or ("crypto" if "/" in symbol else "stock"),
        "strategyId": strategy,
        "sessionId": session,
    }
    payload = json.dumps({name: value for name, value in event.items() if value is not None}).encode()
    try:
        ControlEvent.decode(payload)
    except DecodeError as error:
        raise typer.BadParameter(f"nothing was published: {error.detail}") from None
    return payload


def announce(settings: Settings, payload: bytes, what: str, as_json: bool) -> int:
    """Publish a control event; say and return how many heard it. Raises CommandFailed when nobody did."""
    from services.commands.peers import CommandFailed, redis_of
    from services.control_listener import CONTROL_CHANNEL

    with redis_of(settings) as client:
        heard = int(client.publish(CONTROL_CHANNEL, payload))
    if as_json:
        print_json({"channel": CONTROL_CHANNEL, "event": json.loads(payload), "subscribers": heard})
    if heard == 0:
        raise CommandFailed(
            "nobody heard it, so nothing will happen: no worker listens there. Start one with "
            "`python main.py` (with the same REDIS_URL), then ask again"
        )
    if not as_json:
        print_line(f"{what}; {heard} {'subscriber' if heard == 1 else 'subscribers'} heard it")
    return heard


def _named(strategy: str | None, session: str | None) -> str:
    words = [f"session {session}" if session else "a session", f"of {strategy}" if strategy else ""]
    return " ".join(word for word in words if word)


def _cells(session: dict[str, Any]) -> list[object]:
    """Return one row; a session that is not built yet has no strategy, counts or position."""
    position = session.get("position") or {}
    return [
        session.get("key"),
        session.get("symbol"),
        session.get("strategy") or session.get("strategyId"),
        session.get("state"),
        session.get("bars"),
        session.get("trades"),
        session.get("signals"),
        position.get("quantity"),
        session.get("reason"),
    ]
