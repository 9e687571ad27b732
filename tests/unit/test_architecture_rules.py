"""Each house rule finds what it is there to find, and lets through what is right."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.architecture import habits, imports, names, sizes
from tests.architecture.imports_tried import try_imports
from tests.architecture.source import Finding, Source

Rule = Callable[[Iterable[Source]], list[Finding]]


def lines_found(rule: Rule, text: str, path: str = "services/courier.py") -> list[int]:
    return [finding.line for finding in rule([Source(path, text)])]


def function_of(lines: int, name: str = "run") -> str:
    return f"def {name}():\n" + "    pass\n" * (lines - 1)


def test_a_file_of_401_lines_is_found_and_one_of_400_is_not() -> None:
    assert lines_found(sizes.long_files, "x = 1\n" * 401) == [401]
    assert lines_found(sizes.long_files, "x = 1\n" * 400) == []


def test_a_median_over_130_lines_is_found_and_empty_files_do_not_lower_it() -> None:
    long, short, empty = Source("a.py", "x = 1\n" * 131), Source("b.py", "x = 1\n"), Source("__init__.py", "")
    assert [finding.path for finding in sizes.heavy_median([long, empty, empty])] == ["a.py"]
    assert sizes.heavy_median([long, short, short]) == []


def test_a_class_of_201_lines_is_found_and_one_of_200_is_not() -> None:
    assert lines_found(sizes.long_classes, "class A:\n" + "    x = 1\n" * 200) == [1]
    assert lines_found(sizes.long_classes, "class A:\n" + "    x = 1\n" * 199) == []


def test_a_class_with_13_public_methods_is_found_and_private_ones_do_not_count() -> None:
    methods = [f"    def act_{number}(self): ...\n" for number in range(13)]
    private = "    def _act(self): ...\n"
    assert lines_found(sizes.wide_classes, "class A:\n" + "".join(methods)) == [1]
    assert lines_found(sizes.wide_classes, "class A:\n" + "".join(methods[:12]) + private) == []


def test_long_functions_are_found_when_they_are_more_than_one_in_ten() -> None:
    nine_short = "".join(function_of(2, f"short_{number}") for number in range(9))
    assert lines_found(sizes.many_long_functions, nine_short + function_of(31)) == []
    assert lines_found(sizes.many_long_functions, nine_short + function_of(31) + function_of(40)) == [50, 19]


@pytest.mark.parametrize("path", ["services/utils.py", "models/common/bar.py", "services/redis_helpers.py"])
def test_a_module_named_for_nothing_is_found(path: str) -> None:
    assert lines_found(names.vague_modules, "", path) == [1]


def test_a_module_named_by_a_noun_passes() -> None:
    assert lines_found(names.vague_modules, "", "services/signals/courier.py") == []


def test_a_manager_is_found_unless_it_manages_strategies() -> None:
    assert lines_found(names.managers, "class OrderManager: ...\nclass StrategyManager: ...\n") == [1]


def test_a_base_class_is_found_unless_strategies_derive_from_it() -> None:
    text = "class BaseGateway: ...\nclass _Base: ...\nclass BaseStrategy: ...\nclass Baseline: ...\n"
    assert lines_found(names.bases, text) == [1, 2]


def test_public_names_without_a_docstring_are_found() -> None:
    text = 'class A:\n    """Fine."""\n    def act(self): ...\n    def _own(self): ...\ndef go(): ...\n'
    assert lines_found(names.undocumented, text) == [3, 5]


def test_an_override_needs_no_docstring_of_its_own() -> None:
    text = 'class A:\n    """Fine."""\n    @typing.override\n    def act(self): ...\n'
    assert lines_found(names.undocumented, text) == []


def test_a_test_that_is_not_a_sentence_is_found() -> None:
    assert lines_found(
        names.unspoken_tests, "def test_bars(): ...\ndef test_a_late_bar_is_dropped(): ...\n"
    ) == [1]


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(1)\n",
        "import time as t\nt.sleep(1)\n",
        "\nfrom time import monotonic, sleep\n",
    ],
)
def test_a_sleep_is_found_under_any_name(text: str) -> None:
    assert lines_found(habits.sleeps, text) == [2]


def test_a_wait_that_can_be_ended_passes() -> None:
    assert lines_found(habits.sleeps, "import time\nstop.wait(1)\ntime.monotonic()\nself.sleep()\n") == []


def test_an_assert_is_found_in_the_product() -> None:
    assert lines_found(habits.assertions, "x = 1\nassert x\n") == [2]


def test_a_print_is_found_and_a_method_of_that_name_is_not() -> None:
    assert lines_found(habits.prints, "print(1)\nconsole.print(1)\n") == [1]


@pytest.mark.parametrize(
    "text",
    ["import os\nos.environ['HOME']\n", "import os\nos.getenv('HOME')\n", "\nfrom os import environ\n"],
)
def test_a_read_of_the_environment_is_found(text: str) -> None:
    assert lines_found(habits.environment_reads, text) == [2]


def test_other_uses_of_the_operating_system_pass() -> None:
    assert lines_found(habits.environment_reads, "import os\nos.getpid()\nself.environ\n") == []


@pytest.mark.parametrize(
    "clause",
    [
        "except Exception:",
        "except BaseException as error:",
        "except:",
        "except (ValueError, Exception):",
        "except Exception:  # noqa: BLE001",
        "except Exception:  # noqa: BLE001, S110",
        "except Exception:  # boundary",
    ],
)
def test_a_broad_except_without_a_reason_is_found(clause: str) -> None:
    assert lines_found(habits.unexplained_excepts, f"try:\n    go()\n{clause}\n    pass\n") == [3]


@pytest.mark.parametrize(
    "clause",
    [
        "except ValueError:",
        "except Exception:  # noqa: BLE001 — a strategy can hurt only itself",
        "except Exception:  # the loop outlives any message",
        "except (\n    Exception\n) as error:  # the request may have left",
    ],
)
def test_a_narrow_or_explained_except_passes(clause: str) -> None:
    assert lines_found(habits.unexplained_excepts, f"try:\n    go()\n{clause}\n    pass\n") == []


def test_a_broad_except_that_raises_again_passes() -> None:
    assert (
        lines_found(
            habits.unexplained_excepts, "try:\n    go()\nexcept BaseException:\n    undo()\n    raise\n"
        )
        == []
    )


@pytest.mark.parametrize(
    "text",
    [
        "@pytest.mark.skipif(True)\ndef test_a(): ...\n",
        "pytest.skip('no server')\n",
        "@pytest.mark.xfail\ndef test_a(): ...\n",
        "from unittest.mock import MagicMock\n",
        "from unittest import mock\n",
        "import unittest.mock\n",
    ],
)
def test_a_skip_an_expected_failure_or_a_mock_is_found(text: str) -> None:
    assert lines_found(habits.excuses, text) == [1]


def test_an_honest_test_passes() -> None:
    assert lines_found(habits.excuses, "import pytest\n@pytest.mark.timeout(5)\ndef test_a(): ...\n") == []


def test_an_import_against_the_direction_is_found_wherever_it_hides() -> None:
    known = {"config", "services", "services.worker", "services.commands", "services.commands.demo"}
    hidden = Source("main.py", "def go():\n    from services import worker\n")
    assert [finding.line for finding in imports.forbidden(hidden, ["services.commands"], known)] == [2]
    right = Source("main.py", "import config\nfrom services.commands import demo\nimport redis\n")
    assert imports.forbidden(right, ["services.commands", "config"], known) == []


def test_relative_imports_are_resolved() -> None:
    known = {"services", "services.worker", "services.signals", "services.signals.outbox"}
    module = Source("services/signals/courier.py", "from . import outbox\nfrom .. import worker\n")
    package = Source("services/signals/__init__.py", "from .outbox import Outbox\n")
    assert set(imports.imported_by(module, known)) == known
    assert "services.signals.outbox" in imports.imported_by(package, known)


def test_a_module_that_nothing_reaches_is_found() -> None:
    sources = [
        Source("main.py", "from services import worker\n"),
        Source("services/__init__.py", ""),
        Source("services/worker.py", "import models.bar\n"),
        Source("models/__init__.py", ""),
        Source("models/bar.py", "x = 1\n"),
        Source("services/island.py", "import models.bar\n"),
    ]
    assert [finding.path for finding in imports.unreachable(sources, ["main"])] == ["services/island.py"]


def test_a_strategy_counts_as_used_since_it_is_found_by_name() -> None:
    strategy = Source(
        "strategies/sma_cross.py", "import strategies.indicators\nclass SmaCross(BaseStrategy): ...\n"
    )
    indicators = Source("strategies/indicators.py", "x = 1\n")
    assert imports.unreachable([strategy, indicators], ["main"]) == []


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("import os\nos.environ.get('HOME')\n", "reads HOME"),
        ("import os\n'HOME' in os.environ\n", "reads HOME"),
        ("import threading\nthreading.Thread(target=print).start()\n", "starts a thread"),
        ("import socket\nsocket.socket()\n", "opens a socket"),
        ("import subprocess\nsubprocess.run(['true'])\n", "runs a program"),
        ("import pathlib\npathlib.Path(__file__).with_suffix('.out').write_text('')\n", "writes a file"),
        ("import types\nstart_thread()\n", "cannot be imported"),
    ],
)
def test_what_an_import_does_is_found(tmp_path: Path, text: str, effect: str) -> None:
    (tmp_path / "busy.py").write_text(text)
    findings = try_imports(tmp_path, ["busy"])
    assert effect in str(findings[0])
    assert {finding.line for finding in findings} <= {1, 2}


def test_an_import_that_only_defines_passes_whatever_its_libraries_do(tmp_path: Path) -> None:
    library = tmp_path / ".venv"
    library.mkdir()
    (library / "noisy.py").write_text("import os\nos.environ.get('HOME')\n")
    (tmp_path / "quiet.py").write_text(
        f"import sys\nsys.path.append({str(library)!r})\nimport noisy, urllib3\n"
    )
    assert try_imports(tmp_path, ["quiet"]) == []
