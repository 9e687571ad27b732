"""What `backtest` shows of many runs: a sweep of parameters, a walk forward, and the look-ahead check."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from services.commands.output import print_json, print_line, print_table, print_warning
from services.commands.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from models.signal import Signal
    from services.history.backtest_run import Ended
    from services.history.lookahead import Change
    from services.history.sweep import Axis, Trial
    from services.history.sweep_workers import Work
    from services.history.walk_forward import Fold

MOST_SHOWN = 20
SHARES = {"total_return", "cagr", "max_drawdown", "win_rate", "exposure_time"}
COLUMNS = ("trades", "total_return", "sharpe_ratio", "max_drawdown", "win_rate", "final_equity")


@dataclass(frozen=True)
class Search:
    """What is tried, and how: `some` combinations by chance, or all of them; in `workers` processes."""

    axes: Sequence["Axis"]
    some: int | None
    seed: int
    objective: str
    folds: int | None
    workers: int
    folder: Path | None


@dataclass(frozen=True)
class Found:
    """What came of a search."""

    trials: Sequence["Trial"]
    folds: Sequence["Fold"]
    best: "Trial | None"


def search(work: "Work", asked: Search) -> Found:
    """Try every combination, and walk forward with them where that was asked for."""
    from services.history.sweep import Task, best_of, check_objective, combinations
    from services.history.walk_forward import walk_forward

    check_objective(asked.objective)
    parameters = combinations(asked.axes, asked.some, asked.seed)
    with _trying(work, asked, len(parameters)) as trying:
        trials = list(trying([Task(each) for each in parameters]))
    folds: list[Fold] = []
    if asked.folds:
        with _trying(work, asked, (len(parameters) + 1) * asked.folds) as trying:
            folds = walk_forward(work.events, parameters, asked.folds, asked.objective, trying)
    return Found(trials, folds, best_of(trials, asked.objective))


@contextmanager
def _trying(work: "Work", asked: Search, count: int) -> "Iterator[Callable[..., Iterable[Trial]]]":
    from services.history.sweep_workers import try_here, try_in_processes

    with progress_bar("runs", count) as advance:
        if asked.workers > 1:
            yield try_in_processes(work, asked.folder, asked.workers, advance)
        else:
            yield try_here(work, advance)


def show_search(work: "Work", asked: Search, found: Found, *, as_json: bool) -> int:
    """Print what came of a search; 1 where no trial has a score."""
    if as_json:
        print_json(_described(work, asked, found))
    else:
        _show_trials(asked, found)
        if found.folds:
            _show_folds(asked, found)
    if found.best is None:
        reason = next((trial.reason for trial in found.trials if trial.reason), "too little was traded")
        print_warning(f"no run has a {asked.objective}: {reason}")
    return 0 if found.best is not None else 1


def _described(work: "Work", asked: Search, found: Found) -> dict[str, Any]:
    from services.history.walk_forward import chained_return

    described: dict[str, Any] = {
        "strategy": work.strategy_class.name,
        "symbol": ",".join(work.options.symbols or dict.fromkeys(event.symbol for event in work.events)),
        "objective": asked.objective,
        "best": None if found.best is None else described_trial(found.best),
        "trials": [described_trial(trial) for trial in found.trials],
    }
    if found.folds:
        described["walk_forward"] = {
            "folds": [described_fold(fold) for fold in found.folds],
            "total_return": chained_return(found.folds),
        }
    return described


def described_trial(trial: "Trial") -> dict[str, Any]:
    """Return a trial as JSON: its parameters, and its statistics or why there are none."""
    judged = {"reason": trial.reason} if trial.statistics is None else asdict(trial.statistics)
    return {"parameters": dict(trial.parameters), **judged}


def described_fold(fold: "Fold") -> dict[str, Any]:
    """Return a fold of a walk forward as JSON."""
    return {
        "in_sample": [fold.learnt_from.isoformat(), fold.learnt_until.isoformat()],
        "out_of_sample": [fold.tried_from.isoformat(), fold.tried_until.isoformat()],
        "best": None if fold.best is None else described_trial(fold.best),
        "tried": None if fold.tried is None else described_trial(fold.tried),
    }


def _show_trials(asked: Search, found: Found) -> None:
    judged = [trial for trial in found.trials if trial.score(asked.objective) is not None]
    judged.sort(key=lambda trial: trial.score(asked.objective) or 0.0, reverse=True)
    names = [axis.name for axis in asked.axes]
    columns = tuple(dict.fromkeys((asked.objective, *COLUMNS)))
    rows = (
        [*(trial.parameters[name] for name in names), *_cells(trial, columns)]
        for trial in judged[:MOST_SHOWN]
    )
    print_table([*names, *columns], rows)
    failed = [trial for trial in found.trials if trial.reason is not None]
    print_line(f"{len(found.trials)} runs, {len(failed)} of them refused or failed")
    if failed:
        print_line(f"the first: {_words(failed[0].parameters)}: {failed[0].reason}")


def _show_folds(asked: Search, found: Found) -> None:
    from services.history.walk_forward import chained_return

    rows = []
    for fold in found.folds:
        stretches = (
            f"{fold.learnt_from:%Y-%m-%d} – {fold.learnt_until:%Y-%m-%d}",
            f"{fold.tried_from:%Y-%m-%d} – {fold.tried_until:%Y-%m-%d}",
        )
        columns = (asked.objective, "total_return")
        learnt, tried = (_cells(each, columns) for each in (fold.best, fold.tried))
        rows.append([*stretches, _words(fold.best.parameters) if fold.best else None, *learnt, *tried])
    headings = ("best in", "played in", "parameters", asked.objective, "return", "played", "return played")
    print_table(headings, rows)
    earned = chained_return(found.folds)
    if earned is not None:
        print_line(f"out of sample, one stretch after the other: {earned:.2%}")


def _cells(trial: "Trial | None", columns: Iterable[str]) -> list[str | None]:
    if trial is None or trial.statistics is None:
        return [None for _ in columns]
    return [cell(name, getattr(trial.statistics, name)) for name in columns]


def cell(name: str, value: object) -> str | None:
    """Show a statistic to a person; None where it is undefined."""
    if value is None or isinstance(value, str | int):
        return None if value is None else str(value)
    return f"{value:.2%}" if name in SHARES else f"{value:,.2f}"


def _words(parameters: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def check_lookahead(work: "Work", cuts: int, *, as_json: bool) -> int:
    """Play truncated data and print each signal that changed; 1 where there is one, or an end too early."""
    from services.history.lookahead import compare

    with progress_bar("runs", cuts + 1) as advance:
        found = compare(*work, cuts, advance)
    changes = found.changes
    warn_of(found.ended)
    if as_json:
        print_json(
            {
                "strategy": work.strategy_class.name,
                "cuts": found.cuts,
                "signals": found.signals,
                "changes": [_described_change(change) for change in changes],
            }
        )
        return 1 if changes or found.ended else 0
    for change in changes:
        print_line(str(change))
    if changes:
        print_warning(
            f"what came later changed decisions at {len(changes)} of {found.cuts} cuts: it looks ahead"
        )
    if changes or found.ended:
        return 1
    if not found.signals:
        print_warning(f"{work.strategy_class.name} decided nothing on these data: that says little")
    compared = f"{found.signals} signals, {found.cuts} cuts"
    print_line(f"{work.strategy_class.name} decides the same however much comes after: {compared}")
    return 0


def warn_of(ended: Iterable["Ended"]) -> None:
    """Name the sessions that were given up before the data ended, on stderr."""
    for each in ended:
        print_warning(f"{each.session_key} was given up at {each.time:%Y-%m-%d %H:%M}: {each.reason}")


def _described_change(change: "Change") -> dict[str, Any]:
    return {
        "cut": change.cut.isoformat(),
        "whole": _described_signal(change.whole),
        "truncated": _described_signal(change.truncated),
    }


def _described_signal(signal: "Signal | None") -> dict[str, Any] | None:
    if signal is None:
        return None
    return {
        "signalId": signal.signal_id,
        "symbol": signal.symbol,
        "action": signal.action,
        "price": signal.price,
        "quantity": signal.quantity,
        "timestamp": signal.timestamp.isoformat(),
    }
