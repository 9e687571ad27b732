"""Attacks on sealed hosts: how each ends, what the worker knows of it, and that nobody else notices.

Every attack also runs in a host that is not sealed, to prove that it is one.
"""

import contextlib
import ctypes
import os
import select
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.sandbox.client import Zygote
from services.sandbox.ending import Cause, Ending
from services.sandbox.host.loading import load_strategy
from services.sandbox.kernel import PR_SET_DUMPABLE
from services.sandbox.protocol import BarEvent, Done, Failed, FromHost, Loaded, LogLine, ProtocolViolation
from tests.sandbox_attacks import ATTACKS, ENDLESS, TALKATIVE, Attack
from tests.sealed_hosts import MEMORY_BYTES, Neighbour, SealedHost, bar, host_of, load, running
from tests.support import eventually

CALL_SECONDS = 0.05
MOST_ANSWERS = 500
ANSWERS_BETWEEN = 20
PR_SET_PTRACER = 0x59616D61
ANYBODY = -1

secret = ctypes.create_string_buffer(b"SECRET")
spoiled = ctypes.create_string_buffer(b"INTACT")


@pytest.fixture(scope="module")
def sealed() -> Iterator[Zygote]:
    with running(Zygote(MEMORY_BYTES)) as zygote:
        yield zygote


@pytest.fixture(scope="module")
def unsealed() -> Iterator[Zygote]:
    # For the proof this process shows its memory, also where Yama keeps processes of a user from reading it.
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)
    libc.prctl(PR_SET_PTRACER, ctypes.c_long(ANYBODY), 0, 0, 0)
    with running(Zygote(MEMORY_BYTES, sealed=False)) as zygote:
        yield zygote


@pytest.fixture(scope="module")
def sibling(sealed: Zygote) -> Iterator[SealedHost]:
    with host_of(sealed) as host:
        host.load("def on_bar(bar): pass")
        yield host


@pytest.fixture
def neighbour(sibling: SealedHost) -> Neighbour:
    return Neighbour(sibling.round_trip)


