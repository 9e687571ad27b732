"""Rules as a file that people write: read, checked, and complained about by line, all problems at once."""

import ast
import functools
import keyword
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.errors import StrategyRejected
from strategies.parameters import Parameter, Parameters, Value
from strategies.rule_expression import Holding, Scope, compile_condition, literal, meant, parse
from strategies.rule_lines import KINDS, SERIES, Kind, Line, make_line, series
from strategies.rule_text import MOST_BYTES, Lined, read_fields
from strategies.sizing import CASH

NAME_OF_RULES = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MOST_LINES = 50
MOST_PERIOD = 1_000
PARTS = ("name", "idea", "source", "parameters", "lines", "entry", "exit")
OF_PARAMETER = ("type", "from", "to", "default", "meaning")
LARGEST = 1e300
STAND_IN = Parameter(1)
"""For a parameter that is wrong itself, so that lines of it are not called wrong, too."""
TYPES: Mapping[str, type[Value]] = {"int": int, "float": float}


@dataclass(frozen=True)
class LineRule:
    """How one line is made: its kind, the line that it is of, and expressions for its numbers."""

    name: str
    kind: Kind
    of: str
    numbers: tuple[ast.expr, ...]


@dataclass(frozen=True)
class Rules:
    """A strategy as data. `text` is the file, `entry` and `exit` are conditions over `lines`."""

    name: str
    idea: str
    text: str
    parameters: Parameters
    lines: tuple[LineRule, ...]
    entry: ast.expr
    exit: ast.expr

    def parts(self) -> dict[str, str]:
        """Return lines, conditions and source as they are written, each by its name, for people."""
        fields = read_fields(self.text) or {}
        lines = fields.get("lines", ({}, 0))[0] or {}
        parts = {name: str(text) for name, (text, _) in lines.items()}
        parts |= {name: str(fields[name][0]) for name in ("entry", "exit", "source") if name in fields}
        return parts

    @functools.cached_property
    def used_lines(self) -> frozenset[str]:
        """The lines that a condition or another line looks at; the stops look at `close`."""
        conditions = (*ast.walk(self.entry), *ast.walk(self.exit))
        named = (each.id for each in conditions if isinstance(each, ast.Name))
        return frozenset({"close", *named, *(each.of for each in self.lines)})


@dataclass
class _Reader:
    """Collects what is wrong, each with its line."""

    problems: list[str] = field(default_factory=list)

    def wrong(self, line: int, problem: object) -> None:
        self.problems.append(f"line {line}: {problem}")


