"""Python files as the rules see them, and what a rule reports."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("main.py", "config.py", "models", "services", "strategies")
PROOF = ("tests", "benchmarks")


@dataclass(frozen=True)
class Finding:
    """One place that breaks a rule, with what to do about it."""

    path: str
    line: int
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.advice}"


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the top of the repository and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file parsed; parsed once however many rules read it."""
        return ast.parse(self.text, self.path)

    @cached_property
    def lines(self) -> list[str]:
        """The file's lines; the first is number 0 here and number 1 in a Finding."""
        return self.text.splitlines()

    @property
    def module(self) -> str:
        """The dotted name that an import statement gives this file."""
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_package(self) -> bool:
        """Whether the file is the __init__.py of a package."""
        return self.path.endswith("__init__.py")

    def nodes(self) -> Iterator[ast.AST]:
        """Every syntax node of the file."""
        return ast.walk(self.tree)

    def finding(self, node: ast.stmt | ast.expr | ast.excepthandler, advice: str) -> Finding:
        """A finding at the line where the node begins."""
        return Finding(self.path, node.lineno, advice)


def read(*places: str) -> list[Source]:
    """Read the Python files at or below the places; generated code (`*_pb2*.py`) is nobody's style."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in found
        if "_pb2" not in path.stem
    ]


def expect_none(findings: Iterable[Finding]) -> None:
    """Fail with every finding, one per line."""
    found = [str(finding) for finding in findings]
    assert not found, "\n" + "\n".join(found)
