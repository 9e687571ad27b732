"""STRATEGIES_PATH: an operator's own files, of which some are broken."""

import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from textwrap import dedent

import pytest

from models.errors import ConfigError
from strategies.registry import StrategyRegistry

GOOD = '''
from strategies.base_strategy import BaseStrategy


class {name}(BaseStrategy):
    """An operator's own."""

    def on_bar(self, bar):
        self.send_signal("BUY", bar.close, 1)

    def on_trade(self, trade):
        pass
'''


@pytest.fixture(autouse=True)
def same_modules_afterwards() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text))


def load(folder: Path) -> tuple[list[str], dict[str, str]]:
    """Give the names that a folder added, and the reasons for failures by file."""
    registry = StrategyRegistry()
    known = registry.names()
    failures = registry.load_folder(folder)
    assert all(Path(failure.file).parent == folder for failure in failures)
    reasons = {Path(failure.file).name: failure.reason for failure in failures}
    assert len(reasons) == len(failures)
    return [name for name in registry.names() if name not in known], reasons


def test_every_strategy_of_a_file_is_known_by_its_own_name_or_that_of_its_class(tmp_path: Path) -> None:
    write(
        tmp_path, mine=GOOD.format(name="BuyTheDip") + GOOD.format(name="MACDTwo") + "    name = 'second'\n"
    )
    assert load(tmp_path) == (["buy_the_dip", "second"], {})


def test_a_loaded_class_runs(tmp_path: Path) -> None:
    write(tmp_path, mine=GOOD.format(name="Mine"))
    registry = StrategyRegistry()
    registry.load_folder(tmp_path)
    assert registry.get("mine").build("id", "AAPL").symbol == "AAPL"


def test_an_empty_folder_adds_nothing(tmp_path: Path) -> None:
    assert load(tmp_path) == ([], {})


def test_other_files_folders_and_those_that_start_with_an_underscore_are_left_alone(tmp_path: Path) -> None:
    write(tmp_path, _private="raise RuntimeError", mine=GOOD.format(name="Mine"))
    (tmp_path / "notes.txt").write_text("not Python")
    (tmp_path / ".hidden.py").write_text("not Python")
    (tmp_path / "package.py").mkdir()
    (tmp_path / "package.py" / "inner.py").write_text("not Python")
    assert load(tmp_path) == (["mine"], {})


def test_classes_that_are_imported_or_private_are_not_registered_again(tmp_path: Path) -> None:
    write(
        tmp_path,
        mine="""
            from strategies.sma_cross import SmaCross
            from strategies.base_strategy import BaseStrategy

            class _Shared(BaseStrategy):
                def on_trade(self, trade):
                    pass

            class Mine(_Shared):
                def on_bar(self, bar):
                    pass

            Alias = Mine
        """,
    )
    assert load(tmp_path) == (["mine"], {})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1\ny = = 2\n", "line 2: SyntaxError: invalid syntax"),
        ("\n\nimport no_such_module\n", "line 3: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f():\n    raise ValueError('a\\nb')\n\nf()\n", "line 2: ValueError: a b"),
        (
            "import json\njson.loads('')\n",
            "line 2: JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
        ),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        (
            GOOD.format(name="Taken") + "    name = 'mock'\n",
            "line 5: the name 'mock' belongs to MockStrategy",
        ),
        (GOOD.format(name="Odd") + "    name = 'Odd One'\n", "line 5: Odd has the name 'Odd One'; a name is"),
        (
            GOOD.format(name="Plain") + "    parameters = {}\n",
            "line 5: Plain.parameters is {}; declare it as",
        ),
        (GOOD.format(name="Half").replace("on_trade", "on_tade"), "line 5: Half must define on_trade"),
        (
            GOOD.format(name="Bad") + "    from strategies.parameters import Parameter as P, Parameters\n"
            "    parameters = Parameters(period=P(1, minimum=2))\n",
            "line 14: period is 1; it must be at least 2",
        ),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_does_not_stop_the_others(
    tmp_path: Path, text: str, reason: str
) -> None:
    write(tmp_path, a_good=GOOD.format(name="First"), broken=text, z_good=GOOD.format(name="Last"))
    names, reasons = load(tmp_path)
    assert names == ["first", "last"]
    assert list(reasons) == ["broken.py"]
    assert reasons["broken.py"].startswith(reason)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b"x = '\x00'\n", b"x = '\xf6'\n"])
