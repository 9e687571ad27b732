"""What `strategies validate` and `put` find out about a file of rules."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import StrategyRejected
from services.commands.problems import problems_of


@dataclass(frozen=True)
class RuleTrial:
    """The name and text of rules, where they can be read, and everything that keeps them from running."""

    name: str | None = None
    text: str | None = None
    problems: tuple[str, ...] = ()


def try_rules(file: Path, parameters: dict[str, Any]) -> RuleTrial:
    """Read a file of rules and make what runs them, with these parameters."""
    from strategies.registry import check_strategy
    from strategies.rule_file import read_rule_file
    from strategies.rule_strategy import strategy_of

    try:
        rules = read_rule_file(file)
        strategy = strategy_of(rules)
        check_strategy(strategy)
        strategy.build("validate", "VALIDATE", None, parameters)
    except StrategyRejected as error:
        return RuleTrial(problems=problems_of(error))
    return RuleTrial(strategy.name, rules.text)
