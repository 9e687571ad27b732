"""What stands in for portfolios where there is no database: no executions at all."""

from typing import Any

from models.execution import PartialFill
from services.portfolio.execution_parts import Command
from services.signals.desk import Sessions


class NoPortfolio:
    """A portfolio of nothing; see Portfolio."""

    reason: str | None = None

    def start(self) -> None:
        """Do nothing."""

    def wind_down(self, timeout: float) -> bool:  # noqa: ARG002 — there is nothing to wait for
        """Do nothing."""
        return True

    def stop(self, timeout: float) -> bool:  # noqa: ARG002 — as above
        """Do nothing."""
        return True

    def before(self, sessions: Sessions) -> Sessions:
        """Return the sessions: all signals are theirs."""
        return sessions

    def filled(self, fill: PartialFill) -> None:
        """Do nothing: no order is an execution's."""

    def executions(self) -> list[dict[str, Any]]:
        """Return none."""
        return []

    def command(self, execution_id: str, command: Command) -> None:  # noqa: ARG002 — nobody knows it
        """Return None."""
        return
