"""How long things may be: the tail is what makes a codebase hard to read, so the tail is what is watched."""

import ast
from collections.abc import Iterable
from statistics import median

from tests.architecture.source import Finding, Source

FILE_LINES = 400
MEDIAN_FILE_LINES = 130
CLASS_LINES = 200
PUBLIC_METHODS = 12
FUNCTION_LINES = 30
LONG_FUNCTIONS_ALLOWED = 0.10

type_of_function = ast.FunctionDef | ast.AsyncFunctionDef


def long_files(sources: Iterable[Source]) -> list[Finding]:
    """Files over the limit."""
    return [
        Finding(
            source.path, FILE_LINES + 1, f"{len(source.lines)} lines; split by noun, at most {FILE_LINES}"
        )
        for source in sources
        if len(source.lines) > FILE_LINES
    ]


def heavy_median(sources: Iterable[Source]) -> list[Finding]:
    """The longest files, when the typical file is over the median allowed. Empty files do not count."""
    lengths = sorted(
        ((len(source.lines), source.path) for source in sources if source.tree.body), reverse=True
    )
    typical = median(length for length, _ in lengths) if lengths else 0
    if typical <= MEDIAN_FILE_LINES:
        return []
    advice = f"the median file has {typical:g} lines, at most {MEDIAN_FILE_LINES}; this one has"
    return [Finding(path, 1, f"{advice} {length}") for length, path in lengths[:5]]


def long_classes(sources: Iterable[Source]) -> list[Finding]:
    """Classes over the limit."""
    return [
        source.finding(
            node, f"class {node.name} has {_span(node)} lines; at most {CLASS_LINES}: move a duty out"
        )
        for source in sources
        for node in source.nodes()
        if isinstance(node, ast.ClassDef) and _span(node) > CLASS_LINES
    ]


def wide_classes(sources: Iterable[Source]) -> list[Finding]:
    """Classes with too many public methods; a property with its setter counts once."""
    found = []
    for source in sources:
        for node in source.nodes():
            if isinstance(node, ast.ClassDef) and (count := len(_public_methods(node))) > PUBLIC_METHODS:
                advice = f"class {node.name} has {count} public methods; at most {PUBLIC_METHODS}"
                found.append(source.finding(node, advice))
    return found


def many_long_functions(sources: Iterable[Source]) -> list[Finding]:
    """Every function over the limit, longest first, when they are more than one in ten."""
    functions = [
        (_span(node), source.finding(node, f"{node.name} has {_span(node)} lines; aim at {FUNCTION_LINES}"))
        for source in sources
        for node in source.nodes()
        if isinstance(node, type_of_function)
    ]
    long = [(span, finding) for span, finding in functions if span > FUNCTION_LINES]
    if len(long) <= LONG_FUNCTIONS_ALLOWED * len(functions):
        return []
    return [finding for _, finding in sorted(long, key=lambda item: -item[0])]


def _public_methods(node: ast.ClassDef) -> set[str]:
    methods = (child for child in node.body if isinstance(child, type_of_function))
    return {method.name for method in methods if not method.name.startswith("_")}


def _span(node: ast.ClassDef | type_of_function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1
