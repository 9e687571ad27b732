"""What signals meet on their way out: the kill switch always, the risk desk where sessions are checked."""

from decimal import Decimal

from msgspec.structs import replace

from models.execution import ExecutionReport
from models.risk import Order, Reduced, Refused
from models.session import AssetType
from models.signal import Signal
from services.risk.desk import RiskDesk
from services.risk.events import SESSIONS
from services.risk.kill_switch import Switch


class Guard:
    """Stands between those who decide and the outbox. Safe from every thread; nothing here waits."""

    def __init__(self, desk: RiskDesk, switch: Switch, *, checks_sessions: bool) -> None:
        self.switch = switch
        self._desk = desk
        self._checks_sessions = checks_sessions

    def vet(self, signal: Signal, asset_type: AssetType) -> tuple[Signal, str | None]:
        """Return a session's signal as it may be sent, and why it may not; what may is reserved."""
        if not self._checks_sessions and self.switch.reason is None:
            return signal, None
        order = Order(
            order_id=signal.signal_id,
            owner=signal.session_key,
            symbol=signal.symbol,
            side=signal.action,
            quantity=Decimal(repr(signal.quantity)),
            price=Decimal(repr(signal.price)),
            asset_type=asset_type,
        )
        if not self._checks_sessions:
            refusal = self._desk.stopped(order, SESSIONS)
            return signal, None if refusal is None else refusal.reason
        verdict = self._desk.check(order, SESSIONS)
        if isinstance(verdict, Refused):
            return signal, verdict.reason
        if isinstance(verdict, Reduced):
            return replace(signal, quantity=float(verdict.quantity)), None
        return signal, None

    def release(self, signal_id: str) -> None:
        """Have a signal reserved no more that did not come to the outbox."""
        self._desk.release(signal_id)

    def settle(self, report: ExecutionReport) -> None:
        """Take the end of a signal."""
        self._desk.settle(report)
