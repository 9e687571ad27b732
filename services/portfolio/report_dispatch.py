"""Tells what became of signals: the executions of theirs, the sessions of all others."""

from models.execution import ExecutionReport
from services.portfolio.executor import PortfolioExecutor
from services.signals.desk import Sessions


class ReportDispatch:
    """Stands before the sessions, and hands over what is about an execution.

    A report of an execution that is not read yet goes to the sessions, where nobody waits for it; the
    executor finds it in the table of signals.
    """

    def __init__(self, sessions: Sessions, executor: PortfolioExecutor) -> None:
        self._sessions = sessions
        self._executor = executor

    def report(self, key: str, report: ExecutionReport) -> None:
        """Tell the outcome of a signal."""
        if self._executor.owns(key):
            self._executor.report(key, report)
        else:
            self._sessions.report(key, report)

    def halt_session(self, key: str, reason: str) -> None:
        """Halt a session; an execution halts by its report."""
        if not self._executor.owns(key):
            self._sessions.halt_session(key, reason)

    def stop_session(self, session_id: str) -> int:
        """Stop a session; an execution that the gateway does not know is paused, so that a person looks."""
        if not self._executor.owns(session_id):
            return self._sessions.stop_session(session_id)
        self._executor.command(session_id, "pause", "the gateway does not know the execution")
        return 1
