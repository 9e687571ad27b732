"""The strategy that rules are run by: one class for all of them, configured by a file."""

from collections.abc import Mapping
from typing import Any, ClassVar

from models.errors import StrategyRejected
from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from strategies.base_strategy import BaseStrategy
from strategies.indicators import restore_state, save_state
from strategies.rule_expression import Crossing, Holding, Scope, compile_condition
from strategies.rule_file import Rules, bind_lines, read_rules
from strategies.rule_lines import SERIES
from strategies.sizing import units_for

STORED_RULES = "RULES"
"""The `strategy_type` of rows of the catalogue that hold a file of rules themselves."""


class RuleStrategy(BaseStrategy):
    """Buys for `cash` when flat and `entry` holds, and sells everything when `exit` does.

    An exit that the gateway refuses is tried again on every bar; an entry waits for the next occasion.
    """

    rules: ClassVar[Rules]
    source_text: ClassVar[str]

    def __init__(self, strategy_id: str, symbol: str, session_id: str | None = None) -> None:
        super().__init__(strategy_id, symbol, session_id)
        numbers = {name: float(value) for name, value in self.parameters.items()}
        lines = bind_lines(self.rules, numbers)
        self.holding = Holding()
        self.leaving = False
        crossings: list[Crossing] = []
        scope = Scope(lines, numbers, self.holding, crossings)
        self._entry = compile_condition(self.rules.entry, scope)
        scope.may_stop = True
        self._exit = compile_condition(self.rules.exit, scope)
        idle = set(SERIES) - self.rules.used_lines
        self._lines = [line for name, line in lines.items() if name not in idle]
        self._remembered = {
            **{f"line {name}": line.indicator for name, line in lines.items() if line.indicator is not None},
            **{f"crossing {number}": crossing for number, crossing in enumerate(crossings)},
            "holding": self.holding,
        }
        self.warmup_bars = max(line.needs for line in lines.values())

    def on_bar(self, bar: Bar) -> None:
        """Tell every line of the bar, look at both conditions, and buy or sell."""
        for line in self._lines:
            line.value = line.step(bar)
        held, holding = self.position.expected, self.holding
        if held <= 0:
            holding.entry = holding.highest = 0.0
            self.leaving = False
        else:
            if not holding.entry:  # its state was lost: the position still tells what was paid
                holding.entry = holding.highest = self.position.average_price or bar.close
            holding.highest = max(holding.highest, bar.close)
        entry, leave = self._entry(), self._exit()
        if held > 0:
            if self.leaving or leave:
                self.send_signal("SELL", bar.close, held)
        elif entry:
            quantity = units_for(self.parameters.cash, bar.close, self.symbol)
            if quantity:
                holding.entry = holding.highest = bar.close
                self.send_signal("BUY", bar.close, quantity)

    def on_trade(self, trade: Trade) -> None:
        """Rules are of bars."""

    def on_execution(self, report: ExecutionReport) -> None:
        """Go on selling what an exit left over; what the warm-up decides goes nowhere, and leaves nothing."""
        if (
            report.action == "SELL"
            and report.filled_quantity < report.quantity
            and self.position.expected > 0
        ):
            self.leaving = True

    def get_state(self) -> dict[str, Any]:
        """Remember every line, what crossed, and what the stops look at."""
        return {**save_state(self.parameters, **self._remembered), "leaving": self.leaving}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where they stood."""
        restore_state(state, self.parameters, **self._remembered)
        self.leaving = bool(state["leaving"])


def strategy_of(rules: Rules) -> type[RuleStrategy]:
    """Return the class that runs these rules, known by their name."""
    declared = {
        "__doc__": rules.idea,
        "__module__": __name__,
        "name": rules.name,
        "parameters": rules.parameters,
        "rules": rules,
        "source_text": rules.text,
        "lines": tuple(each.name for each in rules.lines) + SERIES,
    }
    return type(rules.name, (RuleStrategy,), declared)


def stored_rules(stored: Mapping[str, Any]) -> tuple[type[RuleStrategy], Mapping[str, Any]]:
    """Return the class and the parameters of a row of the type RULES. Raises StrategyRejected for others."""
    text, values = stored.get("rules"), stored.get("parameters", {})
    if not isinstance(text, str) or not isinstance(values, Mapping):
        raise StrategyRejected('parameters must be {"rules": "the text of the file", "parameters": {…}}')
    return strategy_of(read_rules(text)), values
