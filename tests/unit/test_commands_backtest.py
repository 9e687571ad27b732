"""`python main.py backtest`, as its user meets it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.commands.app import run
from services.history import backtest
from services.history.bars import read_bars
from services.history.options import BacktestOptions
from services.history.sweep import Axis, combinations
from services.stop_signal import StopSignal
from strategies.mock_strategy import MockStrategy

KEYS = [
    "strategy",
    "symbol",
    "bars",
    "signals",
    "trades",
    "total_return",
    "cagr",
    "sharpe_ratio",
    "sortino_ratio",
    "max_drawdown",
    "win_rate",
    "profit_factor",
    "avg_trade_duration",
    "exposure_time",
    "final_equity",
    "seconds",
]


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    rows = ["symbol,date,open,high,low,close,volume"]
    for number in range(120):
        price = 100 + (number * number) % 17
        rows.append(
            f"AAPL,2025-{number // 28 + 1:02}-{number % 28 + 1:02},{price},{price},{price},{price},1000"
        )
    path = tmp_path / "prices.csv"
    path.write_text("\n".join(rows))
    return path


def _run(*arguments: object) -> int:
    return run(["backtest", *map(str, arguments)], StopSignal())


def test_the_result_has_the_names_of_the_contract(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = _run(
        "--strategy", "sma_cross", "--data", prices, "--param", "fast=2", "--param", "slow=5", "--json"
    )

    described = json.loads(capsys.readouterr().out)
    assert code == 0
    assert list(described) == KEYS
    assert (described["strategy"], described["symbol"], described["bars"]) == ("sma_cross", "AAPL", 120)
    assert described["trades"] > 0


def test_what_is_undefined_is_null(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("--strategy", "buy_and_hold", "--data", prices, "--cash", "1", "--json") == 0

    described = json.loads(capsys.readouterr().out)
    assert described["total_return"] == 0
    assert [name for name in KEYS if described[name] is None] == [
        "sharpe_ratio",
        "sortino_ratio",
        "win_rate",
        "profit_factor",
        "avg_trade_duration",
    ]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--cash", "150"], {"cash": 150.0}),
        (["--fee-bps", "30"], {"fee_bps": 30.0}),
        (["--slippage-bps", "30"], {"slippage_bps": 30.0}),
        (["--fill", "close"], {"fill": "close"}),
        (["--volume-share", "0.01"], {"volume_share": 0.01}),
        (["--start", "2025-02-10"], {"start": datetime(2025, 2, 10, tzinfo=UTC)}),
        (["--param", "quantity=70"], {"parameters": {"quantity": 70.0}}),
        (["--symbol", "MSFT"], {"symbols": ("MSFT",)}),
    ],
)
def test_each_option_is_the_rule_that_it_names(
    given: list[str], meant: dict[str, Any], prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices.write_text(prices.read_text() + "\n" + "\n".join(_of_another(prices)))
    usual = ("--strategy", "mock", "--data", prices, "--param", "quantity=40", "--json")
    described = []
    for options in ([], given):
        assert _run(*usual, *options) == 0
        described.append(json.loads(capsys.readouterr().out))
        described[-1].pop("seconds")
    played = backtest.run(
        MockStrategy,
        read_bars(prices).in_order(),
        BacktestOptions(**({"parameters": {"quantity": 40.0}} | meant)),
    ).describe()
    played.pop("seconds")

    assert described[1] == played
    assert described[1] != described[0]


def _of_another(prices: Path) -> list[str]:
    """Return the rows of the file once more, of another symbol at half the price."""
    rows = [line.split(",") for line in prices.read_text().splitlines()[1:]]
    return [
        ",".join(["MSFT", day, *(str(float(each) / 2) for each in values), volume])
        for _, day, *values, volume in rows
    ]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--strategy", "sma_cros"], "did you mean"),
        (["--strategy", "sma_cross", "--param", "fast"], "name=value"),
        (["--strategy", "sma_cross", "--param", "fastt=3"], "did you mean"),
        (["--strategy", "sma_cross", "--param", "fast=60"], "make fast smaller"),
        (["--strategy", "sma_cross", "--symbol", "MSFT"], "no bars of"),
        (["--strategy", "sma_cross", "--cash", "-1"], "cash"),
        (["--strategy", "sma_cross", "--fill", "open"], "next-open"),
        (["--strategy", "sma_cross", "--walk-forward", "2"], "needs a --sweep"),
        (["--strategy", "sma_cross", "--sweep", "fast=9:1"], "is no sweep"),
        (["--strategy", "sma_cross", "--sweep", "fast=2,3", "--objective", "luck"], "no objective"),
    ],
)
def test_wrong_use_says_what_is_wrong(
    wrong: list[str], said: str, prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("--data", prices, *wrong) == 2

    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_row_that_is_no_bar_is_named(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prices.open("a") as file:
        file.write("\nAAPL,2025-12-01,,1,1,1,1\n")

    assert _run("--strategy", "mock", "--data", prices) == 0

    shown = capsys.readouterr()
    assert "line 122: AAPL 2025-12-01 open: blank" in shown.err
    assert "total_return" in shown.out


def test_the_risk_checks_refuse_what_they_refuse_live(
    prices: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISK_MAX_ORDER", "200")
    monkeypatch.setenv("RISK_MIN_ORDER", "150")

    assert _run("--strategy", "mock", "--data", prices, "--risk") == 0

    assert "refused: " in capsys.readouterr().out


def test_a_sweep_ranks_its_runs_and_walks_forward(prices: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--strategy", "sma_cross", "--data", prices, "--sweep", "fast=2:4", "--sweep", "slow=4,8")

    assert _run(*given, "--objective", "total_return", "--walk-forward", 2, "--json") == 0

    described = json.loads(capsys.readouterr().out)
    assert [trial["parameters"] for trial in described["trials"]][:2] == [
        {"fast": 2, "slow": 4},
        {"fast": 2, "slow": 8},
    ]
    scores = [trial["total_return"] for trial in described["trials"] if "reason" not in trial]
    assert described["best"]["total_return"] == max(scores)
    assert "make fast smaller" in described["trials"][4]["reason"]
    assert len(described["walk_forward"]["folds"]) == 2

    assert _run(*given, "--objective", "total_return", "--walk-forward", 2) == 0
    assert "out of sample" in capsys.readouterr().out


@pytest.mark.parametrize("seed", [1, 2])
def test_chance_tries_the_combinations_of_its_seed(
    seed: int, prices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--strategy", "sma_cross", "--data", prices, "--objective", "total_return", "--json")
    axes = [Axis("fast", (2, 3, 4)), Axis("slow", (9, 10, 11))]

    assert _run(*given, "--sweep", "fast=2:4", "--sweep", "slow=9:11", "--random", 3, "--seed", seed) == 0

    tried = [trial["parameters"] for trial in json.loads(capsys.readouterr().out)["trials"]]
    assert tried == combinations(axes, 3, seed)
    assert tried != combinations(axes, 3, 3 - seed)


def test_a_strategy_that_looks_ahead_fails_the_check(
    prices: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "peeks.py").write_text(PEEKS)
    monkeypatch.setenv("STRATEGIES_PATH", str(folder))

    assert _run("--strategy", "peeks", "--data", prices, "--lookahead-check", "--json") == 1
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert changes
    assert changes[0]["whole"] != changes[0]["truncated"]
    assert _run("--strategy", "sma_cross", "--data", prices, "--lookahead-check", "--cuts", 7) == 0
    said = capsys.readouterr().out
    assert "decides the same" in said
    assert "7 cuts" in said


PEEKS = """
from strategies.base_strategy import BaseStrategy

