"""`strategies list|show|validate`: what a worker can start by name, and whether what is in a file can run."""

from pathlib import Path

import pytest

from strategies.registry import BUILT_IN, shipped_rules
from tests.integration.command_line import Ended, command

OWN = '''
from strategies.base_strategy import BaseStrategy
from strategies.parameters import Parameter, Parameters


class BuyTheDip(BaseStrategy):
    """Buys after a fall.

    At length.
    """

    parameters = Parameters(drop=Parameter(0.02, minimum=0.0, description="fall within a \x1b[31mbar"))

    def on_bar(self, bar): ...
    def on_trade(self, trade): ...
'''
UNMAKEABLE = """
from strategies.base_strategy import BaseStrategy


class Unmakeable(BaseStrategy):
    def __init__(self, strategy_id, symbol, session_id=None):
        raise ZeroDivisionError("no luck")

    def on_bar(self, bar): ...
    def on_trade(self, trade): ...
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Somebody's own strategies: one that works, a file that is broken, and a class that cannot be made."""
    (tmp_path / "dip.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    (tmp_path / "unmakeable.py").write_text(UNMAKEABLE)
    return tmp_path


def strategies(folder: Path, *words: str) -> Ended:
    return command("strategies", *words, STRATEGIES_PATH=str(folder))


def validated(file: Path, **settings: str) -> Ended:
    return command("strategies", "validate", str(file), "--json", **settings)


def test_the_built_in_strategies_are_listed_with_what_they_do() -> None:
    ended = command("strategies", "list", "--json")
    assert ended.code == 0
    assert {each["name"] for each in ended.json["strategies"]} == {
        cls.name for cls in (*BUILT_IN, *shipped_rules())
    }
    assert all(each["doc"] for each in ended.json["strategies"])
    assert ended.json["failures"] == []


def test_own_strategies_are_listed_with_those_that_do_not_work(folder: Path) -> None:
    ended = strategies(folder, "list", "--json")
    assert ended.code == 0
    (own,) = [each for each in ended.json["strategies"] if each["name"] == "buy_the_dip"]
    assert own["parameters"]["drop"]["default"] == 0.02
    assert [(Path(each["file"]).name, each["reason"]) for each in ended.json["failures"]] == [
        ("broken.py", "line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("unmakeable", "unmakeable cannot be made: ZeroDivisionError: no luck"),
    ]


def test_the_table_shows_both_too(folder: Path) -> None:
    ended = strategies(folder, "list")
    assert ended.code == 0
    assert "buy_the_dip" in ended.output
    assert "drop=0.02" in ended.output
    assert "not loaded: " in ended.output
    assert "broken.py: line 1" in ended.output


def test_rules_are_listed_by_what_they_do_and_shown_with_their_conditions(folder: Path) -> None:
    assert "Their parameters: " in strategies(folder, "list").output
    shown = strategies(folder, "show", "SMA_RSI")
    assert "entry: close > sma and rsi < oversoldThreshold" in shown.output
    assert strategies(folder, "show", "SMA_RSI", "--json").json["rules"]["rsi"] == "RSI(close, rsiPeriod)"


def test_show_tells_everything_about_one_and_cannot_drive_the_terminal(folder: Path) -> None:
    ended = strategies(folder, "show", "buy_the_dip")
    assert ended.code == 0
    assert "At length." in ended.output
    assert "\\x1b[31mbar" in ended.output
    assert "\x1b" not in ended.output
    described = strategies(folder, "show", "buy_the_dip", "--json").json
    assert described["parameters"]["drop"]["minimum"] == 0.0


def test_a_name_that_is_not_there_is_wrong_use_with_the_nearest_and_what_was_not_loaded(folder: Path) -> None:
    ended = strategies(folder, "show", "sma_cros")
    assert ended.code == 2
    assert "did you mean 'sma_cross'?" in ended.output
    assert "nothing_of_this_name" in ended.output


def test_one_that_cannot_be_made_cannot_be_shown(folder: Path) -> None:
    ended = strategies(folder, "show", "unmakeable")
    assert ended.code == 1
    assert "no luck" in ended.output
    assert "Traceback" not in ended.output


def test_a_file_of_rules_is_validated_with_what_is_wrong_in_it(tmp_path: Path) -> None:
    file = tmp_path / "rule.yaml"
    file.write_text("name: R\nentry: close > opne\nexit: close < open\n")
    ended = command("strategies", "validate", str(file), "--json")
    assert ended.code == 1
    [problem] = ended.json["problems"]
    assert problem == "line 2: entry, column 9: there is no line or parameter 'opne'; did you mean 'open'?"
    file.write_text("name: R\nentry: close > open\nexit: close < open\n")
    assert "R can run" in command("strategies", "validate", str(file)).output
    assert command("strategies", "validate", str(tmp_path / "nowhere.yaml")).code == 2


@pytest.mark.parametrize(
    ("source", "form"),
    [
        (OWN, "a class that subclasses BaseStrategy"),
        ("def on_bar(bar): send_signal('BUY', bar.close, 1)", "handler functions"),
        ("if bar.close > 1: send_signal('BUY', bar.close, 1)", "a script that is run once per bar"),
    ],
)
def test_a_file_of_python_is_validated_in_each_of_its_forms(tmp_path: Path, source: str, form: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    ended = command("strategies", "validate", str(file))
    assert (ended.code, form in ended.output) == (0, True), ended.output


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def on_bar(bar):\n    x = = 1\n", "line 2, column 9: SyntaxError: invalid syntax"),
        ("import nothing_of_this_name\ndef on_bar(bar): pass\n", "nothing_of_this_name"),
        ("def on_bar(bar): pass\nraise ValueError('at once')\n", "line 2, column 1: ValueError: at once"),
        (
            "def on_bar(): pass\n",
            "line 1, column 1: on_bar() is called with the bar: write `def on_bar(bar):`",
        ),
        ("x = 1\ndef on_bars(bar): pass\n", "line 2, column 1: nobody calls on_bars; did you mean on_bar?"),
        ("x = 1\n1 / 0\n", "line 2, column 1: on_bar raised ZeroDivisionError: division by zero"),
        ("while bar.close: pass\n", "on_bar was interrupted there"),
        ("# nothing yet\n\n", "holds no code"),
        ("\0", "no NUL"),
    ],
)
def test_a_file_of_python_that_cannot_run_says_why_and_is_not_stored(
    tmp_path: Path, database_url: str, source: str, said: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(source)
    ended = command("strategies", "validate", str(file), "--json")
    assert ended.code == 1
    [problem] = ended.json["problems"]
    assert said in problem
    put = ("strategies", "put", str(file), "--name", "mine", "--symbol", "AAPL")
    stored = command(*put, DATABASE_URL=database_url)
    assert (stored.code, said in " ".join(stored.output.split())) == (1, True), stored.output
    assert command("strategies", "list", "--symbol", "AAPL", "--json", DATABASE_URL=database_url).json == []


def test_everything_that_is_wrong_in_a_file_of_python_is_told_at_once(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import requests\ndef on_bar(bar, more): pass\ndef on_trades(trade): pass\n")
    assert [each.partition(":")[0] for each in validated(file).json["problems"]] == [
        "line 1, column 1",
        "line 2, column 1",
        "line 3, column 1",
    ]
    file.write_text("def on_bar(bar):\n    bar.last\ndef on_trade(trade):\n    {}[trade.symbol]\n")
    assert validated(file).json["problems"] == [
        "line 2, column 5: on_bar raised AttributeError: 'Bar' object has no attribute 'last'",
        "line 4, column 5: on_trade raised KeyError: 'AAPL'",
    ]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"SANDBOX": "insecure-dev"}, "SANDBOX=insecure-dev seals no code"),
        (
            {"SANDBOX_MODULES": "nothing_of_this_name"},
            "SANDBOX_MODULES: nothing_of_this_name cannot be loaded",
        ),
    ],
)
def test_where_code_cannot_be_sealed_it_is_read_and_never_run(
    tmp_path: Path, database_url: str, settings: dict[str, str], why: str
) -> None:
    file, trace = tmp_path / "mine.py", tmp_path / "trace"
    file.write_text(f"import os\nos.mkdir({str(trace)!r})\ndef on_bar(bar): pass\n")
    read = validated(file, **settings)
    assert (read.code, read.json["valid"], read.json["name"]) == (0, True, None)
    assert why in read.json["untried"]
    put = ("strategies", "put", str(file), "--name", "mine", "--symbol", "AAPL")
    refused = command(*put, DATABASE_URL=database_url, **settings)
    assert (refused.code, "--untried stores it all the same" in refused.output) == (2, True), refused.output
    stored = command(*put, "--untried", "--json", DATABASE_URL=database_url, **settings)
    assert (stored.code, stored.json["replaced"]) == (0, False)
    assert not trace.exists()
    file.write_text("import requests\ndef on_bar(): pass\n")
    problems = validated(file, **settings).json["problems"]
    assert [each.partition(" is ")[0] for each in problems] == [
        "line 1, column 1: no module 'requests' in a sealed process",
        "line 2, column 1: on_bar()",
    ]


