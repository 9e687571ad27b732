"""The demo from beginning to end: put up, start sessions, play the prices, compare the books, take down."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from threading import Event

from models.errors import ConfigError
from services.demo.accounting import compare
from services.demo.closing import environment_file, show_addresses, show_outcome
from services.demo.discovery import discover
from services.demo.failure import DemoFailed
from services.demo.lineup import LINEUP
from services.demo.outcome import Outcome
from services.demo.playing import CASH, Play, start_sessions
from services.demo.portfolio import ALLOCATION, CAPITAL, Portfolio
from services.demo.report import write_report
from services.demo.sample_data import SampleData, load_sample_data
from services.demo.screen import Screen
from services.demo.stage import Stage
from services.embedded.places import write_secret
from services.page.document import find_plotly

LOOK_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What a person asked for. `speed` is in bars a second, None for as fast as they are read.

    Logs go to `folder`; `until` is the last day that is played.
    """

    folder: Path
    report: Path
    speed: float | None
    until: date | None = None
    keep_running: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a demo came out, where its report is, and how many seconds it took until then."""

    outcome: Outcome
    report: Path
    seconds: float


class Demo:
    """One demo. `finish` is told how it ended while everything is still up."""

    def __init__(self, options: DemoOptions, screen: Screen, finish: Callable[[Ending], None]) -> None:
        self._options = options
        self._screen = screen
        self._finish = finish
        self._started = time.monotonic()

    def run(self) -> Outcome:
        """Run it all; leave nothing behind but the report and the logs.

        Raises DemoFailed when a part does not do its work, ConfigError when the options cannot be met.
        """
        options, screen = self._options, self._screen
        find_plotly()
        prices = _prices(options.until)
        _make_places(options)
        screen.step(
            f"{len(prices.bars):,} daily bars of {len(prices.bars_by_symbol)} stocks, adjusted for splits "
            f"({prices.repaired} repaired, {prices.skipped} skipped)"
        )
        with Stage(options.folder, screen.step) as stage:
            try:
                outcome = self._perform(stage, prices)
            except KeyboardInterrupt:
                screen.note("interrupted: shutting everything down")
                raise
            except DemoFailed:
                stage.look_for_an_end()  # which says more than what follows from it
                raise
        screen.step(f"everything is shut down ({self._seconds():.1f} s in all)")
        return outcome

    def _perform(self, stage: Stage, prices: SampleData) -> Outcome:
        options, screen = self._options, self._screen
        discovered = discover(stage)
        screen.step(f"a discovered strategy, {discovered.strategy} on {discovered.symbol}, was taken in")
        lineup = (*LINEUP, discovered)
        start_sessions(stage, lineup)
        screen.step(f"{len(lineup)} sessions run, each with {CASH:,} in an account of its own")
        portfolio = Portfolio(stage)
        portfolio.approve()
        screen.step(f"a portfolio of {', '.join(ALLOCATION)} was approved, and is executed with {CAPITAL:,}")
        with screen.board(len(prices.bars)) as board:
            play = Play(stage, prices.bars, board)
            play.run(options.speed)
            play.rest()
        portfolio.stop()
        screen.step("the portfolio was told to stop, and has sold what it held")
        outcome = compare(stage, lineup, prices, portfolio.execution_id)
        try:
            self._write_report(outcome, prices)
        except DemoFailed:
            show_outcome(screen, outcome)  # a full disk does not hide the results
            raise
        self._finish(Ending(outcome, options.report, self._seconds()))
        if options.keep_running:
            self._keep_running(stage)
        stage.stop_worker()
        screen.step("the worker stopped on SIGTERM with exit code 0")
        return outcome

    def _write_report(self, outcome: Outcome, prices: SampleData) -> None:
        write_report(
            self._options.report,
            prices.bars,
            outcome,
            cash=Decimal(CASH),
            seconds=self._seconds(),
            made=datetime.now(UTC),
        )

    def _keep_running(self, stage: Stage) -> None:
        """Leave everything up until Ctrl-C."""
        where, environment = stage.addresses, self._options.folder / "environment"
        write_secret(environment, environment_file(where.settings()))
        try:
            show_addresses(
                self._screen.console, where.worker_url, where.gateway_url, environment, LINEUP[0].session_id
            )
            wait = Event()
            while not wait.wait(LOOK_SECONDS):
                stage.check()
        finally:
            environment.unlink(missing_ok=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._started


def _prices(until: date | None) -> SampleData:
    prices = load_sample_data()
    if until is None:
        return prices
    shorter = prices.until(until)
    if not shorter.bars:
        first = prices.bars[0].timestamp.date()
        raise ConfigError(f"there are no prices until {until}: the first are of {first}")
    return shorter


def _make_places(options: DemoOptions) -> None:
    """Make the folders now, and see that the report can be written: nobody should wait for a refusal."""
    try:
        options.folder.mkdir(parents=True, exist_ok=True)
        options.report.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be made: {error.strerror}") from error
    for folder in (options.folder, options.report.parent):
        if not os.access(folder, os.W_OK):
            raise ConfigError(f"nothing can be written to {folder}")
