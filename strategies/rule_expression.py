"""The language of rules: conditions over lines, read once and turned into functions.

    close > sma and rsi < oversold
    crossed_up(macd, signal) or close > 1.05 * upper

A condition of lines without a reading is neither true nor false, and so is what is made of it. Readings that
differ by less than a billionth are equal: what float arithmetic leaves over is no signal.
"""

import ast
import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches

from msgspec import Struct

from models.errors import StrategyRejected
from strategies.indicators import NOISE
from strategies.rule_lines import Line, Reading

Value = Callable[[], Reading]
Truth = Callable[[], bool | None]

LONGEST = 500
CONDITIONS = {
    "crossed_up": "crossed_up(a, b)",
    "crossed_down": "crossed_down(a, b)",
    "over": "over(a, b)",
    "above": "above(a, b)",
    "over_constant": "over_constant(a, 70)",
    "under": "under(a, b)",
    "below": "below(a, b)",
    "under_constant": "under_constant(a, 30)",
    "stop_loss": "stop_loss(percent)",
    "trailing_stop_loss": "trailing_stop_loss(percent)",
}
STOPS = {"stop_loss", "trailing_stop_loss"}
ARITHMETIC: Mapping[type[ast.operator], Callable[[float, float], float | None]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b if b else None,
}


class Crossing(Struct):
    """Whether a line was over another at the last bar; None where that was not known."""

    was_over: bool | None = None


class Holding(Struct):
    """What the stops look at: the close that was bought at, and the highest close since; 0 where flat."""

    entry: float = 0.0
    highest: float = 0.0


class Scope(Struct):
    """What names mean: lines and numbers; `crossings` collects what has to be remembered from bar to bar."""

    lines: dict[str, Line]
    numbers: Mapping[str, float]
    holding: Holding
    crossings: list[Crossing]
    may_stop: bool = False


