"""Text in YAML as fields that know the lines they stand on; nothing in it is followed or grows."""

import re
from typing import Any

import yaml

from models.errors import StrategyRejected

MOST_BYTES = 16 * 1024
DEEPEST = 4
HALVES = re.compile("[\ud800-\udfff]")
"""What an escape in quotes can bring in, and nothing can write down: halves of characters."""

Lined = dict[str, tuple[Any, int]]
"""The fields of a mapping, each with the line that it stands on."""


def read_fields(text: str) -> Lined | None:
    """Return the fields of a text, None where it has none. Raises StrategyRejected, with the line."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise StrategyRejected("is no text in UTF-8") from None
    if size > MOST_BYTES:
        raise StrategyRejected(f"is longer than {MOST_BYTES // 1024} KiB")
    try:
        _check_depth(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        read = None if node is None else _with_lines(node)
    except yaml.MarkedYAMLError as error:
        line = 1 if error.problem_mark is None else error.problem_mark.line + 1
        raise StrategyRejected(f"line {line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StrategyRejected(f"cannot be read: {error}") from None
    return read if isinstance(read, dict) else None


def _check_depth(text: str) -> None:
    """Refuse what could grow without bounds, before anything is built of it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = 1 if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise StrategyRejected(f"line {line}: names like *this are not followed; write it out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise StrategyRejected(f"line {line}: is nested too deeply")


def _with_lines(node: yaml.Node) -> Any:
    """Turn a node into values; each field of a mapping with the line that it stands on."""
    if isinstance(node, yaml.MappingNode):
        fields: Lined = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in fields:
                raise StrategyRejected(f"line {line}: {name!r} is there already, on line {fields[name][1]}")
            fields[name] = _with_lines(value), line
        return fields
    if isinstance(node, yaml.SequenceNode):
        return [_with_lines(each) for each in node.value]
    value = yaml.SafeLoader("").construct_object(node)
    if isinstance(value, str) and HALVES.search(value):
        raise StrategyRejected(f"line {node.start_mark.line + 1}: holds half a character")
    return value
