"""What things may be called, and which must explain themselves."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from tests.architecture.source import Finding, Source

NOT_A_NOUN = {"common", "helper", "helpers", "misc", "util", "utils"}
SENTENCE_WORDS = 3

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def vague_modules(sources: Iterable[Source]) -> list[Finding]:
    """Modules and folders named for nothing in particular."""
    found = []
    for source in sources:
        words = {
            word for part in PurePosixPath(source.path).with_suffix("").parts for word in part.split("_")
        }
        if vague := words & NOT_A_NOUN:
            found.append(
                Finding(source.path, 1, f"'{vague.pop()}' says nothing: name the file after what it holds")
            )
    return found


def managers(sources: Iterable[Source]) -> list[Finding]:
    """Classes ending in Manager, other than StrategyManager."""
    return [
        source.finding(node, f"{node.name}: say what it does (Courier, Outbox, Ledger), not that it manages")
        for source, node in _classes(sources)
        if node.name.endswith("Manager") and node.name != "StrategyManager"
    ]


def bases(sources: Iterable[Source]) -> list[Finding]:
    """Classes starting with Base, other than BaseStrategy."""
    return [
        source.finding(node, f"{node.name}: name the idea, not its place in a hierarchy")
        for source, node in _classes(sources)
        if re.match(r"_?Base([A-Z]|$)", node.name) and node.name != "BaseStrategy"
    ]


def undocumented(sources: Iterable[Source]) -> list[Finding]:
    """Public classes, functions and methods without a docstring; an `@override` has that of its base."""
    return [
        source.finding(node, f"{node.name} is public: a docstring must say its meaning, units and errors")
        for source in sources
        for node in _public(source.tree)
        if ast.get_docstring(node) is None
    ]


def unspoken_tests(sources: Iterable[Source]) -> list[Finding]:
    """Tests whose name is not a sentence."""
    return [
        source.finding(node, f"{node.name}: name it by the fact it proves, as a sentence")
        for source in sources
        for node in source.nodes()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) - 1 < SENTENCE_WORDS
    ]


def _classes(sources: Iterable[Source]) -> Iterator[tuple[Source, ast.ClassDef]]:
    for source in sources:
        for node in source.nodes():
            if isinstance(node, ast.ClassDef):
                yield source, node


def _public(parent: ast.Module | ast.ClassDef) -> Iterator[Documented]:
    for node in parent.body:
        if isinstance(node, Documented) and not node.name.startswith("_") and not _is_override(node):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node)


def _is_override(node: Documented) -> bool:
    return any(
        ast.unparse(mark).endswith(("override", "overload", ".setter")) for mark in node.decorator_list
    )
