"""A repeated event is logged now and then, with how often it happened."""

import threading

from services.telemetry.logs import Throttle


class Recorder:
    """Stands where the method of a logger stands."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []

    def __call__(self, action: str, **fields: object) -> None:
        self.calls.append((action, fields))


class Clock:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_throttle_writes_a_repeated_event_once_and_then_how_many_it_kept_back() -> None:
    write, clock = Recorder(), Clock()
    throttle = Throttle(5, clock)
    written = [throttle.log(write, "refused", reason="shape") for _ in range(4)]
    clock.now += 4.9
    throttle.log(write, "refused", reason="shape")
    clock.now += 0.1
    throttle.log(write, "refused", reason="size")
    assert written == [True, False, False, False]
    assert write.calls == [
        ("refused", {"suppressed": 0, "reason": "shape"}),
        ("refused", {"suppressed": 4, "reason": "size"}),
    ]


def test_a_throttle_tells_actions_and_keys_apart() -> None:
    write = Recorder()
    throttle = Throttle(5, Clock())
    assert throttle.log(write, "refused", key="bars")
    assert throttle.log(write, "refused", key="trades")
    assert throttle.log(write, "lost", key="bars")
    assert not throttle.log(write, "lost", key="bars")


def test_a_throttle_forgets_the_oldest_of_too_many_keys() -> None:
    write = Recorder()
    throttle = Throttle(5, Clock())
    for number in range(3000):
        throttle.log(write, "refused", key=str(number))
    assert throttle.log(write, "refused", key="0")
    assert not throttle.log(write, "refused", key="2999")


def test_threads_may_share_a_throttle() -> None:
    write, clock = Recorder(), Clock()
    throttle = Throttle(5, clock)
    threads = [
        threading.Thread(target=lambda: [throttle.log(write, "refused") for _ in range(1000)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += 5
    throttle.log(write, "refused")
    assert [fields["suppressed"] for _, fields in write.calls] == [0, 3999]
