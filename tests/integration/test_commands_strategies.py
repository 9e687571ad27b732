"""`strategies list|show`: what a worker with these settings can start by name, and what it could not load."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from config import Settings
from models.errors import StrategyRejected
from services.commands.put import Content, store
from services.db_client import Database
from services.strategy_source import StrategyRecipe, StrategySource
from strategies.base_strategy import BaseStrategy
from strategies.registry import BUILT_IN, StrategyRegistry, shipped_rules
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


RULES = """
name: MINE
parameters:
  level: {type: int, from: 5, to: 50, default: 10}
entry: close > level
exit: close < level
"""


def put(file: Path, database_url: str, *words: str) -> Ended:
    named = ("--name", "mine", "--symbol", "AAPL")
    return command("strategies", "put", str(file), *named, *words, "--json", DATABASE_URL=database_url)


def test_rules_are_put_and_run_with_their_parameters(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(RULES)
    stored = put(file, database_url, "--param", "level=20")
    assert (stored.code, stored.json["replaced"], stored.json["name"]) == (0, False, "MINE"), stored.output
    row = stored.json["strategy_id"]
    inspected = command("strategies", "inspect", row, "--json", DATABASE_URL=database_url).json
    assert (inspected["runnable"], inspected["strategy"]["strategy_type"]) == (True, "RULES")
    assert (found(database_url, row).name, found(database_url, row).parameters.level) == ("MINE", 20)

    file.write_text(RULES.replace("MINE", "OTHER"))
    again = put(file, database_url)
    assert (again.json["replaced"], again.json["strategy_id"]) == (True, row)
    assert (found(database_url, row).name, found(database_url, row).parameters.level) == ("OTHER", 10)


def test_a_list_says_that_it_has_not_tried_stored_code(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "mine.py").write_text("def on_bar(bar): pass\n")
    (tmp_path / "mine.yaml").write_text(RULES)
    for file in ("mine.py", "mine.yaml"):
        named = ("--name", file, "--symbol", "AAPL")
        assert command("strategies", "put", str(tmp_path / file), *named, DATABASE_URL=database_url).code == 0
    listed = command(
        "strategies", "list", "--symbol", "AAPL", DATABASE_URL=database_url, COLUMNS="200"
    ).output
    assert [line.count("untried") for line in listed.splitlines() if "python" in line] == [1]
    assert [line.count("yes") for line in listed.splitlines() if "RULES" in line] == [1]


def test_what_is_put_by_many_at_once_is_one_row(database_url: str) -> None:
    settings, together = Settings(database_url=database_url), Barrier(8)

    def put_one(number: int) -> tuple[str, bool]:
        content = Content("python", {"number": number}, "def on_bar(bar): pass")
        together.wait()
        return store(settings, ("mine", "AAPL"), content)

    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(put_one, range(8)))
    assert len({row for row, _ in stored}) == 1
    assert sorted(replaced for _, replaced in stored) == [False] + [True] * 7


def test_the_code_of_a_row_is_tried_when_it_is_inspected(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def on_bar(bar):\n    return 1 / parameters.depth\n")
    row = put(file, database_url, "--param", "depth=0", "--untried").json["strategy_id"]
    inspected = command("strategies", "inspect", row, "--json", DATABASE_URL=database_url).json
    problem = "line 2, column 12: on_bar raised ZeroDivisionError: division by zero"
    assert (inspected["runnable"], inspected["problems"]) == (False, [problem])
    put(file, database_url, "--param", "depth=1")
    assert "it can run\n" in command("strategies", "inspect", row, DATABASE_URL=database_url).output
    unsealed = command("strategies", "inspect", row, DATABASE_URL=database_url, SANDBOX="insecure-dev")
    assert "its code was read and not tried: SANDBOX=insecure-dev" in unsealed.output


def test_a_row_is_shown_as_it_is_inspected(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(RULES)
    row = put(file, database_url).json["strategy_id"]
    for words in ((row,), (row.upper().replace("-", ""), "--json")):
        shown = command("strategies", "show", *words, DATABASE_URL=database_url)
        inspected = command("strategies", "inspect", *words, DATABASE_URL=database_url)
        assert (shown.code, shown.output) == (0, inspected.output)
    absent = command("strategies", "show", "8f2c1c1e-6a55-5d0b-9c35-0d2f6b0c9a11", DATABASE_URL=database_url)
    assert (absent.code, "no strategy 8f2c1c1e" in absent.output) == (2, True), absent.output
    assert "DATABASE_URL is not set" in command("strategies", "show", row).output


def test_rules_take_the_place_of_code_of_the_same_name_and_code_that_of_rules(
    tmp_path: Path, database_url: str
) -> None:
    rules, code = tmp_path / "mine.yml", tmp_path / "mine.py"
    rules.write_text(RULES)
    code.write_text("def on_bar(bar): pass\n")
    row = put(code, database_url).json["strategy_id"]
    assert put(rules, database_url).json["strategy_id"] == row
    assert found(database_url, row).name == "MINE"
    assert put(code, database_url).json["strategy_id"] == row
    with pytest.raises(StrategyRejected, match="holds Python code"):
        found(database_url, row)


def found(database_url: str, row: str) -> BaseStrategy:
    """Return what a session of this row would run."""
    database = Database(database_url, size=1)
    try:
        recipe = StrategySource(StrategyRegistry(), database, "mock").find(row, "AAPL")
    finally:
        database.close()
    assert isinstance(recipe, StrategyRecipe)
    return recipe.strategy_class.build(row, "AAPL", None, recipe.parameters)


@pytest.mark.parametrize(
    ("text", "param", "said"),
    [
        (RULES.replace("close > level", "close > levl"), "level=20", "line 5: entry, column 9: "),
        (RULES, "level=99", "level is 99; it must be at most 50"),
        (RULES, "lvel=9", "no parameter 'lvel'; did you mean 'level'?"),
        ("- a list", "level=20", "line 1: a file of rules has the parts"),
        ("name: [", "level=20", "line "),
    ],
)
def test_rules_that_cannot_run_are_neither_valid_nor_stored(
    tmp_path: Path, database_url: str, text: str, param: str, said: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    ended = command("strategies", "validate", str(file), "--param", param, "--json")
    assert (ended.code, said in ended.json["problems"][0]) == (1, True), ended.output
    refused = put(file, database_url, "--param", param)
    assert (refused.code, f"mine.yaml: {ended.json['problems'][0]}" in refused.output) == (1, True)
    assert command("strategies", "list", "--symbol", "AAPL", "--json", DATABASE_URL=database_url).json == []


@pytest.mark.parametrize("param", ["level=NaN", "level=1e999", "level=[-Infinity]"])
def test_a_parameter_that_no_row_can_hold_is_wrong_use(tmp_path: Path, param: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(RULES)
    ended = command("strategies", "validate", str(file), "--param", param)
    assert (ended.code, "it must be finite" in ended.output) == (2, True), ended.output


def test_only_python_and_rules_are_put(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text(RULES)
    ended = command("strategies", "put", str(file), "--name", "mine", "--symbol", "AAPL")
    assert (ended.code, "is neither Python" in ended.output) == (2, True), ended.output
