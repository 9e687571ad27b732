"""Sweeps and walking forward: what is tried, what is best, and what it does in what comes next."""

from pathlib import Path

import pytest

from models.errors import ConfigError
from services.history.backtest import run
from services.history.bars import in_order
from services.history.options import BacktestOptions
from services.history.sweep import Axis, Task, Trial, best_of, check_objective, combinations, heat
from services.history.sweep_workers import Work, try_here, try_in_processes
from services.history.walk_forward import Fold, chained_return, walk_forward
from strategies.registry import StrategyRegistry
from strategies.sma_cross import SmaCross
from tests.unit.playing import bars_from

BARS = bars_from([(100.0 + (n * n) % 17, 100.0 + (n * n * n) % 23) for n in range(400)])
WORK = Work(SmaCross, BARS, BacktestOptions())
AXES = [Axis("fast", (2, 3, 9)), Axis("slow", (5, 8))]


def _number(_name: str, text: str) -> float:
    return float(text)


def test_a_sweep_is_read_from_to_and_by_which_step() -> None:
    assert Axis.read("fast=5:20:5", _number).values == (5, 10, 15, 20)
    assert Axis.read("drop=0.1:0.3:0.1", _number).values == (0.1, 0.2, 0.3)
    assert Axis.read("fast=3:5", _number).values == (3, 4, 5)
    assert Axis.read("fast=5, 10,5", _number) == Axis("fast", (5.0, 10.0))


@pytest.mark.parametrize(
    "wrong", ["fast", "fast=", "=1:2", "fast=5:1", "fast=1:5:0", "fast=1:5:1:1", "fast=a:b"]
)
def test_what_is_no_sweep_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="is no sweep"):
        Axis.read(wrong, _number)


def test_every_combination_is_tried_or_some_by_chance() -> None:
    every = combinations(AXES)

    assert len(every) == 6
    assert every[1] == {"fast": 2, "slow": 8}
    some = combinations(AXES, some=3, seed=4)
    assert len(some) == 3
    assert all(each in every for each in some)
    assert combinations(AXES, some=3, seed=4) == some
    assert combinations(AXES, some=99) == every
    huge = [Axis(name, tuple(range(1000))) for name in ("a", "b", "c")]
    assert len(combinations(huge, some=10)) == 10
    with pytest.raises(ConfigError, match="1000000000 combinations"):
        combinations(huge)
    with pytest.raises(ConfigError, match="twice"):
        combinations([AXES[0], AXES[0]])


def test_a_trial_is_the_run_with_its_parameters() -> None:
    trials = list(try_here(WORK)([Task(each) for each in combinations(AXES)]))

    alone = run(SmaCross, BARS, BacktestOptions(parameters={"fast": 3, "slow": 8}))
    assert trials[3] == Trial({"fast": 3, "slow": 8}, alone.statistics)
    assert trials[4].reason == "fast is 9 and slow is 5; make fast smaller than slow"


def test_processes_try_the_same_in_the_same_order(tmp_path: Path) -> None:
    tasks = [Task(each) for each in combinations(AXES)]
    (tmp_path / "mine.py").write_text(
        "import strategies.sma_cross as s\nclass Mine(s.SmaCross):\n    name = 'mine'\n"
    )

    registry = StrategyRegistry()
    assert not registry.load_folder(tmp_path)
    work = WORK._replace(strategy_class=registry.get("mine"))
    told: list[int] = []
    trials = list(try_in_processes(work, tmp_path, 2, told.append)(tasks))

    assert trials == list(try_here(work)(tasks))
    assert sum(told) == len(tasks)


def test_the_best_is_the_first_with_the_highest_score() -> None:
    trials = list(try_here(WORK)([Task(each) for each in combinations(AXES)]))

    best = best_of(trials, "total_return")
    assert best is not None
    assert best.score("total_return") == max(t.score("total_return") or -9.0 for t in trials)
    assert best_of([Trial({}, reason="none")], "total_return") is None
    with pytest.raises(ConfigError, match="did you mean 'sharpe_ratio'"):
        check_objective("sharp_ratio")


def test_a_heat_map_holds_the_score_of_every_pair() -> None:
    trials = list(try_here(WORK)([Task(each) for each in combinations(AXES)]))

    across, down, cells = heat(trials, AXES, "total_return")

    assert (across.name, down and down.name) == ("fast", "slow")
    assert cells[1][0] == trials[1].score("total_return")
    assert cells[0][2] is None


def test_what_was_best_is_played_in_what_comes_next() -> None:
    parameters = [{"fast": 2, "slow": 5}, {"fast": 3, "slow": 8}]

    folds = walk_forward(BARS, parameters, 3, "total_return", try_here(WORK))

    assert len(folds) == 3
    for number, fold in enumerate(folds):
        assert fold.learnt_from == BARS[number * 100].timestamp
        assert fold.tried_from == BARS[(number + 1) * 100].timestamp
        assert fold.best is not None
        alone = [
            run(
                SmaCross,
                BARS[: (number + 1) * 100],
                BacktestOptions(parameters=each, start=BARS[number * 100].timestamp),
            ).statistics
            for each in parameters
        ]
        assert fold.best.statistics in alone
        assert fold.best.score("total_return") == max(each.total_return for each in alone)
        assert fold.tried is not None
        assert fold.tried.parameters == fold.best.parameters
        proof = BacktestOptions(parameters=fold.best.parameters, start=BARS[(number + 1) * 100].timestamp)
        assert fold.tried.statistics == run(SmaCross, BARS[: (number + 2) * 100], proof).statistics
    earned = chained_return(folds)
    assert earned is not None
    assert earned != 0.0


def test_what_stretches_earned_is_multiplied_and_what_was_not_played_is_left_out() -> None:
    folds = walk_forward(BARS, [{"fast": 2, "slow": 5}], 3, "total_return", try_here(WORK))
    earned = [fold.tried.statistics.total_return for fold in folds if fold.tried and fold.tried.statistics]
    assert len(earned) == 3
    unplayed = Fold(
        folds[0].learnt_from, folds[0].learnt_until, folds[0].tried_from, folds[0].tried_until, None, None
    )

    assert chained_return([*folds, unplayed]) == pytest.approx(
        (1 + earned[0]) * (1 + earned[1]) * (1 + earned[2]) - 1
    )
    assert chained_return([unplayed]) is None


def test_what_happens_at_one_time_is_learnt_from_as_a_whole() -> None:
    bars = in_order(bars_from([(10.0, 11.0)] * 7, symbol) for symbol in ("AAPL", "IBM", "MSFT"))

    folds = walk_forward(
        bars, [{"fast": 2, "slow": 5}], 4, "total_return", try_here(WORK._replace(events=bars))
    )

    assert all(fold.learnt_until < fold.tried_from for fold in folds)
    assert [fold.tried_from for fold in folds] == sorted({fold.tried_from for fold in folds})


def test_further_parameters_are_at_their_best_in_each_cell_of_a_heat_map() -> None:
    axes = [Axis("fast", (2,)), Axis("slow", (5,)), Axis("cash", (1_000.0, 50_000.0, 9_000.0))]
    trials = list(try_here(WORK)([Task(each) for each in combinations(axes)]))
    scores = [trial.score("total_return") or 0.0 for trial in trials]
    assert len(set(scores)) == 3

    for some in (trials, trials[::-1], trials[1:] + trials[:1]):
        assert heat(some, axes, "total_return")[2] == [[max(scores)]]


def test_too_few_bars_to_walk_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few"):
        walk_forward(BARS[:3], [{}], 5, "total_return", try_here(WORK))
