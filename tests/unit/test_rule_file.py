"""Files of rules: what they may say, and how each mistake is answered."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from models.errors import StrategyRejected
from models.position import Position
from services.state_source import UNKNOWN_SOURCE, source_hash
from strategies.registry import StrategyRegistry, shipped_rules
from strategies.rule_file import read_rule_file, read_rules
from strategies.rule_lines import KINDS
from strategies.rule_strategy import RuleStrategy, stored_rules, strategy_of
from tests.support import REPOSITORY
from tests.unit.strategy_driver import bars_of, play, report_on

DIP = """
name: BUY_THE_DIP
idea: Buy what fell below its average, sell what rose above it.
parameters:
  period: {type: int, from: 2, to: 50, default: 3, meaning: bars of the average}
  depth: {type: float, from: 0.0, to: 0.5, default: 0.1}
lines:
  average: SMA(close, period)
entry: close < average * (1 - depth)
exit: close > average
"""


def changed(old: str, new: str) -> str:
    assert old in DIP
    return DIP.replace(old, new)


def refusal(text: str) -> str:
    with pytest.raises(StrategyRejected) as refused:
        read_rules(text)
    return str(refused.value)


def trades(text: str, *closes: float, **parameters: object) -> list[tuple[int, str]]:
    strategy = strategy_of(read_rules(text)).build("strategy", "AAPL", parameters=parameters)
    return [(number, action) for number, action, _, _ in play(strategy, bars_of(closes))]


def rule(entry: str, exit_: str = "close < 0", lines: str = "") -> str:
    return f"name: X\nlines:\n  before: PREVIOUS(close)\n{lines}entry: {entry}\nexit: {exit_}\n"


def test_a_rule_trades_as_it_says() -> None:
    assert trades(DIP, 10, 10, 10, 8, 9, 10) == [(3, "BUY"), (5, "SELL")]
    assert trades(DIP, 10, 10, 10, 8, 9, 10, depth=0.2) == []


@pytest.mark.parametrize(
    ("entry", "bars"),
    [
        ("close > 10", [3]),
        ("close >= 10 and not close > 10", [0]),
        ("close > 11 or close < 9", [2]),
        ("9 < close < 10", [1]),
        ("crossed_up(close, 9)", [3]),
        ("crossed_down(close, 9)", [2]),
        ("over(close, before)", [3]),
        ("below(close, before - 0.6)", [2]),
        ("under_constant(close, 9.8)", [1]),
        ("close > 1.3 * before", [3]),
        ("-close > -9", [2]),
    ],
)
def test_a_condition_means_what_it_says(entry: str, bars: list[int]) -> None:
    assert [number for number, _ in trades(rule(entry), 10, 9.5, 8, 12)] == bars


@pytest.mark.parametrize("entry", ["not before > 20", "before < 20", "not (before > 20 and close > 0)"])
def test_what_a_line_without_a_reading_would_say_is_not_supposed(entry: str) -> None:
    assert trades(rule(entry), 10, 11)[0] == (1, "BUY")


def test_a_crossing_sees_every_bar_whatever_stands_beside_it() -> None:
    assert trades(rule("close > 100 or crossed_up(close, 9)"), 8, 10, 9.5, 8, 10)[0] == (1, "BUY")
    assert trades(rule("volume > 5 and crossed_up(close, 9)"), 8, 10, 11) == []


def test_the_stops_look_at_what_was_bought() -> None:
    falls = (10, 10.5, 10.4, 10.0, 9.6, 9.4)
    assert trades(rule("close > 0", "stop_loss(5)"), *falls)[1] == (5, "SELL")
    assert trades(rule("close > 0", "trailing_stop_loss(4)"), *falls)[1] == (3, "SELL")


def test_an_exit_that_is_refused_is_tried_again_though_its_moment_is_over() -> None:
    strategy = strategy_of(read_rules(rule("close > 11", "crossed_down(close, 10)"))).build("s", "AAPL")
    for close, status in ((12, "filled"), (9, "rejected"), (9, "filled")):
        for bar in bars_of([close]):
            strategy.on_bar(bar)
        strategy.apply_report(report_on(strategy.sent_signals[-1], status))  # type: ignore[arg-type]
    assert [signal.action for signal in strategy.sent_signals] == ["BUY", "SELL", "SELL"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: a file of rules has the parts name, idea"),
        ("- a\n- b", "line 1: a file of rules has the parts"),
        ("name: [", "line 1:"),
        (changed("entry:", "entri:"), "line 9: there is no part 'entri'; did you mean 'entry'?"),
        (changed("name: BUY_THE_DIP", "idea2: x"), "`name` is missing"),
        (changed("SMA(close", "SMAA(close"), "line 8: average: there is no 'SMAA'; did you mean 'SMA'?"),
        (
            changed("SMA(close, period)", "SMA(close)"),
            "line 8: average: period is missing; write SMA(line, period)",
        ),
        (
            changed("SMA(close, period)", "SMA(close, periode)"),
            "no parameter 'periode'; did you mean 'period'?",
        ),
        (
            changed("SMA(close, period)", "SMA(close, 3, 4)"),
            "has 1 arguments too many; write SMA(line, period)",
        ),
        (changed("SMA(close, period)", "SMA(close, bars=3)"), "SMA has no 'bars'"),
        (changed("SMA(close, period)", "SMA(of=clos, period=3)"), "did you mean 'close'?"),
        (changed("SMA(close, period)", "SMA(close, 2.5)"), "average is of 2.5 bars; it must be whole"),
        (changed("SMA(close, period)", "SMA(close, 0)"), "average is of 0 bars"),
        (changed("SMA(close, period)", "SMA(close, 5000)"), "from 1 to 1000"),
        (changed("SMA(close, period)", "EMA(SMA(close, 3), 3)"), "line 8: average:"),
        (changed("SMA(close, period)", "open('/etc/passwd')"), "there is no 'open'"),
        (changed("  average:", "  close:"), "'close' cannot be the name of a line"),
        (
            changed("close > average", "close > averge"),
            "line 10: exit, column 9: there is no line or parameter",
        ),
        (changed("close > average", "clsed_up(close, average)"), "there is no condition 'clsed_up'"),
        (changed("close > average", "crossed_up(close)"), "write it as crossed_up(a, b)"),
        (changed("close > average", "close"), "'close' is no condition; compare it with something"),
        (changed("close > average", "close == average"), "compare with < <= > or >="),
        (changed("close > average", "close >"), "line 10: column"),
        (changed("close > average", "RSI(close, 3) > 4"), "is a line: give it a name under `lines`"),
        (changed("close > average", "__import__('os').system('x')"), "there is no condition"),
        (changed("close > average", "close > f(1)(2)"), "is a line"),
        (changed("close > average", "close > [1][0]"), "is no number"),
        (changed("close < average * (1 - depth)", "stop_loss(3)"), "it belongs into the exit"),
        (changed("default: 3", "default: 1"), "line 5: period: period is 1; it must be at least 2"),
        (changed("default: 3", "default: three"), "its default is 'three'; it must be a number"),
        (changed("default: 3", "default: true"), "its default is True; it must be a number"),
        (changed("default: 3", "default: 2.5"), "it must be whole, or the type float"),
        (changed("type: int", "type: text"), "its type is 'text'; it must be int or float"),
        (changed("from: 2", "form: 2"), "there is no 'form' of a parameter; did you mean 'from'?"),
        (changed("from: 2", "from: low"), "`from` is 'low'; it must be a number"),
        (changed("  depth:", "  period:"), "line 6: 'period' is there already, on line 5"),
        (DIP + "x: &a [1]\ny: *a\n", "names like *this are not followed"),
        (DIP + "x: [[[[[[1]]]]]]\n", "is nested too deeply"),
        (DIP + "# " + "x" * 20_000, "is longer than 16 KiB"),
        (rule("close > " + "(" * 300 + "1" + ")" * 300), "500"),
        (rule("(" * 240 + "close > 1" + ")" * 240), "line 4"),
        (rule("close > " + "9" * 400), "column 9: the number is too large"),
        (rule("close > 1", "stop_loss(" + "9" * 400 + ")"), "the number is too large"),
        (changed("SMA(close, period)", "SMA(close, " + "9" * 400 + ")"), "the number is too large"),
        (changed("SMA(close, period)", "SMA(close, 1e999)"), "the number is too large"),
        (changed("SMA(close, period)", "SMA(close, period * 1e200 * 1e200)"), "its numbers become too large"),
        (changed("default: 3", "default: .nan"), "line 5: period: its default is too large, or no number"),
        (changed("from: 2", "from: .nan"), "`from` is nan; it must be a number"),
        (changed("from: 2", "from: -" + "9" * 400), "it must be a number"),
        (changed("BUY_THE_DIP", '"a\\0b"'), "line 2: the name is 'a\\x00b'; it must be 1 to 64 of"),
        (changed("what fell", "\ud800"), "is no text in UTF-8"),
        (
            changed("Buy what fell below its average, sell what rose above it.", '"\\ud800"'),
            "half a character",
        ),
        (DIP.replace("period", "self"), "line 5: 'self' cannot be the name of a parameter"),
        (DIP.replace("period", "close"), "line 5: 'close' cannot be the name of a parameter"),
        (changed("  average:", "  class:"), "'class' cannot be the name of a line"),
    ],
)
def test_a_mistake_is_answered_with_its_line_and_what_was_meant(text: str, told: str) -> None:
    assert told in refusal(text)


def test_all_mistakes_are_told_at_once() -> None:
    text = changed("SMA(close, period)", "SMAA(close, period)").replace("default: 0.1", "default: deep")
    assert {"line 6:", "line 8:"} <= {each[:7] for each in refusal(text).split("; line ")} | {
        f"line {each[:2]}" for each in refusal(text).split("; line ")[1:]
    }


def test_a_parameter_that_is_wrong_does_not_make_its_lines_wrong() -> None:
    assert (
        refusal(changed("default: 3", "default: 1")) == "line 5: period: period is 1; it must be at least 2"
    )


def test_a_stop_knows_what_was_paid_though_its_state_is_lost() -> None:
    strategy = strategy_of(read_rules(rule("close < 0", "stop_loss(5)"))).build("s", "AAPL")
    strategy.booked_position = Position(quantity=3.0, average_price=100.0)
    assert play(strategy, bars_of([97, 96, 94.9]), answer_after=None) == [(2, "SELL", 94.9, 3.0)]


def test_an_exit_of_the_warm_up_sells_nothing_later() -> None:
    strategy = strategy_of(read_rules(rule("close < 0", "crossed_down(close, 10)"))).build("s", "AAPL")
    strategy.booked_position = Position(quantity=3.0, average_price=8.0)
    for bar in bars_of([11, 9]):
        strategy.on_bar(bar)
    strategy.booked_position = Position(quantity=3.0, average_price=8.0)  # what was sent went nowhere
    assert play(strategy, bars_of([9, 9.5])) == []


def test_what_a_sale_left_over_is_sold_on_the_next_bar() -> None:
    strategy = strategy_of(read_rules(rule("close < 0", "crossed_down(close, 10)"))).build("s", "AAPL")
    strategy.booked_position = Position(quantity=3.0, average_price=8.0)
    for bar in bars_of([11, 9]):
        strategy.on_bar(bar)
    strategy.apply_report(replace(report_on(strategy.sent_signals[-1]), filled_quantity=1.0))
    assert play(strategy, bars_of([9.5]))[0][1:] == ("SELL", 9.5, 2.0)


def test_a_sale_that_is_filled_late_does_not_sell_what_was_bought_since() -> None:
    strategy = strategy_of(read_rules(rule("close > 11", "crossed_down(close, 10)"))).build("s", "AAPL")
    orders = play(strategy, bars_of([12, 9, 12, 12, 12, 12]), answer_after=2)
    assert [(number, action) for number, action, *_ in orders] == [(0, "BUY"), (1, "SELL"), (2, "BUY")]


def test_a_row_may_bring_its_rules_itself() -> None:
    cls, values = stored_rules({"rules": DIP, "parameters": {"period": 5}})
    assert cls.build("strategy", "AAPL", parameters=values).parameters.period == 5
    for wrong in ({}, {"rules": 1}, {"rules": DIP, "parameters": []}):
        with pytest.raises(StrategyRejected, match="the text of the file"):
            stored_rules(wrong)


@given(st.text(st.characters(), max_size=300))
@settings(max_examples=60, deadline=None)
def test_whatever_somebody_writes_is_a_rule_or_a_clear_refusal(text: str) -> None:
    for whole in (
        text,
        DIP + text,
        rule(text or "x"),
        changed("SMA(close, period)", text.replace("\n", " ")),
    ):
        with suppress(StrategyRejected):
            assert read_rules(whole).name


def test_files_that_are_no_rules_are_refused_by_their_path(tmp_path: Path) -> None:
    with pytest.raises(StrategyRejected, match="cannot be read"):
        read_rule_file(tmp_path / "nowhere.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StrategyRejected, match="no text in UTF-8"):
        read_rule_file(tmp_path / "binary.yaml")


def test_rules_in_the_folder_of_an_operator_are_known_and_a_broken_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "dip.yaml").write_text(DIP)
    (tmp_path / "broken.yaml").write_text("name: BROKEN\n")
    registry = StrategyRegistry()
    [failure] = registry.load_folder(tmp_path)
    assert (Path(failure.file).name, "`entry` is missing" in failure.reason) == ("broken.yaml", True)
    assert issubclass(registry.get("BUY_THE_DIP"), RuleStrategy)


def test_a_state_is_given_back_to_the_same_rules_only() -> None:
    same, other = strategy_of(read_rules(DIP)), strategy_of(read_rules(changed("0.1", "0.2")))
    assert source_hash(same) == source_hash(strategy_of(read_rules(DIP))) != UNKNOWN_SOURCE
    assert source_hash(same) != source_hash(other)


@pytest.mark.parametrize("cls", shipped_rules())
def test_every_rule_that_comes_along_is_short_and_says_what_it_does(cls: type[RuleStrategy]) -> None:
    text = cls.rules.text
    assert 10 <= len(text.splitlines()) <= 25
    assert cls.__doc__
    assert all(each.description for each in cls.parameters.declared.values())


def test_the_rule_of_the_guide_can_be_read_and_trades() -> None:
    guide = (REPOSITORY / "docs" / "rules.md").read_text()
    text = guide.split("```yaml\n")[1].split("```")[0]
    closes = [*[100.0] * 20, *(100.0 - 4 * step for step in range(5)), 100.0, 101.0]
    assert [action for _, action in trades(text, *closes)] == ["BUY", "SELL"]
    assert all(kind in guide for kind in KINDS if not kind.startswith("BOLLINGER"))
