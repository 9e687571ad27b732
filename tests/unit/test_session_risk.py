"""A session whose signals are vetted: what is reduced is booked reduced, what is refused is taken back."""

from datetime import UTC, datetime

from msgspec.structs import replace

from models.execution import ExecutionReport
from models.market_data import Bar, Trade
from models.session import AssetType, SessionIdentity
from models.signal import Signal
from services.session import Session, SessionHost, deliver_bar
from services.turn import Turn
from strategies.base_strategy import BaseStrategy

NOON = datetime(2026, 1, 28, 12, tzinfo=UTC)


class Buyer(BaseStrategy):
    """Buys ten on every bar."""

    name = "buyer"

    def on_bar(self, bar: Bar) -> None:
        self.send_signal("BUY", bar.close, 10)

    def on_trade(self, trade: Trade) -> None:
        pass


class Vetted:
    """A session, and a guard that a test tells what to say."""

    def __init__(
        self, quantity: float = 10.0, refusal: str | None = None, recorded: str | None = None
    ) -> None:
        self.sent = list[Signal]()
        self.refused = list[tuple[Signal, str]]()
        self.posted = list[ExecutionReport]()
        self.asked = list[AssetType]()
        self._answer = quantity, refusal
        self._recorded = recorded
        identity = SessionIdentity(
            key="s1",
            symbol="BTC/USD",
            asset_type="crypto",
            strategy_id="buyer",
            session_id="s1",
            started_at=NOON,
        )
        host = SessionHost(
            submit=self._submit,
            post=lambda _, letter: self.posted.append(letter),  # type: ignore[arg-type]  # reports alone come
            unroute=lambda *_: None,
            count_error=lambda _: None,
            changed=lambda _: None,
            max_errors=3,
            vet=self._vet,
            refuse=self._refuse,
        )
        self.strategy = Buyer("buyer", "BTC/USD", "s1")
        self.session = Session(identity, self.strategy, host)
        self.turn = Turn()
        self.session.start(Turn())
        self.session.hand_over(self.turn)
        self.session.begin()

    def bar(self) -> None:
        one = Bar("BTC/USD", "1m", 100.0, 101.0, 99.0, 100.5, 10.0, NOON)
        deliver_bar(iter((self.session,)), one, self.turn)

    def _vet(self, signal: Signal, asset_type: AssetType) -> tuple[Signal, str | None]:
        self.asked.append(asset_type)
        quantity, refusal = self._answer
        return replace(signal, quantity=quantity), refusal

    def _submit(self, signal: Signal, _received_at: float, barred: str | None) -> str | None:
        assert barred is None
        self.sent.append(signal)
        return None

    def _refuse(self, signal: Signal, _received_at: float, reason: str) -> str | None:
        self.refused.append((signal, reason))
        return self._recorded


def test_a_reduced_signal_keeps_its_id_and_is_expected_as_it_is_sent() -> None:
    whole, reduced = Vetted(), Vetted(quantity=4.0)
    for each in (whole, reduced):
        each.bar()
    assert reduced.asked == ["crypto"]
    assert [signal.quantity for signal in reduced.sent] == [4.0]
    assert reduced.sent[0].signal_id == whole.sent[0].signal_id
    assert reduced.strategy.position.expected == 4.0


def test_a_refused_signal_waits_for_its_report_like_any_other() -> None:
    vetted = Vetted(refusal="order_size: too small")
    vetted.bar()
    assert not vetted.sent
    assert not vetted.posted
    [(signal, reason)] = vetted.refused
    assert reason == "order_size: too small"
    assert vetted.strategy.position.unanswered == 1
    vetted.session.handle(
        ExecutionReport(
            signal_id=signal.signal_id,
            symbol=signal.symbol,
            action=signal.action,
            quantity=signal.quantity,
            status="refused",
            reason=reason,
        )
    )
    assert vetted.strategy.position.unanswered == 0
    assert vetted.strategy.position.expected == 0.0
    assert vetted.session.outcomes == {"refused": 1}


def test_a_refused_signal_that_cannot_be_recorded_is_told_at_once() -> None:
    vetted = Vetted(refusal="too small", recorded="too small")
    vetted.bar()
    assert [report.reason for report in vetted.posted] == ["too small"]
