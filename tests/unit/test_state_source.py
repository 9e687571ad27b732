"""The hash of a strategy's source: the same for the same code, another one for any other."""

import sys
from pathlib import Path

import pytest

from services.state_source import UNKNOWN_SOURCE, source_hash
from strategies.base_strategy import BaseStrategy
from strategies.registry import StrategyRegistry
from strategies.sma_cross import SmaCross

SOURCE = """
from strategies.base_strategy import BaseStrategy

class {name}(BaseStrategy):
    def on_bar(self, bar): ...
    def on_trade(self, trade): ...
"""


def load(folder: Path, text: str) -> type[BaseStrategy]:
    folder.mkdir()
    (folder / "own.py").write_text(text)
    registry = StrategyRegistry([])
    assert registry.load_folder(folder) == []
    return registry.get("own")


@pytest.fixture(autouse=True)
def path_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", sys.path.copy())


def test_the_same_file_has_the_same_hash_wherever_it_lies(tmp_path: Path) -> None:
    text = SOURCE.format(name="Own")
    assert source_hash(load(tmp_path / "a", text)) == source_hash(load(tmp_path / "b", text))
    assert len(source_hash(SmaCross)) == 64


def test_any_change_of_the_file_is_another_hash(tmp_path: Path) -> None:
    text = SOURCE.format(name="Own")
    assert source_hash(load(tmp_path / "a", text)) != source_hash(load(tmp_path / "b", text + "# new\n"))


def test_a_change_of_the_class_that_it_builds_on_counts_too(tmp_path: Path) -> None:
    hashes = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        name = f"parent_{number}"
        (folder / f"{name}.py").write_text(SOURCE.format(name="_Parent") + f"# {number}\n")
        child = f"from {name} import _Parent\nclass Own(_Parent):\n    pass\n".replace(name, "parent")
        (folder / f"{name}.py").rename(folder / "parent.py")
        (folder / "own.py").write_text(child)
        sys.modules.pop("parent", None)
        sys.path.insert(0, str(folder))
        registry = StrategyRegistry([])
        assert registry.load_folder(folder) == []
        hashes.append(source_hash(registry.get("own")))
    assert hashes[0] != hashes[1]


def test_a_hash_is_of_the_file_as_it_was_loaded(tmp_path: Path) -> None:
    cls = load(tmp_path / "a", SOURCE.format(name="Own"))
    before = source_hash(cls)
    (tmp_path / "a" / "own.py").write_text("something else")
    assert source_hash(cls) == before


def test_a_class_without_a_file_has_no_hash() -> None:
    namespace: dict[str, object] = {"__name__": "typed_in"}
    exec(SOURCE.format(name="Own"), namespace)  # noqa: S102 — what a person types has no file
    cls = namespace["Own"]
    assert isinstance(cls, type)
    assert issubclass(cls, BaseStrategy)
    assert source_hash(cls) == UNKNOWN_SOURCE