CLOSES = []

class Peeks(BaseStrategy):
    def __init__(self, *given):
        super().__init__(*given)
        self.seen = 0

    def on_bar(self, bar):
        self.seen += 1
        if len(CLOSES) < self.seen:
            CLOSES.append(bar.close)
        elif len(CLOSES) > self.seen and CLOSES[self.seen] > bar.close:
            self.send_signal("BUY", bar.close, 1)

    def on_trade(self, trade):
        pass
"""


def test_the_page_of_a_sweep_shows_its_best_run(
    prices: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "out" / "page.html"
    given = ("--strategy", "sma_cross", "--data", prices, "--objective", "total_return", "--report", page)

    assert _run(*given, "--sweep", "fast=2:4", "--param", "slow=9", "--random", 2, "--seed", 3, "--json") == 0

    described = json.loads(capsys.readouterr().out)
    assert len(described["trials"]) == 2
    fast = described["best"]["parameters"]["fast"]
    assert f"fast = {fast}, slow = 9" in page.read_text(encoding="utf-8")
    assert _run(*given[:-1], tmp_path, "--json") == 1  # a folder is no file


def test_what_a_strategy_logs_is_not_part_of_the_result(
    prices: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "chatty.py").write_text(CHATTY)
    monkeypatch.setenv("STRATEGIES_PATH", str(folder))

    assert _run("--strategy", "chatty", "--data", prices, "--json") == 1

    shown = capsys.readouterr()
    assert json.loads(shown.out)["signals"] == 0
    assert "good morning" in shown.err
    assert "10 errors in a row, the last: ValueError: too dear" in shown.err
    assert (
        _run("--strategy", "chatty", "--data", prices, "--sweep", "limit=1,2", "--workers", 2, "--json") == 1
    )
    shown = capsys.readouterr()
    assert "too dear" in json.loads(shown.out)["trials"][0]["reason"]
    assert "good morning" not in shown.err


CHATTY = """
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters

class Chatty(BaseStrategy):
    parameters = Parameters(limit=Parameter(1))

    def on_start(self):
        self.log.info("good morning")

    def on_bar(self, bar):
        raise ValueError("too dear")

    def on_trade(self, trade):
        pass
"""
