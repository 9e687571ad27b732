"""The report: one file, complete in itself, that shows what it was given and asks the network for nothing."""

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from models.market_data import Bar
from services.demo.books import Check, GatewayBook, WorkerBook
from services.demo.failure import DemoFailed
from services.demo.outcome import Outcome, SessionOutcome, add_up
from services.demo.report import render, write_report
from services.demo.results import Fill, measure
from tests.sample_portfolio import PORTFOLIO

START = datetime(2012, 5, 18, tzinfo=UTC)
MADE = datetime(2026, 1, 28, 10, 30, tzinfo=UTC)
LOADING = {"src", "href", "srcset", "data", "poster", "action", "background"}


class Page(HTMLParser):
    """What a page would load, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[tuple[str, str | None]] = []
        self.policy: str | None = None
        self.scripts: dict[str | None, str] = {}
        self._inside: str | None = None
        self._reading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [(name, value) for name, value in attrs if name in LOADING]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        self._reading, self._inside = tag == "script", given.get("id")

    def handle_endtag(self, tag: str) -> None:
        self._reading = self._reading and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._reading:
            self.scripts[self._inside] = self.scripts.get(self._inside, "") + data

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts["data"])
        return found


def _written(path: Path, symbol: str = "FB") -> str:
    bars = [
        Bar(symbol, "1d", 38.0, 39.0 + day, 37.0, 38.5 + day, 1000.0, START + timedelta(days=day))
        for day in range(3)
    ]
    fills = (Fill(1, "BUY", Decimal(10), Decimal("39.5")),)
    session = SessionOutcome(
        session_id="one",
        strategy="buy_and_hold",
        symbol=symbol,
        worker=WorkerBook(3, 1, 1, 0, Decimal(10)),
        gateway=GatewayBook(1, 0),
        fills=fills,
        performance=measure(Decimal(100_000), [Decimal(str(bar.close)) for bar in bars], fills),
    )
    checks = (Check("signals 1 = gateway receipts 1 = trades 1 + rejections 0", holds=True),)
    outcome = Outcome((session,), PORTFOLIO, checks, add_up([session]), {"published": 3})
    write_report(path, bars, outcome, cash=Decimal(100_000), seconds=31.4, made=MADE)
    return path.read_text(encoding="utf-8")


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    text = _written(tmp_path / "report.html")
    assert Page(text).loads == []
    styles = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_page_forbids_the_browser_to_load_anything(tmp_path: Path) -> None:
    policy = Page(_written(tmp_path / "report.html")).policy
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "http" not in policy


def test_our_own_script_names_no_address(tmp_path: Path) -> None:
    *_, ours = re.findall(r"<script>(.*?)</script>", _written(tmp_path / "report.html"), re.DOTALL)
    assert "chosenSession" in ours
    assert "//" not in re.sub(r"^\s*//.*|;\s*//.*", "", ours, flags=re.MULTILINE)


def test_plotly_is_inside(tmp_path: Path) -> None:
    assert "plotly.js v" in _written(tmp_path / "report.html")[:20_000]


def test_the_page_holds_prices_equity_and_trades(tmp_path: Path) -> None:
    data = Page(_written(tmp_path / "new" / "report.html")).data
    assert data["prices"]["FB"]["date"] == ["2012-05-18", "2012-05-19", "2012-05-20"]
    assert data["prices"]["FB"]["close"] == [38.5, 39.5, 40.5]
    (session,) = data["sessions"]
    assert session["equity"] == [100_000.0, 100_000.0, 100_010.0]
    assert session["fills"] == [{"bar": 1, "action": "BUY", "quantity": 10.0, "price": 39.5}]
    assert (session["profit"], session["position"]) == (10.0, 10.0)
    assert data["checks"][0]["holds"] is True
    assert (data["first"], data["last"], data["made"]) == (
        "2012-05-18",
        "2012-05-20",
        "2026-01-28 at 10:30 UTC",
    )
    assert data["summary"] == {
        "bars": 3,
        "signals": 1,
        "trades": 1,
        "rejections": 0,
        "profit": 10.0,
        "seconds": 31.4,
    }


def test_data_cannot_end_their_script_or_name_another_part(tmp_path: Path) -> None:
    hostile = "</script>/*PAGE*/"
    page = Page(_written(tmp_path / "report.html", symbol=hostile))
    assert list(page.data["prices"]) == [hostile]


def test_a_number_that_is_none_is_refused_rather_than_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        render({"profit": float("nan")})


def test_a_report_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(DemoFailed, match=r"taken.report\.html"):
        _written(tmp_path / "taken" / "report.html")