def parse(text: str) -> ast.expr:
    """Read an expression. Raises StrategyRejected with the column where it is none."""
    if len(text) > LONGEST:
        raise StrategyRejected(f"is {len(text)} characters long; at most {LONGEST}")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise StrategyRejected(f"column {error.offset or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise StrategyRejected("cannot be read; is it nested too deeply?") from None


def compile_condition(node: ast.expr, scope: Scope) -> Truth:
    """Return a function that tells whether a condition holds now. Raises StrategyRejected with the column."""
    if isinstance(node, ast.BoolOp):
        parts = [compile_condition(each, scope) for each in node.values]
        return _all(parts) if isinstance(node.op, ast.And) else _any(parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = compile_condition(node.operand, scope)
        return lambda: None if (held := inner()) is None else not held
    if isinstance(node, ast.Compare):
        return _comparison(node, scope)
    if isinstance(node, ast.Call):
        return _call(node, scope)
    raise _at(node, f"{ast.unparse(node)!r} is no condition; compare it with something, as in `rsi < 30`")


def compile_value(node: ast.expr, scope: Scope) -> Value:
    """Return a function that gives a number now. Raises StrategyRejected with the column."""
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        number = literal(node)
        return lambda: number
    if isinstance(node, ast.Name):
        return _named(node, scope)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = compile_value(node.operand, scope)
        return lambda: None if (value := inner()) is None else -value
    if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        return _arithmetic(node, scope)
    if isinstance(node, ast.Call):
        raise _at(node, f"{ast.unparse(node)!r} is a line: give it a name under `lines`, and use that")
    raise _at(node, f"{ast.unparse(node)!r} is no number; use lines, parameters, numbers, and + - * /")


def literal(node: ast.Constant) -> float:
    """Return a number as it is written. Raises StrategyRejected when a float cannot hold it."""
    try:
        value = float(node.value)  # type: ignore[arg-type]  # callers looked at the type
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise _at(node, "the number is too large")
    return value


def meant(name: str, known: object) -> str:
    """Return `; did you mean 'rsi'?`, or nothing where no name is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)  # type: ignore[call-overload]  # any iterable of names
    return f"; did you mean {near[0]!r}?" if near else ""


def _over(a: Reading, b: Reading) -> bool | None:
    if a is None or b is None:
        return None
    return a - b > NOISE * max(abs(a), abs(b))


def _all(parts: list[Truth]) -> Truth:
    def holds() -> bool | None:
        told = [part() for part in parts]  # every one of them: a crossing must see every bar
        return False if False in told else None if None in told else True

    return holds


def _any(parts: list[Truth]) -> Truth:
    def holds() -> bool | None:
        told = [part() for part in parts]
        return True if True in told else None if None in told else False

    return holds


def _comparison(node: ast.Compare, scope: Scope) -> Truth:
    values = [compile_value(each, scope) for each in (node.left, *node.comparators)]
    parts = [
        _compared(op, left, right, node)
        for op, left, right in zip(node.ops, values, values[1:], strict=False)
    ]
    return parts[0] if len(parts) == 1 else _all(parts)


def _compared(op: ast.cmpop, left: Value, right: Value, node: ast.Compare) -> Truth:
    if isinstance(op, ast.Gt):
        return lambda: _over(left(), right())
    if isinstance(op, ast.Lt):
        return lambda: _over(right(), left())
    if isinstance(op, ast.GtE):
        return lambda: None if (under := _over(right(), left())) is None else not under
    if isinstance(op, ast.LtE):
        return lambda: None if (over := _over(left(), right())) is None else not over
    raise _at(node, "compare with < <= > or >=; lines are seldom equal to the last digit")


def _call(node: ast.Call, scope: Scope) -> Truth:
    name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
    if name not in CONDITIONS:
        raise _at(node, f"there is no condition {name!r}{meant(name, CONDITIONS)}")
    wanted = 1 if name in STOPS else 2
    if len(node.args) != wanted or node.keywords:
        raise _at(node, f"write it as {CONDITIONS[name]}")
    if name in STOPS and not scope.may_stop:
        raise _at(node, f"{name} looks at what was bought: it belongs into the exit")
    values = [compile_value(each, scope) for each in node.args]
    if name in STOPS:
        return _stop(values[0], scope, trailing=name == "trailing_stop_loss")
    first, second = values if name in {"over", "above", "over_constant", "crossed_up"} else values[::-1]
    if name.startswith("crossed"):
        return _crossing(first, second, scope)
    return lambda: _over(first(), second())


def _crossing(first: Value, second: Value, scope: Scope) -> Truth:
    """Return whether `first` was at or under `second` at the last bar, and is over it now."""
    crossing = Crossing()
    scope.crossings.append(crossing)

    def crossed() -> bool | None:
        before, now = crossing.was_over, _over(first(), second())
        crossing.was_over = now
        return None if now is None or before is None else now and not before

    return crossed


def _stop(percent: Value, scope: Scope, *, trailing: bool) -> Truth:
    holding, close = scope.holding, scope.lines["close"]

    def reached() -> bool | None:
        level, share = holding.highest if trailing else holding.entry, percent()
        if not level or share is None or close.value is None:
            return None
        return not _over(close.value, level * (1.0 - share / 100.0))

    return reached


def _named(node: ast.Name, scope: Scope) -> Value:
    if (line := scope.lines.get(node.id)) is not None:
        return lambda: line.value
    if node.id in scope.numbers:
        number = scope.numbers[node.id]
        return lambda: number
    known = [*scope.lines, *scope.numbers]
    raise _at(node, f"there is no line or parameter {node.id!r}{meant(node.id, known)}")


def _arithmetic(node: ast.BinOp, scope: Scope) -> Value:
    left, right = compile_value(node.left, scope), compile_value(node.right, scope)
    operation = ARITHMETIC[type(node.op)]

    def value() -> Reading:
        a, b = left(), right()
        return None if a is None or b is None else operation(a, b)

    return value


def _at(node: ast.expr, problem: str) -> StrategyRejected:
    return StrategyRejected(f"column {node.col_offset + 1}: {problem}")
