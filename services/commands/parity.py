"""`python main.py parity`: whether live and history agree, for every strategy, over the same events."""

from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from config import load_settings
from models.errors import StrategyRejected
from services.commands.output import AsJson, print_json, print_line, print_warning
from services.commands.progress import progress_bar
from services.commands.strategies import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.history.feed import Window
    from services.history.replay import Message
    from services.parity.run import Parity
    from strategies.registry import StrategyRegistry


def parity(
    data: Annotated[
        Path | None, typer.Option(help="A recording, bars or trades, as for `replay`; else the demo's bars.")
    ] = None,
    strategies: Annotated[str | None, typer.Option(help="Names with commas between; else all.")] = None,
    start: Annotated[
        datetime | None, typer.Option("--from", help="Only what came from then on (UTC).")
    ] = None,
    end: Annotated[datetime | None, typer.Option("--to", help="Only what came before then (UTC).")] = None,
    redis_url: Annotated[
        str | None, typer.Option(help="A Redis that nobody trades on; else one of its own.")
    ] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of bars; by default what most keep.")] = None,
    as_json: AsJson = False,
) -> int:
    """Play events to a real worker and to the backtest, and compare the signals: ids, order and content.

    Ends with 1 at the first difference of any session, and prints it with what both sides were told.
    """
    from services.embedded import EmbeddedValkey
    from services.history.feed import Window
    from services.parity.live import LiveSide
    from services.parity.run import compare
    from services.telemetry.logs import configure_logging

    settings = load_settings()
    configure_logging("ERROR", "console")
    registry, _ = load(settings)
    names = _names(registry, strategies)
    messages = _messages(data, Window(start, end), timeframe)
    with ExitStack() as stack:
        url = redis_url or stack.enter_context(EmbeddedValkey()).url
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="strategy-worker-parity-")))
        side = LiveSide(url, folder, settings.strategies_path)
        advance = stack.enter_context(progress_bar("messages", len(messages)))
        found = compare(registry, names, messages, side, advance)
    if as_json:
        print_json(found.describe())
    else:
        _show(found)
    return 1 if found.differences else 0


def _names(registry: "StrategyRegistry", given: str | None) -> list[str]:
    names = list(registry.names()) if given is None else [each.strip() for each in given.split(",")]
    try:
        for name in names:
            registry.get(name)
    except StrategyRejected as error:
        raise typer.BadParameter(str(error), param_hint="--strategies") from None
    return names


def _messages(data: Path | None, window: "Window", timeframe: str | None) -> "Sequence[Message]":
    from services.history.feed import message_of, open_feed

    if data is not None:
        return list(open_feed(data, window, timeframe=timeframe).messages)
    from services.demo.sample_data import load_sample_data

    return list(window.cut(map(message_of, load_sample_data().bars)))


def _show(found: "Parity") -> None:
    print_line(
        f"{found.sessions} sessions of {len(found.strategies)} strategies over {found.events:,} events: "
        f"{found.live_signals:,} signals live, {found.past_signals:,} over history, "
        f"{len(found.differences)} differences"
    )
    for session, reason in found.not_played.items():
        print_warning(f"not played: {session}: {reason}")
    if not found.differences:
        return
    first = found.differences[0]
    print_line(f"first difference: signal {first.number} of {first.session}, at {first.time}")
    print_line(f"  live: {_signal(first.live)}")
    print_line(f"  past: {_signal(first.past)}")
    for event in found.inputs["events_before"]:
        print_line(f"  told before, to both: {event}")
    print_line(f"  live session in the end: {found.inputs['live']}; history: {found.inputs['past']}")


def _signal(body: dict[str, Any] | None) -> str:
    return "no signal" if body is None else str(body)
