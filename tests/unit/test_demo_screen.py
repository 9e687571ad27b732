"""What a person sees: lines without a terminal, a table that fits 80 columns, settings fit for a shell."""

import io
from datetime import date
from decimal import Decimal

import pytest
from rich.console import Console

from services.demo.books import GatewayBook, WorkerBook
from services.demo.closing import environment_file, show_outcome
from services.demo.outcome import Outcome, SessionOutcome, add_up, check_books
from services.demo.results import Fill, measure
from services.demo.screen import Screen, Standing
from tests.sample_portfolio import PORTFOLIO

STANDING = Standing(
    day=date(2003, 8, 13),
    published=2_600,
    delivered=2_550,
    signals=327,
    trades=323,
    rejected=1,
    pending=3,
    best=("macd_trend-IBM", 107_725.4),
    worst=("sma_cross-IBM", 91_588.2),
)


def _screen(width: int = 80, *, terminal: str = "", encoding: str = "utf-8") -> tuple[Screen, io.StringIO]:
    class Paper(io.StringIO):
        encoding = "utf-8"

    paper = Paper()
    paper.encoding = encoding
    console = Console(
        file=paper,
        width=width,
        force_terminal=bool(terminal),
        no_color=True,
        legacy_windows=False,
        _environ={"TERM": terminal},
    )
    return Screen(console), paper


def _outcome(*, delivered: int = 2) -> Outcome:
    fills = (
        Fill(0, "BUY", Decimal(123_456), Decimal("0.5")),
        Fill(1, "SELL", Decimal(23_456), Decimal("0.4")),
    )
    sessions = tuple(
        SessionOutcome(
            session_id=f"bollinger_breakout-{symbol}",
            strategy="bollinger_breakout",
            symbol=symbol,
            worker=WorkerBook(2, 2, 2, 0, Decimal(100_000)),
            gateway=GatewayBook(2, 0),
            fills=fills,
            performance=measure(Decimal(100_000), [Decimal("0.5"), Decimal("0.4")], fills),
        )
        for symbol in ("AAPL", "MSFT")
    )
    checks = check_books(sessions, {"AAPL": 2, "MSFT": 2}, 2 + delivered)
    return Outcome(sessions, PORTFOLIO, checks, add_up(sessions), {"published": 4})


@pytest.mark.parametrize("terminal", ["", "dumb"])
def test_without_a_terminal_that_can_redraw_progress_is_a_plain_line(terminal: str) -> None:
    screen, paper = _screen(terminal=terminal)
    with screen.board(12_154) as board:
        assert board.is_due()
        board.show(STANDING)
        assert not board.is_due()
    assert paper.getvalue() == (
        "  2003-08-13: 2,600 of 12,154 bars published, 2,550 delivered, 327 signals, 323 trades, 1 rejected\n"
    )


def test_a_terminal_shows_the_best_and_the_worst_session() -> None:
    screen, paper = _screen(terminal="xterm")
    with screen.board(12_154) as board:
        board.show(STANDING)
    shown = paper.getvalue()
    for figure in ("21%", "2,600 of 12,154", "107,725", "macd_trend-IBM", "91,588", "sma_cross-IBM"):
        assert figure in shown


def test_the_table_fits_80_columns_with_every_number_whole() -> None:
    screen, paper = _screen(80)
    show_outcome(screen, _outcome())
    assert "Drawd." in paper.getvalue()
    rows = [line for line in paper.getvalue().splitlines() if line.startswith("bollinger")]
    assert [len(row) <= 80 for row in rows] == [True, True]
    cells = ["bollinger_breakout", "AAPL", "2", "2", "2", "0", "100,000", "-2,346", "-10,000", "12.3%"]
    assert rows[0].split() == cells


def test_a_wide_screen_has_the_headings_in_full() -> None:
    screen, paper = _screen(120)
    show_outcome(screen, _outcome())
    assert "Executed Rejected Position Realised Unrealised Drawdown" in " ".join(paper.getvalue().split())


def test_checks_are_marked_by_whether_they_hold() -> None:
    screen, paper = _screen(120)
    show_outcome(screen, _outcome(delivered=1))
    lines = paper.getvalue().splitlines()
    assert "✓ signals 4 = gateway receipts 4 = trades 4 + rejections 0" in lines
    assert "✗ bars published 4 = delivered 3; handed to sessions 4 of 4" in lines


def test_an_ascii_terminal_gets_marks_it_can_show() -> None:
    screen, paper = _screen(120, encoding="ascii")
    show_outcome(screen, _outcome(delivered=1))
    assert paper.getvalue().isascii()


@pytest.mark.parametrize(
    ("value", "line"),
    [("redis://:abc@127.0.0.1:1/0", "redis://:abc@127.0.0.1:1/0"), ("it's $HOME", "'it'\"'\"'s $HOME'")],
)
def test_settings_are_quoted_for_a_shell(value: str, line: str) -> None:
    assert environment_file({"NAME": value}) == f"export NAME={line}\n"


def test_the_portfolio_has_a_line_of_its_own() -> None:
    screen, paper = _screen()
    show_outcome(screen, _outcome())
    assert (
        "Portfolio of AAPL, IBM, MSFT: 100,000 +1,234, 8 orders filled, 2 rebalancings, "
        "3 made smaller by the risk desk, stopped\n"
    ) in paper.getvalue()