def test_a_file_that_is_no_text_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "binary.py").write_bytes(content)
    names, reasons = load(tmp_path)
    assert (names, list(reasons)) == ([], ["binary.py"])


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert load(tmp_path)[1]["gone.py"].startswith("FileNotFoundError")


def test_one_bad_class_does_not_take_the_good_ones_of_its_file_along(tmp_path: Path) -> None:
    bad = GOOD.format(name="Bad") + "    name = 'mock'\n\n\nAlias = Bad\n"
    write(tmp_path, mixed=GOOD.format(name="Good") + bad)
    names, reasons = load(tmp_path)
    assert (names, list(reasons)) == (["good"], ["mixed.py"])


def test_of_two_files_with_the_same_name_for_a_strategy_the_first_has_it(tmp_path: Path) -> None:
    write(tmp_path, a=GOOD.format(name="Same"), b=GOOD.format(name="Same"))
    names, reasons = load(tmp_path)
    assert (names, list(reasons)) == (["same"], ["b.py"])


def test_files_can_import_each_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        _shared_levels="LEVEL = 30",
        plain_helper_of_mine="from _shared_levels import LEVEL",
        mine="from plain_helper_of_mine import LEVEL\n" + GOOD.format(name="Mine") + "    level = LEVEL\n",
    )
    assert load(tmp_path) == (["mine"], {})


def test_a_file_may_have_the_name_of_an_installed_package(tmp_path: Path) -> None:
    write(tmp_path, json=GOOD.format(name="Mine"), config=GOOD.format(name="Yours"))
    assert load(tmp_path) == (["mine", "yours"], {})
    assert sys.modules["json"].loads("1") == 1


def test_what_is_installed_wins_over_a_file_of_the_same_name(tmp_path: Path) -> None:
    write(
        tmp_path,
        tabnanny="WHOSE = 'ours'",
        mine="import tabnanny\ntabnanny.check\n" + GOOD.format(name="Mine"),
    )
    assert load(tmp_path) == (["mine"], {})


def test_a_broken_file_that_others_import_is_named_for_each(tmp_path: Path) -> None:
    write(tmp_path, broken_neighbour="x = 1\ny = = 2\n", mine="import sys\n\nimport broken_neighbour\n")
    assert load(tmp_path)[1] == {
        "broken_neighbour.py": "line 2: SyntaxError: invalid syntax",
        "mine.py": "line 3: SyntaxError: invalid syntax (broken_neighbour.py, line 2)",
    }


def test_a_broken_file_leaves_no_module_behind(tmp_path: Path) -> None:
    write(tmp_path, broken="raise RuntimeError")
    before = set(sys.modules)
    load(tmp_path)
    assert [name for name in set(sys.modules) - before if name.startswith("_own")] == []


@pytest.mark.parametrize("folder", ["missing", "file.py"])
def test_a_folder_that_is_none_is_a_wrong_setting(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file.py").write_text("")
    with pytest.raises(ConfigError, match=r"STRATEGIES_PATH: .* cannot be read \(.+\)"):
        load(tmp_path / folder)


def test_a_relative_folder_is_understood_from_wherever_the_worker_was_started(tmp_path: Path) -> None:
    write(tmp_path, mine=GOOD.format(name="Mine"), broken="raise RuntimeError")
    registry = StrategyRegistry()
    with chdir(tmp_path.parent):
        [failure] = registry.load_folder(Path(tmp_path.name))
    assert (failure.file, failure.reason) == (str(tmp_path / "broken.py"), "line 1: RuntimeError")
    assert "mine" in registry.names()
    assert str(tmp_path) in sys.path
