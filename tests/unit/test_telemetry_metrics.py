"""The numbers that Prometheus sees."""

import re
import threading
from collections.abc import Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from models.signal import SignalStatus
from services.telemetry.metrics import (
    HANDLER_BOUNDS,
    EventCounters,
    HandlerSeconds,
    MetricSources,
    SignalMetrics,
    WorkerCollector,
    make_registry,
)

CONTRACT = {
    "worker_events_total",
    "worker_handler_calls_total",
    "worker_events_dropped_total",
    "worker_events_rejected_total",
    "worker_gaps_total",
    "worker_sessions",
    "worker_handler_seconds",
    "worker_handler_errors_total",
    "worker_signals_total",
    "worker_signal_latency_seconds",
    "worker_outbox_pending",
    "worker_feed_age_seconds",
    "worker_control_events_total",
    "worker_dead_letters_total",
}


def some_sources(events: EventCounters) -> MetricSources:
    return MetricSources(
        events=events,
        control_gaps=lambda: 2,
        control_rejected=lambda: {"not_json": 1},
        control_events=lambda: {"started": 5, "not_json": 1},
        dead_letters=lambda: {"written": 4},
        sessions=lambda: {"RUNNING": 3, "ERROR": 1},
        handler_errors=lambda: {"SmaCross": 7},
        outbox_pending=lambda: 9,
        feed_age_seconds=lambda: 1.5,
    )


def samples(registry: CollectorRegistry) -> Mapping[str, float]:
    """Every sample of the text form, by its name and labels as written."""
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


@pytest.fixture
def events() -> EventCounters:
    return EventCounters()


@pytest.fixture
def registry(events: EventCounters) -> CollectorRegistry:
    registry = make_registry()
    SignalMetrics(registry)
    registry.register(WorkerCollector(some_sources(events)))
    return registry


def test_every_name_of_the_contract_is_there_from_the_start(registry: CollectorRegistry) -> None:
    text = generate_latest(registry).decode()
    assert set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)) >= CONTRACT


def test_the_text_can_be_parsed_and_every_metric_is_explained(registry: CollectorRegistry) -> None:
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert [family.name for family in families if not family.documentation] == []


def test_the_process_and_its_python_are_described(registry: CollectorRegistry) -> None:
    names = {name.partition("{")[0] for name in samples(registry)}
    assert {"process_resident_memory_bytes", "python_info", "python_gc_collections_total"} <= names


def test_no_metric_has_a_created_series(registry: CollectorRegistry) -> None:
    assert not [name for name in samples(registry) if "_created" in name]


def test_plain_counters_appear_under_their_names(events: EventCounters, registry: CollectorRegistry) -> None:
    events.bars_delivered, events.trades_delivered = 10, 20
    events.bar_calls, events.trade_calls = 30, 40
    events.dropped["no_session"] += 50
    events.rejected["not_json"] += 60
    events.gaps["bars"] += 1
    shown = samples(registry)
    assert shown['worker_events_total{kind="bar"}'] == 10
    assert shown['worker_events_total{kind="trade"}'] == 20
    assert shown['worker_handler_calls_total{kind="bar"}'] == 30
    assert shown['worker_handler_calls_total{kind="trade"}'] == 40
    assert shown['worker_events_dropped_total{reason="no_session"}'] == 50
    assert shown['worker_events_rejected_total{reason="not_json"}'] == 61
    assert [shown[f'worker_gaps_total{{stream="{name}"}}'] for name in ("control", "bars", "trades")] == [
        2,
        1,
        0,
    ]


def test_the_sources_are_asked_at_every_scrape(registry: CollectorRegistry) -> None:
    shown = samples(registry)
    assert shown['worker_sessions{state="RUNNING"}'] == 3
    assert shown['worker_handler_errors_total{strategy="SmaCross"}'] == 7
    assert shown['worker_control_events_total{outcome="not_json"}'] == 1
    assert shown['worker_dead_letters_total{outcome="written"}'] == 4
    assert shown['worker_dead_letters_total{outcome="lost"}'] == 0
    assert shown["worker_outbox_pending"] == 9
    assert shown["worker_feed_age_seconds"] == 1.5


def test_a_feed_never_heard_has_no_age(events: EventCounters) -> None:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(replace(some_sources(events), feed_age_seconds=lambda: None)))
    assert "worker_feed_age_seconds" not in samples(registry)


def test_signals_are_counted_by_status_and_timed() -> None:
    registry = CollectorRegistry()
    signals = SignalMetrics(registry)
    signals.count(SignalStatus.EXECUTED)
    signals.count(SignalStatus.EXECUTED)
    signals.answered(0.02)
    shown = samples(registry)
    assert shown['worker_signals_total{status="executed"}'] == 2
    assert [shown[f'worker_signals_total{{status="{status}"}}'] for status in ("rejected", "unknown")] == [
        0,
        0,
    ]
    assert shown['worker_signal_latency_seconds_bucket{le="0.01"}'] == 0
    assert shown['worker_signal_latency_seconds_bucket{le="0.025"}'] == 1


def test_handlers_timed_together_count_each(events: EventCounters, registry: CollectorRegistry) -> None:
    events.handler_seconds.observe(1e-6)
    events.handler_seconds.observe(2e-2, 1000)
    events.handler_seconds.observe(60.0)
    shown = samples(registry)
    assert shown['worker_handler_seconds_bucket{le="1e-06"}'] == 1
    assert shown['worker_handler_seconds_bucket{le="1e-05"}'] == 1
    assert shown['worker_handler_seconds_bucket{le="2.5e-05"}'] == 1001
    assert shown['worker_handler_seconds_bucket{le="5"}'] == 1001
    assert shown['worker_handler_seconds_bucket{le="+Inf"}'] == shown["worker_handler_seconds_count"] == 1002
    assert shown["worker_handler_seconds_sum"] == pytest.approx(60.020001)


def test_the_bounds_of_a_histogram_ascend() -> None:
    bounds = [float(bound) for bound, _ in HandlerSeconds().cumulative()]
    assert bounds == sorted(set(bounds))
    assert len(bounds) == len(HANDLER_BOUNDS) + 1


def test_a_scrape_may_meet_a_thread_that_counts_new_reasons(events: EventCounters) -> None:
    registry = CollectorRegistry()
    registry.register(WorkerCollector(some_sources(events)))
    done = threading.Event()

    def count() -> None:
        number = 0
        while not done.is_set():
            number += 1
            events.rejected[f"reason {number % 500}"] += 1
            if number % 500 == 0:
                events.rejected.clear()

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(200):
            generate_latest(registry)
    finally:
        done.set()
        thread.join()
