"""What a sealed host has used, where that can be said without one."""

import os

from services.sandbox.budgets import LOG_PATIENCE, Budgets, Meter, processor_seconds

MOST = 3
LOADING_SECONDS = 0.1
PATIENCE = LOG_PATIENCE * MOST


def meter() -> Meter:
    return Meter(Budgets(log_lines_per_second=MOST), os.getpid(), 0.0)


def test_log_lines_beyond_their_rate_are_dropped_and_at_ten_times_as_many_the_host_ends() -> None:
    counted = meter()
    lines = [counted.line(1, 0.5, is_past=False) for _ in range(PATIENCE + 1)]
    assert [kept for kept, _ in lines] == [True] * MOST + [False] * (PATIENCE + 1 - MOST)
    assert [ending for _, ending in lines[:-1]] == [None] * PATIENCE
    _, ending = lines[-1]
    assert ending is not None
    assert ending.reason == f"it logged more than {PATIENCE} lines in a second"
    assert counted.line(1, 1.5, is_past=False) == (True, None)


def test_log_lines_of_the_past_are_dropped_too_but_break_no_rate() -> None:
    counted = meter()
    lines = [counted.line(1, 0.5, is_past=True) for _ in range(10 * PATIENCE)]
    assert lines == [(True, None)] * MOST + [(False, None)] * (10 * PATIENCE - MOST)
    assert counted.line(1, 0.5, is_past=False) == (False, None)


def test_so_many_log_lines_at_one_event_of_the_past_end_the_host() -> None:
    assert meter().line(PATIENCE, 0.5, is_past=True) == (True, None)
    _, ending = meter().line(PATIENCE + 1, 0.5, is_past=True)
    assert ending is not None
    assert ending.reason == f"it logged more than {PATIENCE} lines at one event"


def test_what_it_took_to_load_is_no_call_s() -> None:
    counted = Meter(Budgets(), os.getpid(), 0.0)
    loading = processor_seconds(os.getpid()) + LOADING_SECONDS
    while processor_seconds(os.getpid()) < loading:
        pass
    counted.loaded(0.0)
    counted.watch(1, 0.0, 10.0)
    assert counted.computed < LOADING_SECONDS
