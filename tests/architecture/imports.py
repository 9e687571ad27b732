"""Who imports whom, for what the layer contracts cannot say: single-file modules, and modules nobody uses."""

import ast
import sys
from collections.abc import Iterable, Iterator

from tests.architecture.source import Finding, Source


def imported_by(source: Source, known: set[str]) -> dict[str, int]:
    """The modules of this project that a file imports, wherever in the file, each with its first line."""
    lines: dict[str, int] = {}
    for node in source.nodes():
        for name in _targets(source, node):
            for module in _with_parents(name):
                if module in known and isinstance(node, ast.stmt):
                    lines.setdefault(module, node.lineno)
    return lines


def third_party(source: Source) -> set[str]:
    """The packages a file imports that are neither in the standard library nor in this project."""
    own = {"benchmarks", "config", "main", "models", "services", "strategies", "tests"}
    tops = {name.partition(".")[0] for node in source.nodes() for name in _targets(source, node)}
    return tops - own - sys.stdlib_module_names - {"_typeshed"}  # which only type checkers have


def forbidden(importer: Source, allowed: Iterable[str], known: set[str]) -> list[Finding]:
    """What a file imports of this project beyond the modules (and all below them) that it may."""
    permitted = set(allowed)
    parents = {parent for name in permitted for parent in _with_parents(name)}
    return [
        Finding(importer.path, line, f"{importer.module} must not import {module}: imports point one way")
        for module, line in imported_by(importer, known).items()
        if module not in parents and not permitted & set(_with_parents(module))
    ]


def unreachable(sources: Iterable[Source], entries: Iterable[str]) -> list[Finding]:
    """Files that no entry leads to by imports; a file that defines a strategy is found by name."""
    by_module = {source.module: source for source in sources}
    waiting = [*entries, *(source.module for source in by_module.values() if _defines_strategy(source))]
    reached: set[str] = set()
    while waiting:
        module = waiting.pop()
        if module in by_module and module not in reached:
            reached.add(module)
            waiting += [*_with_parents(module), *imported_by(by_module[module], set(by_module))]
    return [
        Finding(source.path, 1, "nothing that main.py reaches imports this: use it or delete it")
        for module, source in by_module.items()
        if module not in reached and source.tree.body
    ]


def _targets(source: Source, node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        start = _package(source, node.level)
        module = ".".join(part for part in (start, node.module) if part)
        yield module
        yield from (f"{module}.{alias.name}" for alias in node.names)


def _package(source: Source, level: int) -> str:
    if not level:
        return ""
    parts = source.module.split(".")
    return ".".join(parts[: len(parts) - level + source.is_package])


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _defines_strategy(source: Source) -> bool:
    return source.module.startswith("strategies.") and any(
        isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "BaseStrategy" for base in node.bases)
        for node in source.tree.body
    )
