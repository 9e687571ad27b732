"""What an answer of the gateway can mean."""

from typing import Literal

from msgspec import Struct

LARGEST_AMOUNT = 1e18
"""No price, quantity or fee is larger: what is larger cannot be booked, and nobody can have meant it."""


class Reply(Struct, frozen=True, kw_only=True):
    """An HTTP answer, as far as it could be read.

    `retry_after` is the header as it came. `flaw` says why `body` is not the whole body: too long, cut
    short, not decodable.
    """

    status: int
    body: bytes = b""
    retry_after: str | None = None
    flaw: str | None = None


class Executed(Struct, frozen=True, kw_only=True):
    """The gateway took the order. None means that it did not say: then what was asked for holds."""

    status: Literal["filled", "accepted"]
    order_id: str | None = None
    filled_quantity: float | None = None
    filled_price: float | None = None
    balance: float | None = None
    fee: float = 0.0


class Rejected(Struct, frozen=True, kw_only=True):
    """A final no.

    `settles` is false where something in front of the gateway may have answered: that ends a signal that
    was surely not executed before, but tells nothing about an earlier attempt.
    """

    reason: str
    stop_session: bool = False
    settles: bool = True


class Blocked(Struct, frozen=True, kw_only=True):
    """The gateway does not accept our credentials: nothing that we send will be executed."""

    reason: str


class RetryAfter(Struct, frozen=True, kw_only=True):
    """Not taken now. `seconds` is what the gateway asked for; None leaves the wait to the sender."""

    reason: str
    seconds: float | None


class InProgress(Struct, frozen=True, kw_only=True):
    """The same signal is being worked on: the answer comes to a later attempt with the same id."""

    seconds: float | None


class NeverSeen(Struct, frozen=True):
    """Read back: the gateway does not know the signal, so it can be sent again."""


Verdict = Executed | Rejected | Blocked | RetryAfter | InProgress | NeverSeen
