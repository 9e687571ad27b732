"""What is due at some time is done then, one after the other, and apart where that is asked."""

import time
from threading import Event

from services.sandbox.nurse import Nurse

APART = 0.05


def test_what_is_to_be_done_apart_is_and_holds_up_nothing_else() -> None:
    nurse, done, over = Nurse(), list[tuple[str, float]](), Event()

    def note(name: str) -> None:
        done.append((name, time.monotonic()))
        if len(done) == 4:
            over.set()

    began = time.monotonic()
    for name in ("first", "second", "third"):
        nurse.do(lambda name=name: note(name), apart=APART)  # type: ignore[misc]
    nurse.do(lambda: note("other"))
    nurse.start()
    assert over.wait(10)
    nurse.stop(10)
    at = dict(done)
    assert [name for name, _ in done if name != "other"] == ["first", "second", "third"]
    assert at["other"] < at["third"]
    assert at["third"] - began >= 2 * APART