@pytest.fixture(scope="module")
def targets(sibling: SealedHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as deleted:
        deleted.write(secret.raw)
        deleted.flush()
        yield {
            "worker": os.getpid(),
            "address": ctypes.addressof(secret),
            "spoiled": ctypes.addressof(spoiled),
            "descriptor": deleted.fileno(),
            "sibling": sibling.process.pid,
            "port": listener.getsockname()[1],
            "file": str(tmp_path_factory.mktemp("attack") / "written"),
        }


def named(attacks: list[Attack]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("attack", attacks, ids=[attack.name for attack in attacks])


def attacked(zygote: Zygote, attack: Attack, targets: dict[str, Any], size: int = 0) -> Any:
    """Run a host that is loaded with an attack, and told of the bar that starts it."""

    @contextlib.contextmanager
    def run() -> Iterator[SealedHost]:
        with host_of(zygote) as host:
            assert isinstance(host.load(attack.source, {**targets, "bytes": size}), Loaded)
            host.send(BarEvent(bar()))
            yield host

    return run()


def said_by(host: SealedHost) -> list[FromHost]:
    """Return all that a host says until it is done, or ends."""
    said: list[FromHost] = []
    with contextlib.suppress(EOFError, ConnectionResetError):
        while not isinstance(answer := host.hear(), Done):
            said.append(answer)
    return said


def booty(said: list[FromHost]) -> list[str]:
    return [each.text for each in said if isinstance(each, LogLine) and each.text.startswith("got ")]


def cpu_seconds(host: SealedHost) -> float:
    return time.clock_gettime((~host.process.pid << 3) | 2)


@named(ATTACKS)
def test_an_attack_gets_nothing(
    attack: Attack, sealed: Zygote, neighbour: Neighbour, targets: dict[str, Any]
) -> None:
    with attacked(sealed, attack, targets, size=10 << 30) as host:
        neighbour.assert_undisturbed()
        said = said_by(host)
        if isinstance(attack.outcome, Cause):
            assert booty(said) == []
            assert host.ending().cause is attack.outcome
        elif attack.outcome == "nothing":
            assert booty(said) == ["got False"]
        else:
            (failed,) = said
            assert isinstance(failed, Failed)
            assert failed.error == attack.outcome
            host.round_trip()
    assert not Path(targets["file"]).exists()
    assert spoiled.value == b"INTACT"


@named(ATTACKS)
def test_the_same_attack_succeeds_without_the_seal(
    attack: Attack, unsealed: Zygote, targets: dict[str, Any]
) -> None:
    try:
        with attacked(unsealed, attack, targets, size=2 * MEMORY_BYTES) as host:
            (got,) = booty(said_by(host))
            assert got not in {"got False", "got None", "got 0"}
    finally:
        Path(targets["file"]).unlink(missing_ok=True)
        spoiled.value = b"INTACT"


def over_budget(host: SealedHost) -> bool:
    """Tell whether a call computes for too long, or takes too long without."""
    call = host.process.page.under_way()
    if call is None:
        return False
    waited = (time.monotonic_ns() - call[1]) / 1e9
    return cpu_seconds(host) > CALL_SECONDS or waited > 4 * CALL_SECONDS


def is_silent(host: SealedHost) -> bool:
    return not select.select([host.process.channel], [], [], 0)[0]


@named(ENDLESS)
def test_a_call_without_end_is_ended(
    attack: Attack, sealed: Zygote, neighbour: Neighbour, targets: dict[str, Any]
) -> None:
    with attacked(sealed, attack, targets) as host:
        eventually(lambda: over_budget(host))
        call = host.process.page.under_way()
        neighbour.assert_undisturbed()
        assert host.process.page.under_way() == call  # all those answers came while it went on
        assert is_silent(host)
        host.process.interrupt()
        if isinstance(attack.outcome, Cause):
            before = cpu_seconds(host)
            eventually(lambda: attack.outcome is Cause.WALL or cpu_seconds(host) > before + CALL_SECONDS)
            assert is_silent(host)
            host.kill_for(Ending(attack.outcome, "too long"))
            assert host.ending() == Ending(attack.outcome, "too long")
        else:
            (failed,) = said_by(host)
            assert isinstance(failed, Failed)
            assert (failed.error, failed.timed_out) == (attack.outcome, True)
            assert "in attack" in failed.traceback


@named(ENDLESS)
def test_the_same_call_goes_on_when_nobody_ends_it(
    attack: Attack, unsealed: Zygote, targets: dict[str, Any]
) -> None:
    with attacked(unsealed, attack, targets) as host:
        eventually(lambda: over_budget(host))
        assert is_silent(host)


@pytest.mark.parametrize("kind", ["sealed", "unsealed"])
@named(TALKATIVE)
def test_what_is_said_out_of_turn_is_noticed_at_once(
    attack: Attack, kind: str, neighbour: Neighbour, targets: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    zygote: Zygote = request.getfixturevalue(kind)
    with attacked(zygote, attack, targets) as host:
        cause, heard = Cause.FLOOD, 0
        try:
            while heard < MOST_ANSWERS:
                host.hear()
                heard += 1
                if heard % ANSWERS_BETWEEN == 0:
                    neighbour.answer()
        except ProtocolViolation:
            cause = Cause.PROTOCOL
        neighbour.assert_undisturbed()
        host.kill_for(Ending(cause, "said too much"))
        assert host.ending().cause is attack.outcome


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        pytest.param("os._exit(0)", Cause.LEFT, id="it leaves"),
        pytest.param("ctypes.string_at(0)", Cause.CRASHED, id="it crashes"),
        pytest.param("os._exit(71)", Cause.OUT_OF_MEMORY, id="it says that it is out of memory"),
    ],
)
def test_an_end_of_its_own_is_told_from_others(
    body: str, cause: Cause, sealed: Zygote, neighbour: Neighbour, targets: dict[str, Any]
) -> None:
    with attacked(sealed, Attack("ends", body), targets) as host:
        assert said_by(host) == []
        assert host.ending().cause is cause
        neighbour.assert_undisturbed()


def test_a_forged_page_misleads_and_does_no_more(
    sealed: Zygote, neighbour: Neighbour, targets: dict[str, Any]
) -> None:
    forge = """
    import gc
    gc.unfreeze()
    for page in [each for each in gc.get_objects() if isinstance(each, memoryview)]:
        page[0] = page[1] = 2**64 - 1
    while True: pass
    """
    with attacked(sealed, Attack("forges", forge), targets) as host:
        eventually(lambda: host.process.page.under_way() == (2**64 - 1, 2**64 - 1))
        assert cpu_seconds(host) > 0  # this cannot be forged
        neighbour.assert_undisturbed()


WALKS = Attack(
    "looks for secrets in all that it can reach",
    """
    gc = sys.modules["gc"]
    gc.unfreeze()
    wanted, found = "".join(["SEC", "RET-"]), set()
    def look(each):
        text = each if isinstance(each, str) else each.decode("latin-1") if isinstance(each, bytes) else ""
        if wanted in text:
            found.add(text[text.index(wanted):][:16])
    reached = gc.get_objects()
    frame = sys._getframe()
    while frame:
        reached.append(frame.f_locals)
        frame = frame.f_back
    for cls in object.__subclasses__():
        reached.append(getattr(cls.__init__, "__globals__", {}))
    for each in reached:
        if isinstance(each, dict):
            for value in list(each.values()): look(value)
        elif type(each) in (list, tuple):  # not platform's, which would start a program
            for value in each: look(value)
    look("{0.__func__.__globals__}".format(send_signal.__self__.send_signal))
    for name in sorted(os.environ): look(os.environ[name])
    return len(reached) > 10_000, sorted(found - {wanted})
    """,
)


def test_a_walk_through_all_objects_finds_no_secret_of_the_worker(
    sealed: Zygote, neighbour: Neighbour, targets: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "SECRET-OF-ENVIRO")
    with attacked(sealed, WALKS, targets) as host:
        neighbour.assert_undisturbed()
        (walked,) = said_by(host)
        assert isinstance(walked, LogLine)
        assert walked.text == "got (True, [])"


def test_the_same_walk_in_the_worker_itself_finds_them_all(
    targets: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "SECRET-OF-ENVIRO")
    monkeypatch.setattr("strategies.base_strategy.snake_case.__doc__", "SECRET-OF-GLOBAL")
    kept = ["SECRET-OF-A-LIST"]
    local = "SECRET-OF-A-FRAM"
    printed: list[str] = []
    strategy, *_ = load_strategy(load(WALKS.source.replace("log.info", "print_it"), targets))
    vars(type(strategy))["namespace"]["print_it"] = printed.append
    strategy.on_bar(bar())
    for each in ("SECRET-OF-ENVIRO", *kept, local):
        assert each in printed[0]
