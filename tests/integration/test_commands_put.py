"""`strategies put`: code and rules on their way into the catalogue, and what is shown of them there."""

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
from strategies.registry import StrategyRegistry
from tests.integration.command_line import Ended, command
from tests.sample_rules import RULES


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