def test_what_fails_on_a_made_up_market_is_stored_only_where_that_is_asked_for(
    tmp_path: Path, database_url: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def on_bar(bar):\n    return 1 / 0\n")
    put = ("strategies", "put", str(file), "--name", "mine", "--symbol", "AAPL", "--json")
    refused = command(*put, DATABASE_URL=database_url)
    assert (refused.code, "line 2, column 12: on_bar raised" in refused.output) == (1, True), refused.output
    stored = command(*put, "--untried", DATABASE_URL=database_url)
    assert (stored.code, stored.json["untried"]) == (0, "--untried")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--name", "mine", "--symbol", "a b*c"), "is no symbol"),
        (("--name", "mine", "--symbol", ""), "is no symbol"),
        (("--name", "mine", "--symbol", "A" * 33), "is no symbol"),
        (("--name", " ", "--symbol", "AAPL"), "is no name"),
        (("--name", "x" * 101, "--symbol", "AAPL"), "is no name"),
        (("--name", "a\x1b[31m", "--symbol", "AAPL"), "is no name"),
        (("--name", "mine", "--symbol", "AAPL", "--param", "fast"), "write NAME=VALUE"),
    ],
)
def test_what_cannot_be_stored_is_wrong_use(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def on_bar(bar): pass\n")
    ended = command("strategies", "put", str(file), *words)
    assert (ended.code, said in ended.output) == (2, True), ended.output
