"""What code of the product does not do."""

import ast
import re
from collections.abc import Iterable, Iterator

from tests.architecture.source import Finding, Source

ENVIRONMENT = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
EXCUSES = {
    "pytest.importorskip",
    "pytest.mark.skip",
    "pytest.mark.skipif",
    "pytest.mark.xfail",
    "pytest.skip",
    "pytest.xfail",
}
REASON_WORDS = 3
MARKER = re.compile(r"noqa(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?|type: ignore(\[[\w, -]*\])?")


def sleeps(sources: Iterable[Source]) -> list[Finding]:
    """Waits that nothing can end."""
    return [
        source.finding(node, "a sleep cannot be ended: use stop.wait(seconds)")
        for source, node in _uses(sources, "time", {"sleep"})
    ]


def assertions(sources: Iterable[Source]) -> list[Finding]:
    """Assert statements, which `python -O` removes."""
    return [
        source.finding(
            node, "assert is for tests: raise an error of models/errors.py, or let the types say it"
        )
        for source in sources
        for node in source.nodes()
        if isinstance(node, ast.Assert)
    ]


def prints(sources: Iterable[Source]) -> list[Finding]:
    """Calls of the built-in print."""
    return [
        source.finding(node, "print goes past the logs and --json: log an event, or write to a rich Console")
        for source in sources
        for node in source.nodes()
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def environment_reads(sources: Iterable[Source]) -> list[Finding]:
    """Uses of the process environment."""
    return [
        source.finding(node, "config.py alone reads the environment: take the value as an argument")
        for source, node in _uses(sources, "os", ENVIRONMENT)
    ]


def unexplained_excepts(sources: Iterable[Source]) -> list[Finding]:
    """Broad excepts without a reason beside them. One that ends by raising swallows nothing."""
    return [
        source.finding(
            node, "catch what you can handle; a boundary says why on this line: `except Exception:  # why`"
        )
        for source in sources
        for node in source.nodes()
        if isinstance(node, ast.ExceptHandler)
        and _is_broad(node)
        and not _raises_again(node)
        and not _has_reason(_clause(source, node))
    ]


def excuses(sources: Iterable[Source]) -> list[Finding]:
    """Tests that skip, expect to fail, or stand a double in place of a part."""
    found = []
    for source in sources:
        for node in source.nodes():
            if isinstance(node, ast.Attribute) and _dotted(node) in EXCUSES:
                found.append(source.finding(node, f"{_dotted(node)}: a test proves something or is deleted"))
            elif isinstance(node, ast.ImportFrom | ast.Import) and _imports_doubles(node):
                found.append(
                    source.finding(
                        node, "no mocks: use the real part, or a fake that passes its contract suite"
                    )
                )
    return found


def _imports_doubles(node: ast.ImportFrom | ast.Import) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module == "unittest.mock" or (
            node.module == "unittest" and any(alias.name == "mock" for alias in node.names)
        )
    return any(alias.name == "unittest.mock" for alias in node.names)


def _uses(
    sources: Iterable[Source], module: str, names: set[str]
) -> Iterator[tuple[Source, ast.Attribute | ast.ImportFrom]]:
    """Each place that reaches one of the names of a standard module, under whatever name it was imported."""
    for source in sources:
        aliases = set(_aliases(source, module))
        for node in source.nodes():
            if isinstance(node, ast.Attribute):
                found = node.attr in names and _dotted(node.value) in aliases
            else:
                found = isinstance(node, ast.ImportFrom) and node.module == module and _imports(node, names)
            if found and isinstance(node, ast.Attribute | ast.ImportFrom):
                yield source, node


def _aliases(source: Source, module: str) -> Iterator[str]:
    for node in source.nodes():
        if isinstance(node, ast.Import):
            yield from (alias.asname or alias.name for alias in node.names if alias.name == module)


def _imports(node: ast.ImportFrom, names: set[str]) -> bool:
    return any(alias.name in names for alias in node.names)


def _is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(_dotted(kind) in {"Exception", "BaseException"} for kind in kinds)


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise)


def _clause(source: Source, handler: ast.ExceptHandler) -> str:
    """From `except` to where its body begins: one line, or those that the formatter made of it."""
    end = max(handler.lineno, handler.body[0].lineno - 1)
    return "\n".join(source.lines[handler.lineno - 1 : end])


def _has_reason(clause: str) -> bool:
    comment = clause.partition("#")[2]
    words = MARKER.sub("", comment)
    return len(re.findall(r"[A-Za-z]+", words)) >= REASON_WORDS


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return f"{_dotted(node.value)}.{node.attr}" if isinstance(node, ast.Attribute) else ""
