"""The command line: which verbs there are, and how an error becomes an exit code.

Exit codes: 0 fine, 1 failed, 2 wrong use or configuration, 130 interrupted.
"""

import errno
from collections.abc import Sequence
from enum import IntEnum

import typer
from rich.console import Console
from rich.markup import escape

from models.errors import ConfigError, StrategyWorkerError
from services.commands import worker
from services.commands.backtest import backtest
from services.commands.dead_letters import dead_letters
from services.commands.demo import demo
from services.commands.doctor import doctor
from services.commands.engine import make_engine
from services.commands.executions import executions
from services.commands.gateway import gateway
from services.commands.intake import make_intake
from services.commands.migrate import migrate
from services.commands.oms import oms
from services.commands.parity import parity
from services.commands.replay import make_record, replay
from services.commands.session import sessions
from services.commands.signals import signals
from services.commands.strategies import strategies
from services.commands.trading import halt, resume
from services.stop_signal import StopSignal

IN_THE_WAY = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}
"""What a place on the disk can have against being written to, which is no fault of the program."""


ENDING_IN_ORDER = {"intake", "engine", "record"}  # like the worker


class ExitCode(IntEnum):
    """What a command's end says to a shell."""

    FINE = 0
    FAILED = 1
    WRONG_USE = 2
    INTERRUPTED = 130


def run(arguments: Sequence[str], stop: StopSignal) -> int:
    """Run one command line; return its exit code."""
    try:
        build(stop)(args=list(arguments))
    except SystemExit as end:
        return int(end.code or ExitCode.FINE)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except ConfigError as error:
        _complain(error)
        return ExitCode.WRONG_USE
    except StrategyWorkerError as error:
        _complain(error)
        return ExitCode.FAILED
    except OSError as error:
        if error.filename is None or error.errno not in IN_THE_WAY:
            raise
        _complain(StrategyWorkerError(f"{error.filename} cannot be used: {error.strerror}"))
        return ExitCode.FAILED
    return ExitCode.FINE


def build(stop: StopSignal) -> typer.Typer:
    """Put the verbs together; without one, the worker runs."""
    app = typer.Typer(
        help="Runs trading strategies. Without a command: the worker itself.",
        add_completion=False,
        no_args_is_help=False,
        pretty_exceptions_enable=False,
        result_callback=_exit_with,
    )

    @app.callback(invoke_without_command=True)
    def default(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            raise typer.Exit(worker.run(stop))
        if context.invoked_subcommand not in ENDING_IN_ORDER:
            stop.release()

    app.command()(demo)
    app.command()(gateway)
    app.command()(oms)
    app.command("intake")(make_intake(stop))
    app.command()(migrate)
    app.command()(doctor)
    app.command()(halt)
    app.command()(resume)
    app.command()(backtest)
    app.command("record")(make_record(stop))
    app.command()(replay)
    app.command()(parity)
    app.add_typer(sessions, name="session")
    app.add_typer(signals, name="signals")
    app.add_typer(executions, name="executions")
    app.add_typer(strategies, name="strategies")
    app.add_typer(make_engine(stop), name="engine")
    app.add_typer(dead_letters, name="dead-letters")
    return app


def _exit_with(result: object) -> None:
    """End with the exit code that a verb returned; one that returns nothing went fine."""
    raise typer.Exit(result if isinstance(result, int) else ExitCode.FINE)


def _complain(error: StrategyWorkerError) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
