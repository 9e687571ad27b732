"""What the author's guide and the docstrings show runs as it stands there."""

import doctest
import importlib
import json
import re
from types import ModuleType

import pytest

from services.paper.decoding import SessionRequest
from strategies.base_strategy import BaseStrategy
from strategies.registry import BUILT_IN, StrategyRegistry
from tests.support import REPOSITORY
from tests.unit.strategy_driver import bars_of, play

README = (REPOSITORY / "README.md").read_text()
GUIDE = (REPOSITORY / "docs" / "strategies.md").read_text()
PAGES = {page.stem: page.read_text() for page in (REPOSITORY / "docs" / "strategies").glob("*.md")}
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE, flags=re.DOTALL | re.MULTILINE)
MODULES = [
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
    for folder in ("models", "strategies")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


@pytest.fixture
def guide() -> ModuleType:
    """The code of the guide, in one module."""
    module = ModuleType("guide")
    for block in BLOCKS:
        exec(compile(block, "docs/strategies.md", "exec"), vars(module))  # noqa: S102 — our own guide
    return module


def test_the_first_strategy_of_the_guide_has_twelve_lines() -> None:
    assert len(BLOCKS[0].split("\n")) - 1 == 12


def test_the_test_by_hand_passes(guide: ModuleType) -> None:
    guide.test_it_buys_a_fall_of_two_percent()


def test_the_strategies_of_the_guide_can_be_registered(guide: ModuleType) -> None:
    registry = StrategyRegistry([guide.BuyTheDip, guide.EmaCross])
    assert registry.names() == ("buy_the_dip", "ema_cross")


def test_the_first_strategy_takes_its_profit(guide: ModuleType) -> None:
    strategy = guide.BuyTheDip("my-strategy", "AAPL")
    strategy.send_signal("BUY", 100.0, 10)
    assert [order[1] for order in play(strategy, bars_of([100.0, 104.0, 106.0]), answer_after=None)] == [
        "SELL"
    ]


def test_the_configured_strategy_trades_and_survives_a_restart(guide: ModuleType) -> None:
    strategy = guide.EmaCross.build("my-strategy", "AAPL", parameters={"fast": 2, "slow": 4})
    closes = [10.0, 9.0, 8.0, 7.0, 9.0, 11.0, 12.0, 9.0, 7.0]
    assert [order[1] for order in play(strategy, bars_of(closes))] == ["BUY", "SELL"]
    after = guide.EmaCross.build("my-strategy", "AAPL", parameters={"fast": 2, "slow": 4})
    after.set_state(json.loads(json.dumps(strategy.get_state())))
    assert (after.fast, after.slow, after.cross) == (strategy.fast, strategy.slow, strategy.cross)


@pytest.mark.parametrize("cls", BUILT_IN)
def test_the_guide_names_every_parameter_of_every_strategy_with_its_default(cls: type[BaseStrategy]) -> None:
    section = re.search(rf"^### {cls.name}\n(.*?)(?=^###|\Z)", GUIDE, flags=re.DOTALL | re.MULTILINE)
    text = " ".join((section[1] if section else PAGES[cls.name]).split())
    for name, parameter in cls.parameters.declared.items():
        default = parameter.default
        shown = f"`{default}`" if isinstance(default, str) else f"{default:g}"
        told = re.search(re.escape(f"`{name}` ({shown}") + r"(?![\d.])", text)
        assert told or name == "cash", f"`{name}` ({shown})"
        assert f"`{name}`" in text


def test_each_strategy_has_its_section_or_its_page() -> None:
    sections = re.findall(r"(?<=^### )\w+", GUIDE, flags=re.MULTILINE)
    assert sorted([*sections, *PAGES]) == sorted(each.name for each in BUILT_IN)
    for name, page in PAGES.items():
        assert f"[{name}](strategies/{name}.md)" in GUIDE
        assert page.startswith(f"# {name}\n")
        assert "**When it fails.**" in page
        assert "## On the prices of the demo" in page


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.failed == 0


def test_there_are_examples_in_docstrings() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) > 5


def test_sessions_are_started_with_the_strategy_as_an_option() -> None:
    shown = re.findall(r"session start (.+?)(?:`|$)", GUIDE + README, flags=re.MULTILINE)
    assert len(shown) >= 2
    for arguments in shown:
        assert re.fullmatch(r"[A-Z]+ --strategy [a-z_]+", arguments)


def test_the_session_that_the_readme_makes_at_the_gateway_is_taken() -> None:
    [body] = re.findall(r"/sessions .* -d '(.+)'", README)
    request = SessionRequest.read(json.loads(body))
    assert StrategyRegistry().get(request.strategy_id)


def test_the_readme_runs_the_interpreter_of_the_environment() -> None:
    assert README.count("main.py ") == README.count(".venv/bin/python main.py ") > 4
