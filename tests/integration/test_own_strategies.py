"""An operator's own files: one whose import never ends costs what is in it alone."""

from pathlib import Path

import pytest

from config import Settings
from models.errors import StrategyRejected
from services import own_strategies, worker_parts
from services.freezes.suspects import Suspects
from services.own_strategies import load_own
from services.strategy_source import StrategyRecipe
from services.worker_parts import make_source, make_ward
from strategies.registry import StrategyRegistry
from tests.integration.command_line import command

GOOD = """
from strategies.base_strategy import BaseStrategy

class {name}(BaseStrategy):
    def on_bar(self, bar): pass
    def on_trade(self, trade): pass
"""
BARS = "symbol,date,open,high,low,close,volume\nAAPL,2026-01-05,1,1,1,1,1\nAAPL,2026-01-06,1,1,1,1,1\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(own_strategies, "IMPORT_SECONDS", 0.3)
    monkeypatch.setattr(worker_parts, "IMPORT_SECONDS", 0.3)
    own = tmp_path / "own"
    own.mkdir()
    (own / "a_loop.py").write_text(GOOD.format(name="Looping") + "\nwhile True: pass\n")
    (own / "b_wait.py").write_text("import time\n\nclass Body:\n    time.sleep(3600)\n")
    (own / "c_wrong.py").write_text("x = 1 / 0\n")
    (own / "d_good.py").write_text(GOOD.format(name="Fine"))
    (tmp_path / "bars.csv").write_text(BARS)
    return own


def test_a_file_whose_import_hangs_is_named_with_its_line_and_the_others_are_loaded(folder: Path) -> None:
    registry = StrategyRegistry()
    failures = load_own(registry, folder)
    assert [(Path(each.file).name, each.reason) for each in failures] == [
        (
            "a_loop.py",
            "line 8: its import took longer than 0.3 s",
        ),
        ("b_wait.py", "line 4: its import took longer than 0.3 s"),
        ("c_wrong.py", "line 1: ZeroDivisionError: division by zero"),
    ]
    assert "fine" in registry.names()
    assert "looping" not in registry.names()


def test_a_worker_starts_without_it(folder: Path) -> None:
    settings = Settings(strategies_path=folder)
    source = make_source(settings, None, Suspects(), make_ward(settings, None))
    assert isinstance(source.find("fine", "AAPL"), StrategyRecipe)
    with pytest.raises(StrategyRejected, match="looping"):
        source.find("looping", "AAPL")


def test_a_backtest_of_another_one_goes_on_and_one_of_it_says_why_not(folder: Path) -> None:
    words = ("backtest", "--data", str(folder.parent / "bars.csv"), "--strategy")
    assert command(*words, "fine", STRATEGIES_PATH=str(folder)).code == 0
    ended = command(*words, "looping", STRATEGIES_PATH=str(folder))
    assert ended.code == 2
    assert "its import took longer than 0.3 s" in " ".join(ended.output.replace("│", " ").split())
