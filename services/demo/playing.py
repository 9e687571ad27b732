"""The middle of the demo: sessions start, prices go out, and everything that was set going comes to rest."""

import time
from collections.abc import Sequence
from contextlib import closing
from operator import itemgetter
from threading import Event

import redis

from models.market_data import Bar
from models.session import SessionState
from services.demo.audience import Worker
from services.demo.failure import DemoFailed
from services.demo.ledger_view import LedgerView
from services.demo.lineup import Entry
from services.demo.screen import Board, Standing
from services.demo.stage import Stage
from services.demo.worker_view import SessionView
from services.history.feed import message_of
from services.history.replay import Replay, ReplayStalled, per_second
from services.redis_client import make_client

CASH = 100_000  # of each account, as the gateway opens it
RUNNING_SECONDS = 20.0
AT_REST_SECONDS = 30.0  # without any progress
POLL_SECONDS = 0.05
GRAIN_SECONDS = 0.1  # at a steady pace; the worker is asked after each how far it is


class Play:
    """Plays bars to the sessions of a stage and shows how it goes."""

    def __init__(self, stage: Stage, bars: Sequence[Bar], board: Board) -> None:
        self._stage = stage
        self._bars = bars
        self._board = board
        self._ledger = LedgerView(stage.database)
        self._closes: dict[str, float] = {}
        self._seen = 0

    def run(self, speed: float | None) -> None:
        """Publish every bar. Raises DemoFailed when the worker does not keep up or ends."""
        worker = Worker(delivered=lambda: self._stage.view.vitals().delivered, check=self._stage.check)
        schedule = None if speed is None else per_second(speed)
        try:
            with closing(make_client(self._stage.addresses.redis_url)) as client:
                replay = Replay(client, map(message_of, self._bars), schedule, grain=GRAIN_SECONDS)
                for published in replay.run(worker):
                    if replay.unheard:
                        raise DemoFailed(
                            f"{replay.unheard} bars were published while the worker was not subscribed"
                        )
                    if self._board.is_due():
                        self._show(published)
        except ReplayStalled as error:
            raise DemoFailed(f"the worker stopped reading: {error}") from error
        except redis.RedisError as error:
            raise DemoFailed(f"Valkey does not take bars any more: {error}") from error

    def rest(self) -> None:
        """Wait until every bar is delivered and every signal answered.

        Gives up when nothing moves any more: the books will then tell what is missing.
        """
        wait, before, moved_at = Event(), (-1, -1), time.monotonic()
        while time.monotonic() - moved_at < AT_REST_SECONDS:
            self._stage.check()
            vitals, sessions = self._stage.view.vitals(), self._stage.view.sessions().values()
            signals, answered = (
                sum(each.book.signals for each in sessions),
                sum(each.answered for each in sessions),
            )
            if vitals.delivered == len(self._bars) and vitals.pending == 0 and signals == answered:
                break
            if before != (vitals.delivered, answered):
                before, moved_at = (vitals.delivered, answered), time.monotonic()
            if self._board.is_due():
                self._show(len(self._bars))
            wait.wait(POLL_SECONDS)
        self._show(len(self._bars))

    def _show(self, published: int) -> None:
        for bar in self._bars[self._seen : published]:
            self._closes[bar.symbol] = bar.close
        self._seen = published
        vitals, sessions = self._stage.view.vitals(), list(self._stage.view.sessions().values())
        equities = sorted(
            (
                (each.key, each.equity(CASH, self._closes[each.symbol]))
                for each in sessions
                if each.symbol in self._closes
            ),
            key=itemgetter(1),
        )
        self._board.show(
            Standing(
                day=self._bars[published - 1].timestamp.date(),
                published=published,
                delivered=vitals.delivered,
                signals=sum(each.book.signals for each in sessions),
                trades=self._ledger.count_trades(),
                rejected=sum(each.book.rejected for each in sessions),
                pending=vitals.pending,
                best=equities[-1] if equities else None,
                worst=equities[0] if equities else None,
            )
        )


def start_sessions(stage: Stage, lineup: Sequence[Entry]) -> None:
    """Start every session through the gateway, and wait until the worker says that all of them run.

    Raises DemoFailed for one that does not, with the reason that the worker gives.
    """
    for entry in lineup:
        stage.start_session(entry)
    wait, deadline = Event(), time.monotonic() + RUNNING_SECONDS
    while True:
        stage.check()
        sessions = stage.view.sessions()
        waiting = [each for each in lineup if not _runs(sessions.get(each.session_id))]
        if not waiting:
            return
        if time.monotonic() > deadline:
            names = ", ".join(each.session_id for each in waiting)
            raise stage.worker.failure(f"did not start {names} within {RUNNING_SECONDS:.0f} s")
        wait.wait(POLL_SECONDS)


def _runs(session: SessionView | None) -> bool:
    """Whether a session runs. Raises DemoFailed for one that never will."""
    if session is None:
        return False
    if session.state == SessionState.ERROR:
        raise DemoFailed(f"the session {session.key} does not start: {session.reason}")
    return session.state == SessionState.RUNNING
