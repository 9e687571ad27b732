"""The locks, the Makefile and the gate: what everyone's first command stands on."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.architecture.imports import third_party
from tests.architecture.source import PRODUCT, ROOT, read

LOCKS = {
    "requirements.txt": "dependencies",
    "requirements-report.txt": "report",
    "requirements-demo.txt": "demo",
    "requirements-history.txt": "history",
    "requirements-kafka.txt": "kafka",
    "requirements-oms.txt": "oms",
    "requirements-dev.txt": "dev",
    "requirements-bench.txt": "bench",
}
PIN = re.compile(r"^([a-z0-9-]+)==([^ ]+)( ; [^\\]+)? \\$")

# Runtime packages that no import statement names, and optional ones with the place that may import them.
USED_UNSEEN = {"hiredis": "redis-py parses with it when it is there"}
OPTIONAL: dict[str, str | tuple[str, ...]] = {
    "plotly": ("services/demo", "services/history"),
    "apprise": "services/history",
    "exchange-calendars": "services/history",
    "numpy": "services/history",
    "pandas": "services/history",
    "pyarrow": "services/history",
    "bokeh-sampledata": "services/demo",
    "confluent-kafka": "services/intake",
    "grpcio": ("services/oms", "services/signals/oms_"),
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def direct(part: str) -> dict[str, str]:
    """The direct dependencies of one part of pyproject.toml with their versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = (
        project["project"]["dependencies"] if part == "dependencies" else project["dependency-groups"][part]
    )
    return {canonical(name): version for name, version in (item.split("==") for item in wanted)}


def locked(lock: str) -> Iterator[tuple[str, str, int]]:
    """Every package of a lock: its name, version and number of hashes."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    for block in re.split(r"\n(?=[a-z])", text):
        if not block.startswith("#"):
            pin = PIN.match(block.splitlines()[0])
            assert pin, f"{lock}: not one exact version: {block.splitlines()[0]}"
            yield pin[1], pin[2], len(re.findall(r"--hash=sha256:[0-9a-f]{64}", block))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_hashes(lock: str) -> None:
    packages = list(locked(lock))
    assert packages
    assert [name for name, _, hashes in packages if hashes == 0] == []


@pytest.mark.parametrize(("lock", "part"), LOCKS.items())
def test_a_lock_holds_what_pyproject_asks_for(lock: str, part: str) -> None:
    versions = {name: version for name, version, _ in locked(lock)}
    assert {name: versions.get(name) for name in direct(part)} == direct(part), "run `make lock`"


def test_a_package_stands_in_one_lock_only() -> None:
    names = [name for lock in LOCKS for name, _, _ in locked(lock)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_download_from(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert re.findall(r"https?:|file:|--(?:extra-)?index|--find-links|--trusted-host", text) == []


def imported() -> Iterator[tuple[str, str]]:
    """Every file of the product with each package that it imports."""
    distributions = packages_distributions()
    for source in read(*PRODUCT):
        for package in third_party(source):
            yield from ((source.path, canonical(name)) for name in distributions.get(package, [package]))


def test_the_product_imports_only_what_the_runtime_installs() -> None:
    installed = {name for name, _, _ in locked("requirements.txt")}
    assert [
        f"{path} imports {name}"
        for path, name in imported()
        if name not in installed and not path.startswith(OPTIONAL.get(name, "nowhere"))
    ] == []


def test_nothing_is_installed_that_the_product_does_not_use() -> None:
    assert set(direct("dependencies")) - {name for _, name in imported()} - set(USED_UNSEEN) == set()


def test_the_gate_runs_check_and_test() -> None:
    gate = ROOT / ".ci" / "run"
    assert os.access(gate, os.X_OK)
    assert [line for line in gate.read_text(encoding="utf-8").splitlines() if line.startswith("make")] == [
        "make check",
        "make test",
    ]


def test_make_alone_lists_the_commands() -> None:
    listed = run_make(ROOT)
    assert listed.returncode == 0
    for command in ("make demo", "make test", "make check", "make bench", "make clean"):
        assert command in listed.stdout


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    old = write_program(tmp_path / "python3.9", 'case "$1" in -c) exit 1;; *) echo Python 3.9.2;; esac')
    refused = run_make(checkout(tmp_path), "demo", f"PYTHON={old}")
    assert refused.returncode == 2
    assert "needs Python 3.11 or newer" in refused.stderr
    assert "is Python 3.9.2" in refused.stderr


def test_make_says_what_to_install_when_no_environment_can_be_made(tmp_path: Path) -> None:
    bare = write_program(tmp_path / "python3", 'case "$1" in -c) exit 0;; *) exit 1;; esac')
    refused = run_make(checkout(tmp_path), "demo", f"PYTHON={bare}")
    assert refused.returncode == 2
    assert "apt install python3-venv" in refused.stderr


def test_a_finished_installation_is_not_repeated(tmp_path: Path) -> None:
    folder = checkout(tmp_path)
    for stamp in (".made", ".demo-installed", ".dev-installed", ".bench-installed"):
        (folder / ".venv").mkdir(exist_ok=True)
        (folder / ".venv" / stamp).touch()
    planned = run_make(folder, "-n", "test")
    assert "pip install" not in planned.stdout
    assert "-m pytest" in planned.stdout


def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, folder)
    return folder


def write_program(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def run_make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(  # noqa: S603 — the Makefile of this project
        ["make", *arguments],  # noqa: S607 — whichever make the developer has
        cwd=folder,
        env=environment | {"LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
