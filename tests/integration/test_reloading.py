"""Changed rows of the catalogue are taken up by running sessions, once each."""

from services.reloading import Reloader
from tests.sealed_world import SealedWorld, warded

SOURCE = """
def on_bar(bar):
    send_signal("BUY", 1.0, 1.0, metadata={"version": 1})
"""


def test_changed_code_is_taken_up_by_itself_and_broken_code_is_tried_once() -> None:
    with warded() as ward:
        world = SealedWorld(ward, SOURCE)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        link, changed = world.sealed("s1").link, list[str]()
        world.source = "def on_bar(bar)\n"
        Reloader(world, ward, changed.append).watch(0.02)  # type: ignore[arg-type] # which plays the source
        world.until(lambda: link.reloads == 1)
        assert "did not take over: line 1, column" in world.described("s1")["reason"]
        world.bar(1)
        world.source = SOURCE.replace("1}", "2}")
        world.until(lambda: link.reloads == 2)
        assert world.described("s1")["reason"] is None
        world.bar(2)
        world.settle()
        assert [each.metadata["version"] for each in world.sent] == [1, 2]
        assert changed == ["s1", "s1"]


def test_code_may_ask_for_longer_calls() -> None:
    slow = "deadline_ms = 5000\ndef on_bar(bar):\n    sum(range(20_000_000))\n"
    with warded() as ward:
        world = SealedWorld(ward, slow)
        world.manager.start_session("AAPL", "counting", "s1")
        world.deliver()
        world.bar(1)
        world.settle()
        assert world.sealed("s1").link.restarts == 0
