"""What can be told of a source by reading it: its form, and what in it can never work. Nothing is run."""

import ast
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import NamedTuple

from services.sandbox.protocol import LONGEST_MESSAGE, Form, readable
from strategies.hooks import HOOKS, uncallable, without_effect

MOST_PROBLEMS = 4
NEAR = 0.75
BY_NAME = {"eval", "exec", "getattr", "globals", "locals", "vars"}
"""Who uses these may call a function that is mentioned nowhere."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
WhyAbsent = Callable[[str], str | None]
"""Returns why a module cannot be imported, None for one that can."""


class NotLoadable(Exception):
    """A source that makes no strategy; line and column count from 1, where they are known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.reason = readable(reason)[:LONGEST_MESSAGE]
        self.line = line
        self.column = column


class Problem(NamedTuple):
    """Something that cannot work, and where it stands."""

    reason: str
    line: int
    column: int


def check_source(tree: ast.Module, form: Form, why_absent: WhyAbsent) -> None:
    """Raise NotLoadable for a source that compiles, and yet would never do what its author wants.

    All that is wrong is told at once, in the order of the lines.
    """
    misspelt = tuple(_misspelt(tree, form))
    idle = () if misspelt or form != "script" else _idle_script(tree)
    found = {*_wrong_hooks(tree, form), *misspelt, *idle, *_absent(tree, form, why_absent)}
    if found:
        problems = sorted(found, key=lambda problem: (problem.line, problem.column))[:MOST_PROBLEMS]
        reason, line, column = problems[0]
        raise NotLoadable(reason if len(problems) == 1 else _all_of(problems), line, column)


def _all_of(problems: Sequence[Problem]) -> str:
    """Return every problem, with the place of all but the first, and without lists of what there is."""
    told = [(each.reason.partition("; there are: ")[0], each.line, each.column) for each in problems]
    others = (f"; line {line}, column {column}: {reason}" for reason, line, column in told[1:])
    return told[0][0] + "".join(others)


def form_of(tree: ast.Module) -> Form:
    """Tell a source's form by what it defines at its top: a strategy class, handlers, or neither."""
    if any(_strategy_classes(tree)):
        return "class"
    if any(name in HOOKS for node in tree.body for name in _defined_by(node)):
        return "handlers"
    return "script"


def _strategy_classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    """Yield the classes that are made from BaseStrategy or one of its kind, as far as their bases tell."""
    strategies = {"BaseStrategy", *_imported_from_strategies(tree)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and strategies & set(_base_names(node)):
            strategies.add(node.name)
            yield node


def _base_names(node: ast.ClassDef) -> Iterator[str]:
    """Yield what a class is made from, without the modules before it."""
    for base in node.bases:
        yield ast.unparse(base).rpartition(".")[2]


def _imported_from_strategies(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "strategies":
            yield from (alias.asname or alias.name for alias in node.names)


def _defined_by(node: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds as functions: by `def`, or by `on_bar = …`."""
    if isinstance(node, Function):
        yield node.name
    elif isinstance(node, ast.Assign):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _called(tree: ast.Module, form: Form) -> Iterator[tuple[str, Function, bool]]:
    """Yield what is defined where hooks are: each with its name for people, and whether it is a method."""
    if form == "class":
        for cls in _strategy_classes(tree):
            for node in cls.body:
                if isinstance(node, Function):
                    yield f"{cls.name}.{node.name}", node, True
    else:
        yield from ((node.name, node, False) for node in tree.body if isinstance(node, Function))


def _wrong_hooks(tree: ast.Module, form: Form) -> Iterator[Problem]:
    """Find hooks that could not be called; of decorated ones only what they are after it could tell."""
    for name, node, is_method in _called(tree, form):
        if node.name not in HOOKS or node.decorator_list:
            continue
        given = ("self", *HOOKS[node.name]) if is_method else HOOKS[node.name]
        if isinstance(node, ast.AsyncFunctionDef):
            yield _problem(node, without_effect(name, "async"))
        elif any(isinstance(each, ast.Yield | ast.YieldFrom) for each in _own_nodes(node)):
            yield _problem(node, without_effect(name, "generator"))
        elif not _takes(node.args, len(given)):
            yield _problem(node, uncallable(name, _written(node.args), given))


def _takes(arguments: ast.arguments, given: int) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    most = given if arguments.vararg else positional
    return needed <= given <= most and None not in arguments.kw_defaults


def _written(arguments: ast.arguments) -> str:
    every = (
        *arguments.posonlyargs,
        *arguments.args,
        arguments.vararg,
        *arguments.kwonlyargs,
        arguments.kwarg,
    )
    return ", ".join(each.arg for each in every if each is not None)


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in a function, but not in functions within it; however deep, without a deep stack."""
    waiting = [node]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            yield child
            if not isinstance(child, Function | ast.Lambda):
                waiting.append(child)


def _misspelt(tree: ast.Module, form: Form) -> Iterator[Problem]:
    """Find functions that look as if the worker were to call them, and that nobody calls."""
    mentioned = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    mentioned |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if mentioned & BY_NAME:
        return
    for name, node, _ in _called(tree, form):
        if node.name in HOOKS or node.name in mentioned or node.decorator_list:
            continue
        if meant := _meant(node.name):
            yield _problem(node, f"nobody calls {name}; did you mean {meant}?")
        elif node.name.startswith("on_") and form != "class":  # what a class is made from may call it
            yield _problem(node, f"nobody calls {name}; what is called: {', '.join(HOOKS)}")


def _meant(name: str) -> str | None:
    plain, written = {each.replace("_", ""): each for each in HOOKS}, name.replace("_", "").lower()
    if not written.startswith("on"):
        return plain.get(written)
    near = get_close_matches(written, plain, n=1, cutoff=NEAR)
    return plain[near[0]] if near else None


def _idle_script(tree: ast.Module) -> Iterator[Problem]:
    """Find that a script only defines what it never uses, bar after bar."""
    defined = [node for node in tree.body if isinstance(node, Function | ast.ClassDef)]
    if not defined or not all(map(_is_idle, tree.body)):
        return
    first = defined[0]
    advice = (
        f"class {first.name} is no strategy: write `class {first.name}(BaseStrategy):`"
        if isinstance(first, ast.ClassDef)
        else "nothing here is run at a bar: write `def on_bar(bar):`, or call what is defined"
    )
    yield _problem(first, advice)


def _is_idle(node: ast.stmt) -> bool:
    if isinstance(node, Function | ast.ClassDef):
        return not node.decorator_list
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return not any(isinstance(each, ast.Call) for each in ast.walk(node))
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_text or isinstance(node, ast.Import | ast.ImportFrom | ast.Pass)


def _absent(tree: ast.Module, form: Form, why_absent: WhyAbsent) -> Iterator[Problem]:
    """Find imports that fail when they are reached, which those below an `if`, `try` or `with` may not be."""
    hooks = (node.body for _, node, _ in _called(tree, form) if node.name in HOOKS)
    for node in (each for body in (tree.body, *hooks) for each in _reached(body)):
        for name in _imported_by(node):
            if reason := why_absent(name):
                yield _problem(node, reason)


def _reached(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that nothing keeps from being run, as far as that is plain to see."""
    for node in body:
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _reached(node.body)
        if any(isinstance(each, ast.Return) for each in _own_nodes(node)):
            return


def _imported_by(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield "." * node.level + (node.module or "")


def _problem(node: ast.stmt, reason: str) -> Problem:
    return Problem(reason, node.lineno, node.col_offset + 1)