def read_rule_file(path: Path) -> Rules:
    """Read a file of rules. Raises StrategyRejected with everything that is wrong, and where."""
    try:
        text = path.read_bytes()[: MOST_BYTES + 1].decode()
    except OSError as error:
        raise StrategyRejected(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StrategyRejected("is no text in UTF-8") from None
    return read_rules(text)


def read_rules(text: str) -> Rules:
    """Read rules. Raises StrategyRejected with everything that is wrong, and on which line."""
    reader = _Reader()
    fields = read_fields(text)
    if fields is None:
        raise StrategyRejected(f"line 1: a file of rules has the parts {', '.join(PARTS)}")
    for name, (_, line) in fields.items():
        if name not in PARTS:
            reader.wrong(line, f"there is no part {name!r}{meant(name, PARTS)}")
    for name in ("name", "entry", "exit"):
        if not isinstance(fields.get(name, (None, 0))[0], str):
            reader.wrong(fields.get(name, (None, 1))[1], f"`{name}` is missing; write it as text")
    name, line = fields.get("name", (None, 1))
    if isinstance(name, str) and not NAME_OF_RULES.fullmatch(name):
        reader.wrong(line, f"the name is {name!r}; it must be 1 to 64 of A-Z a-z 0-9 _ . -")
    parameters = _parameters(reader, fields.get("parameters"))
    lines = tuple(_lines(reader, fields.get("lines"), parameters))
    if reader.problems:
        raise StrategyRejected("; ".join(reader.problems))
    entry, leave = (_condition(reader, fields[name]) for name in ("entry", "exit"))
    if entry is None or leave is None:
        raise StrategyRejected("; ".join(reader.problems))
    idea = str(fields.get("idea", ("", 0))[0]).strip()
    rules = Rules(fields["name"][0], idea, text, parameters, lines, entry, leave)
    _try(reader, rules, fields)
    return rules


def bind_lines(rules: Rules, numbers: Mapping[str, float]) -> dict[str, Line]:
    """Make every line with these values of the parameters. Raises StrategyRejected for wrong numbers."""
    made = series()
    for each in rules.lines:
        kind, values = each.kind, [_number(node, numbers) for node in each.numbers]
        if not all(map(math.isfinite, values)):
            raise StrategyRejected(f"{each.name}: its numbers become too large")
        values[: kind.whole] = [_period(each, value) for value in values[: kind.whole]]
        if kind is KINDS["MACD"] and values[0] >= values[1]:
            raise StrategyRejected(f"{each.name}: make the short period smaller than the long one")
        made[each.name] = make_line(kind, made[each.of], values)
    return made


def _try(reader: _Reader, rules: Rules, fields: Lined) -> None:
    """Make everything once, with the defaults: what cannot be made is found now, not in a session."""
    numbers = {name: float(each.default) for name, each in rules.parameters.declared.items()}
    try:
        lines = bind_lines(rules, numbers)
    except StrategyRejected as error:
        raise StrategyRejected(f"with the default parameters, {error}") from None
    for name, node in (("entry", rules.entry), ("exit", rules.exit)):
        try:
            compile_condition(node, Scope(lines, numbers, Holding(), [], may_stop=name == "exit"))
        except StrategyRejected as error:
            reader.wrong(fields[name][1], f"{name}, {error}")
    if reader.problems:
        raise StrategyRejected("; ".join(reader.problems))


def _condition(reader: _Reader, given: tuple[Any, int]) -> ast.expr | None:
    try:
        return parse(given[0])
    except StrategyRejected as error:
        reader.wrong(given[1], error)
        return None


def _parameters(reader: _Reader, given: tuple[Any, int] | None) -> Parameters:
    declared: dict[str, Parameter] = {}
    for name, (fields, line) in _mapping(reader, "parameters", given).items():
        if not _can_be_named(name) or name in SERIES:
            reader.wrong(line, f"{name!r} cannot be the name of a parameter; choose another")
            continue
        try:
            declared[name] = _parameter(reader, fields)
            Parameters(**{name: declared[name]})
        except StrategyRejected as error:
            declared[name] = STAND_IN
            reader.wrong(line, f"{name}: {error}")
    return Parameters(**{**declared, "cash": declared.get("cash", CASH)})


def _parameter(reader: _Reader, fields: Any) -> Parameter:
    if not isinstance(fields, dict):
        raise StrategyRejected("write it as {type: int, from: 5, to: 50, default: 20, meaning: bars of …}")
    for name in fields:
        if name not in OF_PARAMETER:
            reader.wrong(fields[name][1], f"there is no {name!r} of a parameter{meant(name, OF_PARAMETER)}")
    values = {name: each for name, (each, _) in fields.items()}
    default = values.get("default")
    if not isinstance(default, int | float) or isinstance(default, bool):
        raise StrategyRejected(f"its default is {default!r}; it must be a number")
    kind = TYPES.get(str(values.get("type", type(default).__name__)))
    if kind is None:
        raise StrategyRejected(f"its type is {values['type']!r}; it must be int or float")
    for name in ("from", "to"):
        if type(values.get(name, 0)) not in {int, float} or not abs(values.get(name, 0)) <= LARGEST:
            raise StrategyRejected(f"`{name}` is {values[name]!r}; it must be a number")
    if not abs(default) <= LARGEST:
        raise StrategyRejected("its default is too large, or no number")
    if kind is int and default != int(default):
        raise StrategyRejected(f"its default is {default!r}; it must be whole, or the type float")
    return Parameter(
        kind(default),
        minimum=values.get("from"),
        maximum=values.get("to"),
        description=str(values.get("meaning", "")),
    )


def _lines(reader: _Reader, given: tuple[Any, int] | None, parameters: Parameters) -> Iterator[LineRule]:
    fields = _mapping(reader, "lines", given)
    if len(fields) > MOST_LINES:
        reader.wrong(given[1] if given else 1, f"there are {len(fields)} lines; at most {MOST_LINES}")
        return
    known = [*SERIES]
    for name, (text, line) in fields.items():
        try:
            yield _line(name, text, known, parameters)
        except StrategyRejected as error:
            reader.wrong(line, f"{name}: {error}")
        known.append(name)


def _line(name: str, text: object, known: list[str], parameters: Parameters) -> LineRule:
    if name in SERIES or name in parameters.declared or not _can_be_named(name):
        raise StrategyRejected(f"{name!r} cannot be the name of a line; choose another")
    node = parse(str(text))
    if isinstance(node, ast.Name):
        node = ast.Call(ast.Name("PREVIOUS"), [node, ast.Constant(0)], [])
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise StrategyRejected(f"is {text!r}; write it like RSI(close, 14)")
    kind = KINDS.get(node.func.id)
    if kind is None:
        raise StrategyRejected(f"there is no {node.func.id!r}{meant(node.func.id.upper(), KINDS)}")
    arguments = list(node.args)
    named = {str(each.arg): each.value for each in node.keywords}
    of = "close"
    if not kind.fields:
        source = named.pop("of", None)
        if source is None and arguments and isinstance(arguments[0], ast.Name) and arguments[0].id in known:
            source = arguments.pop(0)
        if source is not None:
            of = _source(source, known)
    numbers = _arguments(node.func.id, kind, arguments, named)
    for each in numbers:
        _check_number(each, parameters)
    return LineRule(name, kind, of, numbers)


def _source(node: ast.expr, known: list[str]) -> str:
    if not isinstance(node, ast.Name) or node.id not in known:
        text = ast.unparse(node)
        raise StrategyRejected(f"`of` is {text!r}; it must be a line from further up{meant(text, known)}")
    return node.id


def _arguments(
    name: str, kind: Kind, given: list[ast.expr], named: dict[str, ast.expr]
) -> tuple[ast.expr, ...]:
    numbers = dict(zip(kind.numbers, given, strict=False))
    shown = f"{name}({', '.join([*([] if kind.fields else ['line']), *kind.numbers])})"
    if len(given) > len(kind.numbers):
        raise StrategyRejected(f"has {len(given) - len(kind.numbers)} arguments too many; write {shown}")
    for each, value in named.items():
        if each not in kind.numbers or each in numbers:
            raise StrategyRejected(f"{name} has no {each!r}{meant(each, kind.numbers)}; write {shown}")
        numbers[each] = value
    for each, default in kind.numbers.items():
        if each not in numbers and default is None:
            raise StrategyRejected(f"{each} is missing; write {shown}")
    return tuple(numbers.get(each, ast.Constant(default)) for each, default in kind.numbers.items())


def _check_number(node: ast.expr, parameters: Parameters) -> None:
    for each in ast.walk(node):
        if isinstance(each, ast.Name) and each.id not in parameters.declared:
            known = parameters.declared
            raise StrategyRejected(f"there is no parameter {each.id!r}{meant(each.id, known)}")
    _number(node, {name: float(each.default) for name, each in parameters.declared.items()})


def _number(node: ast.expr, numbers: Mapping[str, float]) -> float:
    """Work out a number that is given by parameters and arithmetic."""
    if isinstance(node, ast.Constant) and type(node.value) in {int, float}:
        return literal(node)
    if isinstance(node, ast.Name):
        return numbers[node.id]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
        left, right = _number(node.left, numbers), _number(node.right, numbers)
        if isinstance(node.op, ast.Mult):
            return left * right
        return left + right if isinstance(node.op, ast.Add) else left - right
    raise StrategyRejected(f"{ast.unparse(node)!r} is no number; use parameters, numbers, and + - *")


def _period(rule: LineRule, value: float) -> int:
    least = rule.kind.least
    if value != int(value) or not least <= value <= MOST_PERIOD:
        raise StrategyRejected(
            f"{rule.name} is of {value:g} bars; it must be whole, and from {least} to {MOST_PERIOD}"
        )
    return int(value)


def _can_be_named(name: str) -> bool:
    """Whether conditions can name it: `self` is what Python calls the declaration itself."""
    return name.isidentifier() and not keyword.iskeyword(name) and name != "self"


def _mapping(reader: _Reader, name: str, given: tuple[Any, int] | None) -> Lined:
    if given is None or given[0] is None:
        return {}
    if not isinstance(given[0], dict):
        reader.wrong(given[1], f"`{name}` must be names with values, each on a line of its own")
        return {}
    return given[0]
