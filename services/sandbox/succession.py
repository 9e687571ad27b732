"""Swapping the code of a session between two events: the new code takes over, or the old one goes on."""

from collections.abc import Callable
from queue import Empty, SimpleQueue

from models.errors import StrategyCrashed, StrategyRejected
from services.sandbox.conversation import Conversation
from services.sandbox.exchange import Exchange
from services.sandbox.journal import Handover
from services.sandbox.link import Unheard
from services.sandbox.protocol import GetState, SetPosition
from services.sandbox.told import Told

STATE_SECONDS = 5.0


def succeed(talk: Conversation, candidate: Conversation, exchange: Exchange) -> None:
    """Have the host of `candidate`, which is loaded, go on for that of `talk`.

    The session's events wait meanwhile; nothing is told twice, nothing left out. Raises StrategyError where
    the candidate does not start with the state that is handed over; then it ends and the old host goes on.
    """
    try:
        _succeed(talk, candidate, exchange)
    except BaseException:
        candidate.link.close()
        raise


def _succeed(talk: Conversation, candidate: Conversation, exchange: Exchange) -> None:
    if set(candidate.link.watched_symbols) != set(talk.link.watched_symbols):
        raise StrategyRejected("it watches other symbols than the code that runs: stop and start the session")
    held: SimpleQueue[Handover | None] = SimpleQueue()
    exchange.call(lambda: _hold(talk, held.put))
    try:
        handover = _await(held)
        candidate.link.listener = Unheard(handover.start)
        if handover.state is not None:
            candidate.link.restore(handover.state)
        candidate.link.start(handover.position, handover.past)
    except BaseException:
        exchange.call(lambda: _release(talk))
        raise
    done: SimpleQueue[bool] = SimpleQueue()
    exchange.call(lambda: done.put(_swap(talk, candidate, handover)))
    if not done.get(timeout=STATE_SECONDS):
        raise StrategyCrashed("the process of the code that ran ended meanwhile, and goes on by itself")


def _await(held: "SimpleQueue[Handover | None]") -> Handover:
    try:
        handover = held.get(timeout=STATE_SECONDS)
    except Empty:
        handover = None
    if handover is None:
        raise StrategyCrashed("the code that runs did not say its state: it goes on")
    return handover


def _hold(talk: Conversation, held: Callable[[Handover | None], None]) -> None:
    """Once nothing is under way, ask for the state at this point, and tell nothing after that."""

    def ask() -> None:
        talk.held = wait
        talk.tell_alone(Told(GetState()))

    def wait() -> None:
        talk.held = stay
        held(talk.journal.handover())

    def stay() -> None:
        """Tell nothing."""

    talk.held = ask
    talk.pump()


def _release(talk: Conversation) -> None:
    talk.held = None
    talk.pump()


def _swap(talk: Conversation, candidate: Conversation, handover: Handover) -> bool:
    if talk.wire is None or candidate.wire is None or talk.killed_for is not None:
        _release(talk)
        return False
    talk.take_over(candidate, Told(SetPosition(handover.position), silent=True))
    talk.journal.begin_anew(handover)
    link, other = talk.link, candidate.link
    link.load, link.code_hash, link.warmup_bars = other.load, other.code_hash, other.warmup_bars
    _release(talk)
    return True
