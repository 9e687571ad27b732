"""`python main.py halt` and `python main.py resume`: stop every order of every worker, and go on."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from config import load_settings
from services.commands.output import AsJson, print_json, print_line
from services.commands.signals import user_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from services.risk.kill_switch import SwitchBoard

By = Annotated[str | None, typer.Option(help="Who says so; by default your user name here.")]


def halt(
    reason: Annotated[str, typer.Option(help="Why; every refused signal says it.")] = "no reason given",
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Halt trading: no worker on this Redis sends any order, not even one that closes a position.

    Signals that wait to be sent are refused; what may have been sent before is only asked about. Positions
    stay as they are. `resume` ends it, a restart of workers does not.
    """
    with _board() as board:
        halted = board.halt(reason, by or user_name())
    if as_json:
        print_json({"halted": True, "reason": halted.reason, "at": halted.at, "by": halted.by})
    else:
        print_line(f"trading is halted: {halted.words}")


def resume(
    account: Annotated[
        str | None,
        typer.Option(help="Only forgive its daily loss: an execution's id, or sessions; halt stays."),
    ] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Resume trading after `halt`, and lift what was halted by a daily loss: losses count anew."""
    with _board() as board:
        was = board.resume(by or user_name(), account)
    if as_json:
        print_json({"halted": account is not None and was is not None, "account": account})
    elif account is not None:
        print_line(f"the daily loss of {account} is forgiven")
        if was is not None:
            print_line(f"trading is still halted: {was.words}")
    else:
        print_line("trading is resumed" if was is None else f"trading is resumed; it was halted: {was.words}")


@contextmanager
def _board() -> "Iterator[SwitchBoard]":
    from services.commands.peers import redis_of
    from services.risk.kill_switch import SwitchBoard

    with redis_of(load_settings()) as client:
        yield SwitchBoard(client)
